package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// pay tries cards at the provider, and comes back to see what became of it. over says that no other attempt is made.
func (v *visit) pay(ref string) (over bool) {
	for range 3 {
		v.think()
		if v.random.IntN(15) == 0 {
			v.seen.Told = "vanished before paying"
			return true
		}
		card := cards[v.random.IntN(len(cards))]
		v.seen.Paid = v.seen.Paid || card != "pm_card_visa_chargeDeclined" && card != "pm_sandbox_lateDecline"
		act := func(what sandbox.Act, with sandbox.Arguments) bool {
			return v.world.bank.server.Act(payment.Ref(ref), what, with) == nil
		}
		paid := act(sandbox.ActConfirm, sandbox.Arguments{Method: card})
		if card == "pm_card_authenticationRequired" {
			switch v.random.IntN(4) {
			case 0:
				v.seen.Told = "did not come back from the bank"
				return true
			case 1:
				act(sandbox.ActAbandon, sandbox.Arguments{})
			default:
				v.think()
				paid = act(sandbox.ActAuthenticate, sandbox.Arguments{})
			}
		}
		if v.random.IntN(15) == 0 {
			v.seen.Told = "did not come back"
			return true
		}
		switch v.confirm(paid) {
		case frontend.PaymentSold:
			v.sold(card)
			return true
		case frontend.PaymentFailed:
			return false
		}
		if v.seen.Told == "gave up" {
			return true
		}
	}
	return true
}

// confirm asks how the attempt stands, until that is decided, or another card may be tried.
func (v *visit) confirm(paid bool) (stands frontend.PaymentStand) {
	for tired := v.world.now() + askMax; v.world.now() < tired; time.Sleep(500 * time.Millisecond) {
		var verdict frontend.PaymentVerdict
		err := v.ask(func(ctx context.Context, l *frontLife) (err error) {
			switch o, err := l.client.GetOrder(ctx, v.event, v.hold.ID.Order()); {
			case err != nil && !errors.Is(err, holdfast.NotFound):
				return err
			case err == nil && o.State != holdfast.OrderUnpaid: // that one is to be paid again
				if verdict.State = frontend.PaymentSold; o.State != holdfast.OrderCapturing && o.State != holdfast.OrderPaid {
					verdict.State = frontend.PaymentFailed
				}
				return nil
			}
			till := l.till.Load()
			if till == nil {
				return errRefused
			}
			verdict, err = till.Look(ctx, v.event, v.hold, v.begun().Since)
			return err
		})
		if err != nil {
			break
		}
		if verdict.State != frontend.PaymentPending {
			v.seen.Told = map[frontend.PaymentStand]string{frontend.PaymentSold: "sold", frontend.PaymentFailed: "failed"}[verdict.State]
			return verdict.State
		}
		if v.seen.Told = "declined"; verdict.Declined != "" || !paid {
			return frontend.PaymentPending
		}
	}
	v.seen.Told = "gave up"
	return frontend.PaymentPending
}

// sold notes what the buyer has. One whose card cannot be charged loses it again unless he pays by another.
func (v *visit) sold(card string) {
	v.seen.Sold = card != "pm_sandbox_captureFail"
}

