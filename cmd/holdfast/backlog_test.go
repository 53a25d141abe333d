package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// easyBank captures whatever it is asked to, after a while.
type easyBank struct{ payment.Provider }

func (easyBank) Mode() holdfast.PaymentMode              { return holdfast.ModeTest }
func (easyBank) Account(context.Context) (string, error) { return shopAccount, nil }

func (easyBank) Capture(ctx context.Context, act payment.Act) (payment.Payment, error) {
	pause(ctx, 50*time.Millisecond)
	return payment.Payment{Ref: act.Payment, Key: act.Key, Status: payment.StatusCaptured, Amount: act.Amount, CapturedMinor: act.Amount.AmountMinor}, nil
}

// BenchmarkHoldsBesideABacklog measures holds on a cluster of three processes: with nothing owed, beside captures that wait, and
// while they are made at rates that payment providers allow.
func BenchmarkHoldsBesideABacklog(b *testing.B) {
	const backlog, places = 100_000, 200_000
	cluster, err := startLocal(b.TempDir(), 3, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cluster.stop() }()
	c, err := client.New(cluster.endpoints())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := cluster.ready(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	spec := command.EventSpec{Name: "backlog", Currency: "eur", Tiers: []command.Tier{{Name: "a", PriceMinor: 4900}},
		Sections: []command.Section{{Name: "floor", Places: places}}, Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: shopAccount}}
	applied, err := c.ApplyEvent(b.Context(), spec)
	if err == nil {
		err = c.OpenSale(b.Context(), applied.EventRef)
	}
	if err != nil {
		b.Fatal(err)
	}
	event := applied.EventRef
	holdsBeside(b, c, event, "nothing", 0)
	for n := 0; n < backlog; n += 1000 {
		oweCaptures(b, c, event, n, 1000)
	}
	holdsBeside(b, c, event, "waiting", 0)
	// The higher rate first: where workers disagree about an account's limits, the lowest hold until nobody has told them for
	// half a minute, so that after 80 a second there would be no thousand within these ten seconds.
	for _, rate := range []uint32{1000, 80} {
		ctx, cancel := context.WithCancel(b.Context())
		w, err := settle.New(ctx, settle.Config{Client: c, Provider: easyBank{}, Name: fmt.Sprint("w", rate), ReconcileEvery: -1,
			Limits: payment.Limits{ReadsPerSecond: rate, WritesPerSecond: rate}})
		if err != nil {
			b.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		holdsBeside(b, c, event, "draining", rate)
		b.Logf("drained %d in the time", w.Stats().Done.Load())
		cancel()
		running.Wait()
		w.Close()
	}
}

// oweCaptures sells places for payments that are authorised.
func oweCaptures(b *testing.B, c *client.Client, event client.EventRef, from, count int) {
	b.Helper()
	do := func(cmds []command.Command) []client.Result {
		results, err := c.Do(b.Context(), event, cmds, nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range results {
			if r.Outcome != holdfast.OK {
				b.Fatal(r.Outcome)
			}
		}
		return results
	}
	total := holdfast.Money{AmountMinor: 4900, Currency: "eur"}
	cmds, begins, sells := make([]command.Command, count), make([]command.Command, count), make([]command.Command, count)
	for i := range cmds {
		cmds[i] = &command.Hold{Buyer: backlogBuyer(from + i), Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}}
	}
	for i, h := range do(cmds) {
		begins[i] = &command.BeginPayment{Buyer: backlogBuyer(from + i), Hold: h.Hold, Attempt: 1, Amount: total}
		sells[i] = &command.Sell{Hold: h.Hold, As: command.SalePaid, Attempt: 1, Amount: total, Payment: fmt.Sprint("pi_", from+i), Mode: holdfast.ModeTest, Account: shopAccount}
	}
	do(begins)
	do(sells)
}

func backlogBuyer(n int) holdfast.BuyerID {
	return holdfast.BuyerID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 1}
}

// holdsBeside has eight callers hold and give back one place each, again and again, at a fixed rate of 400 holds a second in all.
func holdsBeside(b *testing.B, c *client.Client, event client.EventRef, what string, rate uint32) {
	name := what
	if rate > 0 {
		name = fmt.Sprintf("%s-at-%d", what, rate)
	}
	b.Run(name, func(b *testing.B) {
		const callers, every = 8, 20 * time.Millisecond
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		end := time.Now().Add(10 * time.Second)
		for n := range callers {
			wg.Go(func() {
				for tick := time.Now(); tick.Before(end); tick = tick.Add(every) {
					pause(b.Context(), time.Until(tick))
					began := time.Now()
					h, err := c.Hold(b.Context(), client.HoldRequest{Event: event, Buyer: backlogBuyer(1<<30 + n), Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}})
					mu.Lock()
					took = append(took, time.Since(began))
					mu.Unlock()
					if err == nil {
						err = c.Release(b.Context(), client.HoldRef{Event: event, Hold: h.ID, Buyer: backlogBuyer(1<<30 + n)})
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
		b.ReportMetric(float64(took[len(took)*9/10])/1e6, "p90-ms")
		b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		b.ReportMetric(float64(len(took)), "holds")
		b.ReportMetric(0, "ns/op")
	})
}
