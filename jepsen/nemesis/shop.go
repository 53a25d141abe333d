//go:build linux

package nemesis

import (
	"errors"
	"math/rand/v2"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// shops are troubles of frontends and of the payment provider. Frontends keep nothing, so their death may cost nobody
// anything; the provider's answers may be lost, late and wrong about what was done.
var shops = []Fault{
	{Name: "frontend-kill", What: "a frontend is killed and started again", Missing: needsShop, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := r.IntN(f.Shop.Frontends())
		f.Shop.KillFrontend(i)
		return func() error { return f.Shop.StartFrontend(i) }, nil
	}},
	{Name: "frontend-kill-all", What: "all frontends are killed at once", Missing: needsShop, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		for i := range f.Shop.Frontends() {
			f.Shop.KillFrontend(i)
		}
		return func() (err error) {
			for i := range f.Shop.Frontends() {
				err = errors.Join(err, f.Shop.StartFrontend(i))
			}
			return err
		}, nil
	}},
	{Name: "frontend-pause", What: "a frontend is stopped, and goes on with what it believed", Missing: needsShop, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := r.IntN(f.Shop.Frontends())
		f.Shop.PauseFrontend(i, true)
		return func() error { f.Shop.PauseFrontend(i, false); return nil }, nil
	}},
	{Name: "provider-down", What: "connections to the payment provider break before anything is done", Missing: needsShop, Strike: bank(cluster.BankFault{Do: "down"})},
	{Name: "provider-lost", What: "they break after the work was done", Missing: needsShop, Strike: bank(cluster.BankFault{Do: "drop_after"})},
	{Name: "provider-500", What: "the provider answers 500 after the work was done", Missing: needsShop, Strike: bank(cluster.BankFault{Do: "error_after"})},
	{Name: "provider-slow", What: "the provider's answers come 3 s late", Missing: needsShop, Strike: bank(cluster.BankFault{Do: "slow", AfterMs: 3000})},
	{Name: "provider-limit", What: "the provider says that it is asked too much", Missing: needsShop, Strike: bank(cluster.BankFault{Do: "rate_limit"})},
	{Name: "provider-kill", What: "the provider's process is killed, and comes back with its journal", Missing: needsShop, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		f.Shop.KillBank()
		return f.Shop.StartBank, nil
	}},
}

func needsShop(f *Field) error {
	if f.Shop == nil {
		return errors.New("no workload of this run uses a shop; --workload checkout does")
	}
	return nil
}

func bank(fault cluster.BankFault) func(*Field, *rand.Rand) (func() error, error) {
	return func(f *Field, _ *rand.Rand) (func() error, error) {
		return func() error { return f.Shop.Misbehave() }, f.Shop.Misbehave(fault)
	}
}