// giveBack has some or all of the tickets refunded.
func (v *visit) giveBack() {
	one := history.Refund{Order: v.hold.ID.Order(), Seats: v.seen.Seats, Back: true, Call: v.world.now()}
	if v.random.IntN(2) == 0 {
		one.Seats = v.seen.Seats[:1]
	}
	q, asked := remote.RefundRequest{Event: v.event, Order: one.Order, Seats: one.Seats, ReturnSeats: true, Reason: holdfast.RefundOrganizer}, 0
	err := v.ask(func(ctx context.Context, l *frontLife) error {
		asked++
		_, err := l.client.Refund(ctx, q)
		return err
	})
	switch {
	case err == nil:
		one.Told, one.Return, v.seen.Told = history.ToldOK, v.world.now(), "refunded"
	case definite(err) && asked == 1: // else an earlier attempt may have done it
		one.Told, one.Return = history.ToldRefused, v.world.now()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refunds = append(v.refunds, one)
}

// shopPatience is for how long a shop may be busy after the last fault. It has more to wait for than a shard: an order that is
// paid too late is given up after its deadlines, refunded then, and each refusal of the provider doubles the time to the next try.
const shopPatience = 2 * time.Minute

// judge waits until money and seats are at rest, and holds them against each other.
func (s *checkout) judge(ctx context.Context, c *remote.Client, r *Report) {
	h := &history.History{Head: history.Head{Workload: "checkout", Seed: s.world.plan.Seed, Began: s.world.began, Length: s.world.plan.Length, Waited: true}, Visits: s.visits, Refunds: s.refunds}
	r.Others = append(r.Others, h)
	left := ""
	err := s.world.awaitFor(shopPatience, "the shop is at rest", func() bool { left = s.unrest(ctx, c); return left == "" })
	if err != nil {
		r.violation("liveness", "%v: %s", err, left)
	}
	h.Final.Quiet = err == nil
	if err := s.readBack(ctx, c, h); err != nil {
		r.violation("liveness", "the shop cannot be read back: %v", err)
		return
	}
	r.Violations = append(r.Violations, check.Judge(h)...)
	for i := range h.Final.Orders {
		if id := h.Final.Orders[i].ID; h.Final.Quiet && !s.world.bank.sent(id.Hold()) {
			r.violation("effects", "nothing is owed any more, and the buyer of %s was never sent a receipt", id)
		}
	}
}

// unrest says what is still on its way.
func (s *checkout) unrest(ctx context.Context, c *remote.Client) string {
	e, err := c.Event(ctx, s.event)
	if err != nil {
		return err.Error()
	}
	if n := e.Total.Held + e.Total.Paying; n > 0 {
		return fmt.Sprintf("%d seats are in somebody's hands", n)
	}
	effects, err := owed(ctx, c, s.event)
	if err != nil {
		return err.Error()
	}
	if len(effects) > 0 {
		return fmt.Sprintf("%d effects are owed, the first %+v", len(effects), effects[0])
	}
	for o, err := range c.Orders(ctx, s.event) {
		if err != nil {
			return err.Error()
		}
		if o.State == holdfast.OrderCapturing || o.State == holdfast.OrderUnpaid {
			return fmt.Sprintf("%s is %s", o.ID, o.State)
		}
	}
	return ""
}

// readBack reads the end: seats, orders, the provider's books, and what the system itself says of them.
func (s *checkout) readBack(ctx context.Context, c *remote.Client, h *history.History) error {
	seats, err := c.Seats(ctx, s.event)
	if err != nil {
		return err
	}
	h.Final.Seats, h.Final.Revision, h.Final.Clock, h.Final.Read = seats.States, seats.Revision, seats.Stamp.Clock, seats.Stamp.Stamp
	for o, err := range c.Orders(ctx, s.event) {
		if err != nil {
			return err
		}
		// Of a sale whose money never came, and that was undone, there is nothing left.
		if o.State != holdfast.OrderCancelled && (o.State != holdfast.OrderRefunded || o.CapturedMinor > 0) {
			h.Final.Orders = append(h.Final.Orders, history.Order{ID: o.ID, Buyer: o.Buyer, Seats: without(o.Seats, o.Refunded),
				Amount: o.Amount.AmountMinor, Captured: o.CapturedMinor, Refunded: o.RefundedMinor})
		}
	}
	if h.Charges, err = s.world.bank.charges(s.event.ID); err != nil {
		return err
	}
	till, err := s.world.till(ctx)
	if err != nil {
		return err
	}
	compared, err := till.worker.Reconcile(ctx, s.event, settle.Span{})
	for _, d := range compared.Differences {
		h.Differences = append(h.Differences, fmt.Sprintf("%s: payment %s of %s attempt %d: %d here, %d there", d.Kind, d.Payment, d.Hold, d.Attempt, d.ShardMinor, d.ProviderMinor))
	}
	if h.Final.Quiet && compared.Settling > 0 {
		h.Differences = append(h.Differences, fmt.Sprintf("%d payments are under way when all is quiet", compared.Settling))
	}
	return err
}

func without(seats, gone []holdfast.SeatIndex) (left []holdfast.SeatIndex) {
	is := map[holdfast.SeatIndex]bool{}
	for _, s := range gone {
		is[s] = true
	}
	for _, s := range seats {
		if !is[s] {
			left = append(left, s)
		}
	}
	return left
}
