package exact

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// buyer is a person and the frontend that serves the person: one visit.
type buyer struct {
	w    *world
	f    *fiber
	edge *caller
	step Step
	dice *rand.Rand
	id   holdfast.BuyerID
	hold holdfast.HoldID
	refs []payment.Ref // of the attempts
}

// visit starts a buyer.
func (w *world) visit(number int, s Step) {
	b := &buyer{w: w, step: s, dice: dice(s.Seed, 3), edge: w.edges[number%len(w.edges)]}
	b.id = holdfast.BuyerID{byte(number%5 + 1)} // some come again
	w.active++
	f := w.spawn("buyer", dice(s.Seed, 5), func(f *fiber) {
		b.f = f
		b.live()
	})
	f.ended = func() { w.active-- }
	b.edge.serving = append(b.edge.serving, f)
}

// asks are how often a frontend sends a command again whose outcome is unknown, with the same id.
const asks = 4

// decide sends a command; when nobody knows what came of it, it is asked again with the same id.
func (b *buyer) decide(cmd command.Command) (command.Result, bool) {
	r, unknown := request{}, holdfast.CommandID{} // once nobody knows, only an outcome of that id is an answer
	for range asks {
		result, failure := b.edge.decide(b.f, &r, cmd)
		if failure == nil {
			return result, result.Outcome == holdfast.OK
		}
		if failure.Kind == holdfast.Unknown {
			unknown = failure.Command
		}
		if cmd.Head().ID = unknown; b.w.plant == FreshID {
			cmd.Head().ID = holdfast.CommandID{}
		}
		b.f.sleep(seconds(b.dice, 0, 1))
	}
	return command.Result{}, false
}

func (b *buyer) live() {
	w, s := b.w, b.step
	result, ok := b.decide(&command.Hold{Buyer: b.id, Wants: b.wants()})
	if !ok {
		return
	}
	b.hold = result.Hold
	w.say("holds", "buyer", uint64(s.Size), uint64(result.Deadline))
	b.f.sleep(seconds(b.dice, 0, 2))
	b.mischief()
	switch s.Course {
	case Leaves:
		return
	case Releases:
		b.decide(&command.Release{Buyer: b.id, Hold: b.hold})
		return
	}
	attempts := holdfast.Attempt(1)
	if s.Course == DeclinedFirst || s.Course == PaysTheOldAttempt || s.Course == CaptureFails && b.dice.IntN(2) == 0 {
		attempts = 2
	}
	for n := range attempts {
		if !b.attempt(n+1, attempts) {
			return
		}
	}
	b.after()
}

// wants are places to stand, the best seats, or these seats.
func (b *buyer) wants() []command.Want {
	n := min(b.step.Size, b.w.plan.Places)
	switch b.dice.IntN(3) {
	case 0:
		return []command.Want{{Kind: command.WantGeneral, Section: 1, Count: uint8(n)}}
	case 1:
		return []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: uint8(n)}}
	}
	want := command.Want{Kind: command.WantSeats}
	for from := b.dice.IntN(b.w.plan.Places - n + 1); n > 0; n-- {
		want.Seats = append(want.Seats, holdfast.SeatIndex(from+n-1))
	}
	slices.Sort(want.Seats)
	return []command.Want{want}
}

// mischief is what others try who know the hold's id: to give it back, to pay for it, or to use the id for something else.
func (b *buyer) mischief() {
	other := holdfast.BuyerID{99}
	switch b.dice.IntN(12) {
	case 0:
		b.decide(&command.Release{Buyer: other, Hold: b.hold})
	case 1:
		quote, _ := b.w.shard.machine.Quote(theEvent, b.hold, holdfast.PromoCode{})
		b.decide(&command.BeginPayment{Buyer: other, Hold: b.hold, Attempt: 1, Amount: quote.Total, Capture: holdfast.CaptureManual})
	case 2:
		b.decide(&command.Hold{Header: command.Header{ID: holdfast.CommandID(b.hold)}, Buyer: other, Wants: b.wants()})
	}
}

