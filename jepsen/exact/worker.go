package exact

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node/outbox"
	"github.com/holdfast-db/holdfast/payment"
)

// worker is one settlement process: it leases effects from whoever leads, and has a clerk for each.
type worker struct {
	w        *world
	name     string
	dice     *rand.Rand
	caller   *caller
	hand     []holdfast.EffectID
	fibers   []*fiber
	question uint64
	dead     bool
	dieIn    int  // steps until it dies; 0: it does not
	limited  bool // to be told with the next question for acts
	spare    *payment.Budget
	passed   time.Duration
}

// How a worker works, in short: see package settle.
const (
	pollEvery    = 200 * time.Millisecond
	handMax      = 16
	troublePause = time.Second
	hintPatience = 4 * time.Second
	grantAgain   = 50 * time.Millisecond
	spareAfter   = time.Second
)

// limits are what the bank allows: little enough to be felt.
var limits = payment.Limits{ReadsPerSecond: 8, WritesPerSecond: 8, Burst: time.Second}

// startWorker starts a process under a name that no other has.
func (w *world) startWorker(place int, life uint64) {
	k := &worker{w: w, name: "settle" + string(rune('a'+place)), dice: dice(w.plan.Seed, 1<<33+uint64(place)<<16+life),
		spare: payment.NewBudget(payment.Limits{ReadsPerSecond: 1, WritesPerSecond: 1}), passed: w.now}
	k.caller = w.newCaller(k.name, uint64(place)<<16+life)
	w.workers[place] = k
	w.after(time.Duration(k.dice.IntN(200))*time.Millisecond, k.poll)
}

// step is told between any two steps; the process may end there.
func (k *worker) step(f *fiber) {
	if k.dieIn == 0 {
		return
	}
	if k.dieIn--; k.dieIn == 0 {
		k.die()
		f.die()
	}
}

// die ends the process with all that it was about to do.
func (k *worker) die() {
	if k.dead {
		return
	}
	k.dead, k.caller.dead = true, true
	k.w.say("worker dies", k.name, uint64(len(k.hand)), 0)
	for _, f := range k.fibers {
		f.kill()
	}
}

func (k *worker) spawn(chance *rand.Rand, body func(f *fiber)) {
	k.fibers = slices.DeleteFunc(k.fibers, func(f *fiber) bool { return f.finished })
	k.fibers = append(k.fibers, k.w.spawn(k.name, chance, body))
}

// poll asks for effects, now and then.
func (k *worker) poll() {
	if k.dead {
		return
	}
	w := k.w
	w.after(pollEvery+time.Duration(k.dice.IntN(50))*time.Millisecond, k.poll)
	s := w.shard
	if s.leader < 0 || !s.serving || s.cut || w.net.lostRequests.strikes(w.now, k.dice) {
		return
	}
	k.question++
	m := s.members[s.leader]
	kinds := uint32(1<<holdfast.EffectLook | 1<<holdfast.EffectCapture | 1<<holdfast.EffectVoid | 1<<holdfast.EffectRefund)
	given := m.leases.Due(s.machine, m.monotonic+w.now, outbox.Query{Worker: k.name, Number: k.question, Account: theAccount, Mode: holdfast.ModeTest,
		Kinds: kinds, Max: handMax - len(k.hand), Have: k.hand})
	w.books.leased(w, m)
	if len(given) == 0 || w.net.lostAnswers.strikes(w.now, k.dice) {
		return
	}
	w.after(w.travel(k.dice), func() {
		for _, e := range given {
			if !k.dead && !slices.Contains(k.hand, e.ID) {
				k.hand = append(k.hand, e.ID)
				k.spawn(w.chance(fold(e.Hold)+uint64(e.Attempt)<<8+uint64(e.Kind)), func(f *fiber) { k.carry(f, e) })
			}
		}
	})
}

// carry carries out one effect within its lease.
func (k *worker) carry(f *fiber, e fsm.EffectView) {
	w := k.w
	f.until = w.now + outbox.LeaseFor
	w.say("carry "+e.Kind.String(), k.name, uint64(e.ID), uint64(e.Attempt))
	k.step(f)
	if err := k.clerk(f).Carry(w.ctx, effectOf(e), theIdentity); err != nil {
		f.sleep(troublePause)
	}
	k.hand = slices.DeleteFunc(k.hand, func(id holdfast.EffectID) bool { return id == e.ID })
}

// hint takes a webhook, and says whether it need not come again.
func (k *worker) hint(i *intent, h payment.Hint, answer func(taken bool)) {
	taken := k.w.plant == LateHint
	k.spawn(k.w.chance(fold(i.Key.Hold)+uint64(i.Key.Attempt)<<8), func(f *fiber) {
		f.ended = func() { answer(taken) }
		f.until = k.w.now + hintPatience
		k.w.say("webhook", k.name, uint64(h.Kind), 0)
		err := k.clerk(f).Follow(k.w.ctx, h)
		taken = k.w.plant == LateHint || err == nil || errors.Is(err, settle.ErrForeign)
	})
}

