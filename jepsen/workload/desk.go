package workload

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// desk: a shop that sells out, and somebody at its desk: tickets are refunded, one by one or all of an order, and their
// seats go back on sale; the line is paused, goes on, and is made faster and slower; what nobody tries any more is tried
// again. Who finds nothing waits for what comes back.
var desk = Workload{
	Name: "desk", What: "refunds, the list for returned seats, and changes of the line, while a small house sells out", NeedsShop: true, Missing: checkout.Missing,
	Start: func(ctx context.Context, e *Env) (Job, error) {
		house := []command.Row{{Label: "1", First: 1, Seats: uint16(10 + min(e.Length.Seconds(), 1000)), Tier: holdfast.AnyTier}}
		j, err := startVisits(ctx, e, "desk", house, func(v *visit) { v.buyOrWait() })
		if err != nil {
			return nil, err
		}
		j.disputed = map[holdfast.OrderID]bool{}
		random := rand.New(rand.NewPCG(e.Seed, uint64(e.Round)<<32|99))
		j.working.Go(func() {
			for !j.over() {
				j.clerk(random)
				time.Sleep(100 * time.Millisecond)
			}
			j.line(command.LineResume, 0) // nobody can be let in of a line that stays paused
		})
		return j, nil
	},
}

// buyOrWait buys. Who was refused waits for seats that come back, for a moment; some leave the list, some only go.
func (v *visit) buyOrWait() {
	if v.buy() {
		return
	}
	if v.ask(func(ctx context.Context) error { return v.AwaitReturns(ctx, 1+v.random.IntN(2)) }) != nil {
		return
	}
	time.Sleep(time.Duration(v.random.IntN(1500)) * time.Millisecond)
	if v.random.IntN(2) == 0 {
		_ = v.ask(func(ctx context.Context) error { return v.LeaveReturns(ctx) })
	}
	v.seen.Told = "waited for returns"
}

// clerk does one thing.
func (j *visits) clerk(random *rand.Rand) {
	switch n := random.IntN(20); {
	case n < 10:
		j.refund(random)
	case n < 12:
		j.dispute(random)
	case n < 13:
		j.line(command.LinePause, 0)
		time.Sleep(200 * time.Millisecond)
		j.line(command.LineResume, 0)
	case n < 15:
		j.line(command.LineCeiling, uint32(20+random.IntN(40)))
	case n < 17:
		j.line(command.LineRate, uint32(random.IntN(3))*20)
	default:
		j.retry()
	}
}

// deskPatience is how long somebody at a desk waits for one thing.
const deskPatience = 3 * time.Second

func (j *visits) line(change command.LineChange, value uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), deskPatience)
	defer cancel()
	_ = j.Client.SetLine(ctx, j.event, change, value) // the line goes on by itself, or is over: visitors tell how it went
}

// sold draws somebody who has bought, and has an order that will do.
func (j *visits) sold(random *rand.Rand, will func(holdfast.OrderID) bool) (v history.Visit, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []history.Visit
	for _, v := range j.visits {
		if v.Sold && will(v.Hold.Order()) {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return v, false
	}
	return all[random.IntN(len(all))], true
}

// quarrel is a dispute that is to be brought to its end, step by step: each at the provider, and told to the shard.
type quarrel struct {
	payment string
	amount  holdfast.Money
	steps   []quarrelStep
	acted   bool // the first of the steps is done at the provider
}

type quarrelStep struct {
	act   string
	state holdfast.DisputeState
}

// dispute has a bank take money back for a while, or for good.
func (j *visits) dispute(random *rand.Rand) {
	v, ok := j.sold(random, func(o holdfast.OrderID) bool {
		refunded := slices.ContainsFunc(j.refunds, func(r history.Refund) bool { return r.Order == o })
		return !j.disputed[o] && !refunded
	})
	ctx, cancel := context.WithTimeout(context.Background(), deskPatience)
	defer cancel()
	if !ok {
		return
	}
	o, err := j.Client.GetOrder(ctx, j.event, v.Hold.Order())
	if err != nil || o.State != holdfast.OrderPaid {
		return // it cannot be read now, or its money is not here yet
	}
	end := quarrelStep{"win_dispute", holdfast.DisputeWon}
	if random.IntN(3) == 0 {
		end = quarrelStep{"lose_dispute", holdfast.DisputeLost}
	}
	q := &quarrel{payment: o.Payment, amount: o.Amount, steps: []quarrelStep{{"dispute", holdfast.DisputeOpened}, end}}
	j.disputed[o.ID] = true
	if j.settle(ctx, q) != nil {
		j.open = append(j.open, q) // it is brought to its end when all is well
	}
}

// settle goes on with a quarrel to its end.
func (j *visits) settle(ctx context.Context, q *quarrel) error {
	for ; len(q.steps) > 0; q.steps, q.acted = q.steps[1:], false {
		step := q.steps[0]
		if !q.acted {
			if err := j.Shop.Act(q.payment, step.act); err != nil {
				return err
			}
			q.acted = true
		}
		err := j.Client.Dispute(ctx, client.DisputeRequest{Event: j.event, Payment: q.payment, State: step.state, Amount: q.amount})
		var no *client.Refusal
		if err != nil && !errors.As(err, &no) { // a webhook may have been quicker
			return err
		}
	}
	return nil
}

// refund ends some or all tickets of somebody who has bought.
func (j *visits) refund(random *rand.Rand) {
	v, ok := j.sold(random, func(o holdfast.OrderID) bool { return !j.disputed[o] })
	if !ok {
		return
	}
	one := history.Refund{Order: v.Hold.Order(), Seats: v.Seats, Back: random.IntN(4) > 0, Call: j.now()}
	if random.IntN(2) == 0 {
		one.Seats = v.Seats[:1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), deskPatience)
	defer cancel()
	_, err := j.Client.Refund(ctx, client.RefundRequest{Event: j.event, Order: one.Order, Seats: one.Seats, ReturnSeats: one.Back, Reason: holdfast.RefundOrganizer})
	var no *client.Refusal
	switch {
	case err == nil:
		one.Told = history.ToldOK
	case errors.As(err, &no):
		one.Told = history.ToldRefused
	}
	if one.Told != "" {
		one.Return = j.now()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refunds = append(j.refunds, one)
}

// retry has everything tried again that nobody tries any more.
func (j *visits) retry() {
	ctx, cancel := context.WithTimeout(context.Background(), deskPatience)
	defer cancel()
	for e, err := range j.Client.Effects(ctx, j.event.Shard) {
		if err != nil {
			return // the next time
		}
		if ours(e, j.event) && e.Parked {
			_ = j.Client.RetryEffect(ctx, j.event, e.ID) // it may have been done meanwhile
		}
	}
}