// attempt begins to pay, makes the payment and has the buyer pay. It reports whether the visit goes on.
func (b *buyer) attempt(number, last holdfast.Attempt) bool {
	w, s := b.w, b.step
	capture := holdfast.CaptureManual
	if s.AtOnce {
		capture = holdfast.CaptureAtOnce
	}
	quote, _ := w.shard.machine.Quote(theEvent, b.hold, holdfast.PromoCode{})
	since := w.wall()
	if _, ok := b.decide(&command.BeginPayment{Buyer: b.id, Hold: b.hold, Attempt: number, Amount: quote.Total, Capture: capture}); !ok || s.Course == GoneBeforeCreate {
		return false
	}
	if b.dice.IntN(12) == 0 { // somebody who would pay less
		b.decide(&command.Sell{Hold: b.hold, As: command.SalePaid, Attempt: number, Payment: "pi_less", Mode: holdfast.ModeTest, Account: theAccount,
			Amount: holdfast.Money{AmountMinor: quote.Total.AmountMinor - 1, Currency: theCurrency}})
	}
	till := &teller{f: b.f, b: w.bank}
	var p payment.Payment
	for range asks {
		var err error
		p, err = till.Create(w.ctx, payment.Intent{Key: keyOf(b.hold, number), Amount: quote.Total, Capture: capture, Since: since})
		if !payment.KindOf(err).Again() {
			break
		}
		b.f.sleep(time.Second)
	}
	if p.Ref == "" || s.Course == GoneAfterCreate {
		return false
	}
	b.refs = append(b.refs, p.Ref)
	b.decide(&command.AttachPayment{Hold: b.hold, Attempt: number, Payment: string(p.Ref)})
	if s.Course == CancelledAtBank {
		if i := w.bank.byRef[p.Ref]; i.Status == payment.StatusOpen {
			w.bank.cancel(i)
		}
		return false
	}
	b.f.sleep(seconds(b.dice, 0, 3))
	switch s.Course {
	case NeverPays:
		return false
	case PaysTheOldAttempt:
		if number == last {
			for _, ref := range b.refs {
				w.bank.confirm(ref, false, false, 0)
			}
		}
		return true
	case PaysLate:
		b.f.sleep(w.plan.PayFor + seconds(b.dice, -3, 20))
	}
	think := time.Duration(0)
	if s.Course == AtTheBank {
		think = seconds(b.dice, 1, 40)
	}
	w.bank.confirm(p.Ref, s.Course == DeclinedFirst && number < last, s.Course == CaptureFails && number == 1, think)
	b.returns(p.Ref)
	return true
}

// returns is the buyer who comes back from the bank: the frontend looks, and perhaps looks again.
func (b *buyer) returns(ref payment.Ref) {
	w := b.w
	if b.dice.IntN(3) == 0 {
		return // the window was closed
	}
	for range 3 {
		k := w.workers[b.dice.IntN(len(w.workers))]
		if k.dead {
			return
		}
		b.f.until = w.now + hintPatience
		clerk := k.clerk(b.f)
		clerk.Cluster = &desk{f: b.f, c: b.edge}
		v, err := clerk.Look(w.ctx, ref, theIdentity)
		b.f.until = 0
		if err == nil && !v.Pending {
			return
		}
		b.f.sleep(seconds(b.dice, 0, 2))
	}
}

// after is what follows a sale.
func (b *buyer) after() {
	w, s := b.w, b.step
	switch s.Course {
	case Refunded:
		for range 6 {
			b.f.sleep(seconds(b.dice, 1, 6))
			if o, ok := w.shard.machine.Order(b.hold.Order()); ok && o.State <= holdfast.OrderPaid {
				c := &command.Refund{Order: b.hold.Order(), Reason: holdfast.RefundReason(1 + b.dice.IntN(2)), ReturnSeats: b.dice.IntN(2) == 0}
				if len(o.Seats) > 1 && b.dice.IntN(2) == 0 {
					c.Seats = o.Seats[:1]
				}
				b.decide(c)
				return
			}
		}
	case Disputes:
		b.f.sleep(seconds(b.dice, 3, 15))
		if i := w.bank.byRef[b.refs[len(b.refs)-1]]; i != nil {
			w.bank.dispute(i, b.dice.IntN(2) == 0, seconds(b.dice, 2, 15))
		}
	}
}

func keyOf(hold holdfast.HoldID, number holdfast.Attempt) payment.Key {
	return payment.Key{Cluster: theIdentity.Cluster, Incarnation: theIdentity.Incarnation, Event: theEvent, Hold: hold, Attempt: number}
}
