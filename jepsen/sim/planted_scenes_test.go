package sim

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/payment"
)

// As TestPlantedFaultsAreCaught, for what the scenes play.
func TestPlantedFaultsInScenesAreCaught(t *testing.T) {
	const seedsMax = 20
	for _, c := range []struct {
		name   string
		by     string // which check
		scene  string
		broken Sabotage
		faults func(p *Plan) // what the plan must have for it to matter; nil: the seed's
	}{
		{"a retry of package client under another id", "replay", "library", Sabotage{FreshIDs: true}, unheard},
		{"disks that forget what they synced lose keys", "persons", "persons", Sabotage{Forget: true}, only(CrashAll)},
		{"refunds that are made twice", "money", "checkout", Sabotage{Provider: twiceRefunded.provider}, nil},
		{"payments that are not cancelled when their hold ends", "money", "checkout", Sabotage{Provider: neverVoided.provider}, nil},
		{"captures that are acknowledged before the provider has answered", "money", "checkout", Sabotage{Provider: captureUnheard.provider}, nil},
		{"places that are told before they are committed", "fairness", "line", Sabotage{Hurried: true}, nil},
		{"places that are told before they are committed are lost", "line", "line", Sabotage{Hurried: true}, only(CrashAll)},
		{"a draw that somebody steered", "draw", "line", Sabotage{Alter: steer}, only(CrashAll)},
		{"receipts that are acknowledged and not sent", "effects", "checkout", Sabotage{Forgetful: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			caught := map[string]int{}
			for seed := uint64(1); seed <= seedsMax; seed++ {
				plan := onlyScene(t, "storm", c.scene, seed, 20*time.Second)
				if plan.Snapshot = 0; c.faults != nil {
					c.faults(&plan)
				}
				r := Play(t, plan, c.broken, nil)
				for _, v := range r.Violations {
					caught[v.Check]++
				}
				if caught[c.by] > 0 {
					first := slices.IndexFunc(r.Violations, func(v check.Violation) bool { return v.Check == c.by })
					t.Logf("seed %d: %v", seed, r.Violations[first])
					return
				}
			}
			t.Errorf("%d seeds, and check %s found nothing; the others: %v", seedsMax, c.by, slices.Sorted(maps.Keys(caught)))
		})
	}
}

// unheard leaves only clients who use package client, through frontends whose links are slow and are cut again and again
// for longer than a caller waits: so many answers are lost on the way.
func unheard(p *Plan) {
	p.Load.Clients, p.Faults, p.Troubles = 0, nil, nil
	for i := range fronts {
		p.Troubles = append(p.Troubles, Fault{At: time.Second, For: p.Length, Kind: FrontSlow, Node: Members + i, Size: 200 * time.Millisecond})
	}
	for at := 2 * time.Second; at < p.Length-5*time.Second; at += 6 * time.Second {
		for i := range fronts {
			p.Troubles = append(p.Troubles, Fault{At: at, For: 4 * time.Second, Kind: FrontCut, Node: Members + i})
		}
	}
}

// brokenProvider is a provider of whose acts some are done otherwise.
type brokenProvider struct {
	payment.Provider
	how otherwise
}

// otherwise says how.
type otherwise int

const (
	twiceRefunded otherwise = iota + 1
	neverVoided
	captureUnheard
)

func (o otherwise) provider(p payment.Provider) payment.Provider { return brokenProvider{p, o} }

func (p brokenProvider) Refund(ctx context.Context, act payment.Act) (payment.Refund, error) {
	r, err := p.Provider.Refund(ctx, act)
	if err == nil && p.how == twiceRefunded {
		act.Effect += 1 << 40 // as if it were another one
		_, _ = p.Provider.Refund(ctx, act)
	}
	return r, err
}

func (p brokenProvider) Void(ctx context.Context, act payment.Act) (payment.Payment, error) {
	if p.how == neverVoided {
		return payment.Payment{Ref: act.Payment, Key: act.Key, Status: payment.StatusCancelled}, nil
	}
	return p.Provider.Void(ctx, act)
}

func (p brokenProvider) Capture(ctx context.Context, act payment.Act) (payment.Payment, error) {
	if p.how == captureUnheard {
		go func() { _, _ = p.Provider.Capture(context.WithoutCancel(ctx), act) }()
		return payment.Payment{Ref: act.Payment, Key: act.Key, Status: payment.StatusCaptured, Amount: act.Amount, CapturedMinor: act.Amount.AmountMinor}, nil
	}
	return p.Provider.Capture(ctx, act)
}

// steer puts another secret where a member reads back from its disk with which one a line was opened: somebody who saw
// who has joined would choose one by which a friend stands first.
func steer(_ string, l *raft.Log) {
	forge(l, command.KindOpenLine, func(d *command.Decoder, cmd []byte) (command.Command, error) {
		open, err := d.OpenLine(cmd)
		if err == nil {
			open.Secret[0] ^= 1
		}
		return open, err
	})
}