// clerk gives the product's clerk, with everything that it works through.
func (k *worker) clerk(f *fiber) *settle.Clerk {
	w := k.w
	return &settle.Clerk{
		Cluster: &desk{f: f, c: k.caller}, Provider: &teller{f: f, b: w.bank}, Stats: &w.stats, Log: silent, Now: w.wall,
		Account:  func(context.Context) (string, error) { return theAccount, nil },
		Identity: func(context.Context, holdfast.ShardID) (client.Identity, error) { return theIdentity, nil },
		Call: func(ctx context.Context, class payment.Class, _ string, call func(context.Context) error) error {
			k.step(f)
			if err := k.grant(f, class); err != nil {
				return err
			}
			err := call(ctx)
			if payment.KindOf(err) == payment.Limited {
				k.limited = true
			}
			k.step(f)
			return err
		},
		Command: func(ctx context.Context, _ string, send func(context.Context) error) error {
			k.step(f)
			err := send(ctx)
			k.step(f)
			return err
		},
	}
}

var (
	silent      = slog.New(slog.DiscardHandler)
	theIdentity = client.Identity{Cluster: clusterName}
)

// grant waits for an act from the budget of whoever leads, and takes a spare one when nobody does for long.
func (k *worker) grant(f *fiber, class payment.Class) error {
	w := k.w
	began := w.now
	for f.until == 0 || w.now < f.until {
		var want, given payment.Acts
		want[class] = 1
		if s := w.shard; s.leader >= 0 && s.serving {
			m := s.members[s.leader]
			given = m.budgets.Grant(m.monotonic+w.now, outbox.Ask{Account: theAccount, Limits: limits, Want: want, Limited: k.limited}).Acts
			k.limited = false
		} else if w.now-began > spareAfter {
			k.spare.Pass(w.now - k.passed)
			k.passed = w.now
			given = k.spare.Grant(want)
		}
		if given[class] > 0 {
			w.books.granted(w)
			return nil
		}
		f.sleep(grantAgain)
	}
	return &payment.Error{Kind: payment.Limited, Op: class.String(), Message: "no grant from the provider's budget in time; nothing was sent"}
}

// effectOf is the effect as a client has it.
func effectOf(e fsm.EffectView) client.Effect {
	x := client.Effect{ID: e.ID, Event: client.EventRef{ID: e.Event, Shard: theShard}, Kind: e.Kind, Hold: e.Hold, Attempt: e.Attempt, Payment: e.Payment,
		Amount: holdfast.Money{Currency: e.Amount.Currency}, Total: e.Amount, Method: e.Capture, Begun: time.UnixMilli(e.BegunMs), Life: e.Incarnation,
		RefundedMinor: e.Refunded, NotBefore: e.NotBefore, Urgent: e.Urgent, Tries: e.Tries, Code: e.Code}
	if e.Kind == holdfast.EffectCapture || e.Kind == holdfast.EffectRefund {
		x.Amount = e.Amount
	}
	return x
}

// desk is the way to the shard for one fiber: a settle.Cluster.
type desk struct {
	f *fiber
	c *caller
}

var _ settle.Cluster = (*desk)(nil)

// one sends a command, and gives a refusal or a failure as the client does.
func (d *desk) one(cmd command.Command) (command.Result, error) {
	r := request{}
	result, failure := d.c.decide(d.f, &r, cmd)
	if failure != nil {
		return result, failure
	}
	if result.Outcome != holdfast.OK {
		return result, &client.Refusal{Outcome: result.Outcome, Command: cmd.Head().ID}
	}
	return result, nil
}

// Locate knows the one event.
func (d *desk) Locate(_ context.Context, event client.EventRef) (client.EventRef, error) {
	if event.ID != theEvent {
		return event, &holdfast.Error{Kind: holdfast.NotFound}
	}
	return client.EventRef{ID: theEvent, Shard: theShard}, nil
}

// Sell makes a hold an order.
func (d *desk) Sell(_ context.Context, q client.SellRequest) (client.Order, error) {
	result, err := d.one(&command.Sell{Hold: q.Hold, As: q.As, Attempt: q.Attempt, Amount: q.Amount, Payment: q.Payment, Mode: q.Mode, Account: q.Account})
	if err != nil {
		return client.Order{}, err
	}
	return client.Order{ID: q.Hold.Order(), Event: q.Event, Amount: q.Amount, As: q.As, Payment: q.Payment, Attempt: q.Attempt, State: result.OrderState}, nil
}

// FailPayment says that no money comes of an attempt.
func (d *desk) FailPayment(_ context.Context, q client.AttemptRef) error {
	_, err := d.one(&command.FailPayment{Hold: q.Hold, Attempt: q.Attempt, Payment: q.Payment})
	return err
}

// StrayMoney reports money that no order stands on.
func (d *desk) StrayMoney(_ context.Context, q client.Stray) error {
	_, err := d.one(&command.StrayMoney{Hold: q.Hold, Attempt: q.Attempt, Payment: q.Payment, Amount: q.Amount, Captured: q.Captured, Mode: q.Mode, Account: q.Account})
	return err
}

// Dispute notes what the bank said.
func (d *desk) Dispute(_ context.Context, q client.DisputeRequest) error {
	_, err := d.one(&command.Dispute{Payment: q.Payment, State: q.State, Amount: q.Amount})
	return err
}

// AckEffect says what came of an effect.
func (d *desk) AckEffect(_ context.Context, q client.EffectAck) error {
	_, err := d.one(&command.AckEffect{Effect: q.Effect, Result: q.Result, Payment: q.Payment, Amount: q.Amount, Code: q.Code[:min(len(q.Code), command.CodeBytesMax)]})
	return err
}
