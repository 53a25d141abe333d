package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// moneyMuddle makes commands about money that hit one another in every state: few seats, few buyers, few references,
// hints and acknowledgements that are right, late or nonsense.
type moneyMuddle struct {
	*rand.Rand
	holds []holdfast.HoldID
}

func (r *moneyMuddle) some(list []holdfast.HoldID) holdfast.HoldID {
	if len(list) == 0 {
		return holdfast.HoldID{1}
	}
	return list[max(0, len(list)-1-r.IntN(10))]
}

func (r *moneyMuddle) command(s *shard) command.Command {
	hold := r.some(r.holds)
	v, _ := s.m.Hold(hold)
	attempt := max(1, v.Attempt-holdfast.Attempt(r.IntN(4)/3))
	ref := fmt.Sprintf("pi_%x_%d", hold[12:], attempt)
	amount := v.Amount
	if amount.Currency == "" {
		amount = eur(5000)
	}
	switch r.IntN(24) {
	case 0, 1, 2:
		code := holdfast.PromoCode{byte(r.IntN(3))}
		q, _ := s.m.Quote(theEvent, hold, code)
		if q.Total.Currency == "" {
			q.Total = amount
		}
		return &command.BeginPayment{Buyer: v.Buyer, Hold: hold, Attempt: max(1, v.Attempt+holdfast.Attempt(r.IntN(5)+3)/4), Amount: q.Total, Promo: code,
			Capture: holdfast.CaptureMethod(r.IntN(3)), Contact: holdfast.ContactID{byte(r.IntN(2))}}
	case 3, 4, 5:
		c := &command.Sell{Hold: hold, As: command.SalePaid, Attempt: attempt, Amount: amount, Payment: ref, Mode: holdfast.ModeTest, Account: "acct"}
		if p, ok := s.m.Attempt(hold, attempt); ok {
			c.Amount = p.Amount
		}
		return c
	case 6:
		return &command.Sell{Hold: hold, As: command.SaleKind(2 + r.IntN(2)), Amount: []holdfast.Money{amount, eur(0)}[r.IntN(2)]}
	case 7, 8, 9, 10:
		return r.ack(s)
	case 11:
		return &command.FailPayment{Hold: hold, Attempt: attempt, Payment: ref}
	case 12:
		return &command.AttachPayment{Hold: hold, Attempt: attempt, Payment: ref}
	case 13:
		c := &command.Refund{Order: hold.Order(), Reason: holdfast.RefundReason(1 + r.IntN(2)), ReturnSeats: r.IntN(2) == 0}
		if len(v.Seats) > 0 && r.IntN(2) == 0 {
			c.Seats = v.Seats[:1+r.IntN(len(v.Seats))]
		}
		return c
	case 14, 15:
		if r.IntN(3) == 0 {
			ref += "_dup"
		}
		return &command.StrayMoney{Hold: hold, Attempt: attempt, Amount: eur(max(1, amount.AmountMinor)), Captured: r.IntN(2) == 0, Mode: holdfast.ModeTest, Account: "acct", Payment: ref}
	case 16:
		return &command.Dispute{State: holdfast.DisputeState(1 + r.IntN(3)), Amount: eur(1 + r.Int64N(amount.AmountMinor+1)), Payment: ref}
	case 17:
		return &command.PutPerson{Hold: hold, Blob: make([]byte, 1+r.IntN(400))}
	case 18:
		life, _ := s.m.Incarnation()
		return &command.SetIncarnation{Incarnation: life + holdfast.Incarnation(r.IntN(12)/11), Reconciled: r.IntN(2) == 0}
	default:
		id := s.newID(uint64(r.IntN(60_000)))
		r.holds = append(r.holds, holdfast.HoldID(id))
		return &command.Hold{Header: command.Header{ID: id}, Buyer: buyerNo(byte(r.IntN(12))),
			Wants: []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: byte(1 + r.IntN(3))}}}
	}
}

// ack reports about an effect that is owed.
func (r *moneyMuddle) ack(s *shard) command.Command {
	owed := s.m.Effects(1, 1000)
	if len(owed) == 0 {
		return &command.RetryEffect{Effect: 1}
	}
	x := owed[r.IntN(len(owed))]
	if r.IntN(6) == 0 {
		return &command.RetryEffect{Effect: x.ID}
	}
	c := &command.AckEffect{Effect: x.ID, Result: []holdfast.EffectResult{1, 1, 1, 2, 3}[r.IntN(5)], Amount: eur(0), Code: "why"}
	if x.Kind == holdfast.EffectCapture || x.Kind == holdfast.EffectRefund || x.Kind == holdfast.EffectVoid && c.Result == holdfast.EffectFailed && r.IntN(2) == 0 {
		c.Amount = x.Amount
	}
	return c
}

// bank knows what moved from what was asked and answered alone: an order book that shares no code with the machine's.
type bank struct {
	owed                           map[holdfast.EffectID]EffectView // as it was told
	counted                        map[string]bool                  // what must not be counted twice
	captured, refunded, chargeback int64
}

// once reports whether this is told for the first time.
func (b *bank) once(what string) bool {
	again := b.counted[what]
	b.counted[what] = true
	return !again
}

