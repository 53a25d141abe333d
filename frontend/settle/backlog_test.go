package settle_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// counting is a provider that captures whatever it is asked to, and counts. Nothing else is asked of it.
type counting struct {
	payment.Provider
	mu       sync.Mutex
	captured map[payment.Ref]int
	seconds  map[int64]int // calls by the second
	latency  time.Duration
}

func (c *counting) Mode() holdfast.PaymentMode              { return holdfast.ModeTest }
func (c *counting) Account(context.Context) (string, error) { return "acct_sandbox", nil }

func (c *counting) Capture(_ context.Context, act payment.Act) (payment.Payment, error) {
	c.mu.Lock()
	c.captured[act.Payment]++
	c.seconds[time.Now().Unix()]++
	c.mu.Unlock()
	time.Sleep(c.latency)
	return payment.Payment{Ref: act.Payment, Key: act.Key, Status: payment.StatusCaptured, Amount: act.Amount, CapturedMinor: act.Amount.AmountMinor}, nil
}

// TestABacklogDrainsAtTheBudgetsRate: after an outage of the provider 100,000 captures are owed. They are made at the rate
// that the provider allows, by several workers, each once; and what the shard has to do for it does not grow with the
// backlog: an acknowledgement for each, and a few questions a second, none of which looks at more than is out on lease.
func TestABacklogDrainsAtTheBudgetsRate(t *testing.T) {
	effects, workers := 100_000, 3
	if testing.Short() {
		effects = 10_000
	}
	const rate = 80
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)))
		cluster := clienttest.New(t, clienttest.Config{})
		c := cluster.Client()
		event := cluster.LoadEvent(concert(func(s *command.EventSpec) { s.Sections[0].Places = uint32(effects) + 10 }))
		sellUncaptured(t, c, event, effects)

		bank := &counting{captured: map[payment.Ref]int{}, seconds: map[int64]int{}, latency: 300 * time.Millisecond}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var all []*settle.Worker
		for i := range workers {
			w, err := settle.New(ctx, settle.Config{Client: c, Provider: bank, Name: fmt.Sprint("w", i), ReconcileEvery: -1,
				Limits: payment.Limits{ReadsPerSecond: rate, WritesPerSecond: rate}})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
			running.Go(func() { _ = w.Run(ctx) })
		}
		began, entries := time.Now(), indexOf(cluster, event)
		left := effects
		for ; left > 0 && time.Since(began) < 2*time.Hour; time.Sleep(time.Second) {
			cluster.Advance(250 * time.Millisecond)
			cluster.Machine(event.Shard, func(m *fsm.Machine) { left = m.Stats().Effects })
		}
		took := time.Since(began)
		entries = indexOf(cluster, event) - entries - uint64(took/time.Second) // less ours, of Advance
		cancel()
		running.Wait()
		leases := uint64(0)
		for _, w := range all {
			w.Close()
			leases += w.Stats().Leases.Load()
		}

		t.Logf("%d effects in %v: %d entries of the log, %d questions for effects", effects, took, entries, leases)
		if left > 0 || len(bank.captured) != effects {
			t.Fatalf("%d are owed after %v, and %d were captured", left, took, len(bank.captured))
		}
		if ideal := time.Duration(effects) * time.Second / rate; took > ideal*23/20 || took < ideal*9/10 {
			t.Errorf("it took %v, at the budget's rate it takes %v", took, ideal)
		}
		for ref, n := range bank.captured {
			if n != 1 {
				t.Errorf("%s was captured %d times", ref, n)
			}
		}
		for second, n := range bank.seconds {
			if n > 2*rate+rate/4 { // the rate, a burst of a second, and the floors
				t.Errorf("second %d saw %d calls", second, n)
			}
		}
		if entries > uint64(effects) {
			t.Errorf("%d entries of the log for %d acknowledgements", entries, effects)
		}
		if most := uint64(workers) * 21 * uint64(took/time.Second); leases > most {
			t.Errorf("%d questions for %d effects in %v", leases, effects, took)
		}
	})
}

func indexOf(c *clienttest.Cluster, event client.EventRef) (index uint64) {
	c.Machine(event.Shard, func(m *fsm.Machine) { index = m.Index() })
	return index
}

// sellUncaptured sells so many places, for payments that are authorised.
func sellUncaptured(t *testing.T, c *client.Client, event client.EventRef, count int) {
	t.Helper()
	const size = 1000
	do := func(cmds []command.Command) []client.Result {
		results, err := c.Do(t.Context(), event, cmds, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Outcome != holdfast.OK {
				t.Fatal(r.Outcome)
			}
		}
		return results
	}
	var total holdfast.Money
	for from := 0; from < count; from += size {
		cmds := make([]command.Command, size)
		for i := range cmds {
			n := from + i + 1
			cmds[i] = &command.Hold{Buyer: holdfast.BuyerID{byte(n >> 16), byte(n >> 8), byte(n), 1}, Wants: places(1)}
		}
		holds := do(cmds)
		if total.Currency == "" {
			q, err := c.Quote(t.Context(), event, holds[0].Hold, holdfast.PromoCode{})
			if err != nil {
				t.Fatal(err)
			}
			total = q.Total
		}
		begins, sells := make([]command.Command, size), make([]command.Command, size)
		for i, h := range holds {
			begins[i] = &command.BeginPayment{Buyer: cmds[i].(*command.Hold).Buyer, Hold: h.Hold, Attempt: 1, Amount: total}
			sells[i] = &command.Sell{Hold: h.Hold, As: command.SalePaid, Attempt: 1, Amount: total, Payment: fmt.Sprint("pi_", from+i), Mode: holdfast.ModeTest, Account: "acct_sandbox"}
		}
		do(begins)
		do(sells)
	}
}