// see enters a command that took effect. The machine is asked for nothing but the method of an attempt.
func (b *bank) see(m *Machine, c command.Command) {
	switch c := c.(type) {
	case *command.AckEffect:
		x := b.owed[c.Effect]
		switch {
		case c.Result == holdfast.EffectDone && x.Kind == holdfast.EffectCapture:
			b.captured += x.Amount.AmountMinor
		case c.Result == holdfast.EffectDone && x.Kind == holdfast.EffectRefund:
			b.refunded += x.Amount.AmountMinor
		case c.Result == holdfast.EffectFailed && x.Kind == holdfast.EffectVoid && c.Amount.AmountMinor > 0:
			b.captured += c.Amount.AmountMinor
			b.once("taken by " + c.Payment + x.Payment)
		}
	case *command.Sell:
		p, ok := m.Attempt(c.Hold, c.Attempt)
		if ok && p.Capture == holdfast.CaptureAtOnce && b.once("taken by "+c.Payment) {
			b.captured += c.Amount.AmountMinor
		}
	case *command.StrayMoney:
		if c.Captured && b.once("taken by "+c.Payment) {
			b.captured += c.Amount.AmountMinor
		}
	case *command.Dispute:
		if c.State == holdfast.DisputeLost && b.once("lost "+c.Payment) {
			b.chargeback += c.Amount.AmountMinor
		}
	}
}

// agree compares the bank's books with the machine's, and looks that no code was used too often.
func (b *bank) agree(s *shard) {
	books := s.m.Ledger(theEvent)
	if books.Captured != b.captured || books.Refunded != b.refunded || books.ChargedBack != b.chargeback {
		s.Fatalf("entry %d: the bank has moved %d, %d back and %d by disputes; the books say %+v", s.index, b.captured, b.refunded, b.chargeback, books)
	}
	for _, p := range s.m.event(theEvent).checkout.Promos {
		if uses := s.m.promoUses(0, p.Code); uses > p.UsesMax {
			s.Fatalf("entry %d: %s is used %d times, at most %d", s.index, p.Code, uses, p.UsesMax)
		}
	}
	for _, x := range s.m.Effects(1, 10_000) {
		b.owed[x.ID] = x
	}
}

// aMoneyMuddle is a sale with every rule, after so many entries.
func aMoneyMuddle(t testing.TB, seed uint64, entries int) *shard {
	s := newCheckout(t, func(spec *command.EventSpec) {
		spec.Rules = command.Rules{HoldTTLMs: 8000, PayWindowMs: 5000, CoolDownMs: 1000}
		spec.Checkout.AtOnceMs, spec.Checkout.PayAgainMs, spec.Checkout.FeePerOrderMinor, spec.Checkout.TaxBps = 5000, 9000, 150, 700
		spec.Checkout.KeepFees, spec.Checkout.Notify, spec.Checkout.Invoices = true, true, seed%2 == 0
		spec.Checkout.Promos = []command.Promo{{Code: holdfast.PromoCode{1}, Bps: 10_000, UsesMax: 3}, {Code: holdfast.PromoCode{2}, AmountMinor: 777, UsesMax: 5}}
	})
	r := &moneyMuddle{Rand: rand.New(rand.NewPCG(seed, 5))}
	for range entries {
		s.entry([]uint32{0, 3, 500, 500}[r.IntN(4)], r.command(s), r.command(s))
	}
	return s
}

// TestAMuddleOfMoneyKeepsItsBooks: Check after every entry, and a machine that is restored now and then answers the
// same and is the same, whatever is asked of it. What a bank would have moved is what the books say. Every kind of outcome that there is for money comes up.
func TestAMuddleOfMoneyKeepsItsBooks(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	outcomes, states := map[holdfast.Outcome]int{}, map[string]int{}
	for seed := range seeds {
		s := aMoneyMuddle(t, seed, 0)
		theBank := &bank{owed: map[holdfast.EffectID]EffectView{}, counted: map[string]bool{}}
		twin := &shard{TB: t, m: restored(t, snapshot(t, s.m)), index: s.index}
		r := &moneyMuddle{Rand: rand.New(rand.NewPCG(seed, 4))}
		for i := range 800 {
			var cmds []command.Command
			for range r.IntN(6) {
				cmds = append(cmds, r.command(s))
			}
			step := []uint32{0, 3, 500, 500}[r.IntN(4)]
			for i, result := range s.entry(step, cmds...) {
				if outcomes[result.Outcome]++; result.Outcome == holdfast.OK && !result.Repeated {
					theBank.see(s.m, cmds[i])
				}
			}
			theBank.agree(s)
			twin.entry(step, cmds...)
			if !bytes.Equal(s.out.Results, twin.out.Results) {
				t.Fatalf("seed %d, entry %d: the twin answers otherwise", seed, s.index)
			}
			if i%50 == 0 {
				b := snapshot(t, s.m)
				if !bytes.Equal(b, snapshot(t, twin.m)) {
					t.Fatalf("seed %d, entry %d: the twin is another", seed, s.index)
				}
				twin.m = restored(t, b)
			}
		}
		for _, p := range s.m.state.payments.all() {
			states[p.State.String()]++
		}
		for _, o := range s.m.state.orders.all() {
			states["order "+o.State.String()]++
		}
		books := s.m.Ledger(theEvent)
		if books.Captured+books.Capturing+books.Overdrawn != books.Live+books.Kept+books.Owed+books.Refunded+books.ChargedBack {
			t.Errorf("seed %d: the event's books do not add up: %+v", seed, books)
		}
	}
	t.Log(states)
	for _, o := range []holdfast.Outcome{holdfast.AttemptOver, holdfast.PromoUsedUp, holdfast.PaymentsPaused, holdfast.PaymentCurrent, holdfast.PaymentReused,
		holdfast.OrderDisputed, holdfast.SeatNotInOrder, holdfast.AmountMismatch} {
		if outcomes[o] == 0 && !testing.Short() {
			t.Errorf("nothing was ever %s", o.String())
		}
	}
}
