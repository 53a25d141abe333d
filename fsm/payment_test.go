package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// newCheckout is a sale whose event takes its money through the shard.
func newCheckout(t testing.TB, change ...func(*command.EventSpec)) *shard {
	return newSale(t, append([]func(*command.EventSpec){func(spec *command.EventSpec) {
		spec.Checkout = command.Checkout{Mode: holdfast.ModeTest, Account: "acct"}
		spec.Rules.ManyOpenHolds = true
	}}, change...)...)
}

// paidBy is a Sell that names the account.
func paidBy(r command.Result, attempt holdfast.Attempt, ref string) *command.Sell {
	c := paid(r, attempt, ref)
	c.Mode, c.Account = holdfast.ModeTest, "acct"
	return c
}

// order sells a seat and gives what the sale answered.
func (s *shard) order(seat holdfast.SeatIndex, ref string) command.Result {
	r := s.hold(1, seat)
	s.must(holdfast.OK, begin(r, 1))
	return s.must(holdfast.OK, paidBy(r, 1, ref))
}

type refusal struct {
	want holdfast.Outcome
	c    command.Command
}

// TestPaymentsRefuseInOrder: of each command about money, one that has everything wrong with it, mended step by step.
// Refusals come in the order of holdfast.Outcomes, and every one about payments is reached.
func TestPaymentsRefuseInOrder(t *testing.T) {
	reached := map[holdfast.Outcome]bool{}
	ladder := func(name string, s *shard, rungs ...refusal) {
		t.Run(name, func(t *testing.T) {
			last := -1
			for i, r := range rungs {
				got := s.entry(0, r.c)[0].Outcome
				if got != r.want {
					t.Fatalf("rung %d: %s, want %s", i, got.String(), r.want.String())
				}
				place := slices.Index(holdfast.Outcomes(), got)
				if got != holdfast.OK && place < last {
					t.Errorf("rung %d: %s stands below what it goes before", i, got.String())
				}
				last = place
				reached[got] = true
			}
		})
	}
	elsewhere := command.Header{Event: 99}
	s := newCheckout(t, func(spec *command.EventSpec) {
		spec.Checkout.LeastMinor = 4000
		spec.Checkout.Promos = []command.Promo{{Code: holdfast.PromoCode{1}, AmountMinor: 1, UsesMax: 1}, {Code: holdfast.PromoCode{2}, AmountMinor: 2000}}
	})
	pay := func(h command.Result, attempt holdfast.Attempt, minor int64, promo byte) *command.BeginPayment {
		return &command.BeginPayment{Buyer: buyerNo(1), Hold: h.Hold, Attempt: attempt, Amount: eur(minor), Promo: holdfast.PromoCode{promo}}
	}
	a, b := s.hold(1, 1), s.hold(1, 2)
	used := s.hold(1, 3)
	s.must(holdfast.OK, pay(used, 1, 4999, 1))
	stolen := pay(a, 9, 1, 3)
	stolen.Buyer = buyerNo(2)
	ladder("begin payment", s,
		refusal{holdfast.EventUnknown, &command.BeginPayment{Header: elsewhere, Attempt: 1, Amount: eur(1)}},
		refusal{holdfast.HoldUnknown, pay(command.Result{Hold: holdfast.HoldID{9}}, 1, 1, 3)}, refusal{holdfast.HoldNotYours, stolen},
		refusal{holdfast.AttemptStale, pay(a, 9, 1, 3)}, refusal{holdfast.AmountMismatch, pay(a, 1, 1, 2)},
		refusal{holdfast.AmountTooSmall, pay(a, 1, 3000, 2)}, refusal{holdfast.PromoUnknown, pay(a, 1, 1, 3)},
		refusal{holdfast.PromoUsedUp, pay(a, 1, 4999, 1)}, refusal{holdfast.OK, pay(a, 1, 5000, 0)}, refusal{holdfast.OK, pay(a, 1, 5000, 0)})
	for attempt := holdfast.Attempt(2); attempt <= holdfast.AttemptsMax; attempt++ {
		s.must(holdfast.OK, pay(a, attempt, 5000, 0))
	}
	s.must(holdfast.OK, &command.FailPayment{Hold: a.Hold, Attempt: holdfast.AttemptsMax})
	ladder("more attempts", s, refusal{holdfast.AttemptOver, pay(a, holdfast.AttemptsMax, 5000, 0)},
		refusal{holdfast.AttemptsExhausted, pay(a, holdfast.AttemptsMax+1, 5000, 0)})

	s.must(holdfast.OK, pay(b, 1, 5000, 0))
	s.must(holdfast.OK, &command.AttachPayment{Hold: b.Hold, Attempt: 1, Payment: "pi_b"})
	sell := func(attempt holdfast.Attempt, minor int64, ref, account string) *command.Sell {
		return &command.Sell{Hold: b.Hold, As: command.SalePaid, Attempt: attempt, Amount: eur(minor), Payment: ref, Mode: holdfast.ModeTest, Account: account}
	}
	live := sell(1, 5000, "pi_b", "acct")
	live.Mode = holdfast.ModeLive
	over := sell(holdfast.AttemptsMax, 5000, "pi_a", "other")
	over.Hold = a.Hold
	c := s.hold(1, 5)
	ladder("sell", s, refusal{holdfast.AttemptStale, sell(2, 1, "pi_x", "other")}, refusal{holdfast.AmountMismatch, sell(1, 1, "pi_x", "other")},
		refusal{holdfast.PaymentReused, sell(1, 5000, "pi_x", "other")}, refusal{holdfast.AttemptOver, over}, refusal{holdfast.PaymentForeign, sell(1, 5000, "pi_b", "other")},
		refusal{holdfast.PaymentForeign, live}, refusal{holdfast.InvoiceRefused, &command.Sell{Hold: c.Hold, As: command.SaleInvoiced, Amount: eur(5000)}},
		refusal{holdfast.OK, sell(1, 5000, "pi_b", "acct")})

	attach := func(hold holdfast.HoldID, attempt holdfast.Attempt, ref string) command.Command {
		return &command.AttachPayment{Hold: hold, Attempt: attempt, Payment: ref}
	}
	failing := func(hold holdfast.HoldID, attempt holdfast.Attempt, ref string) command.Command {
		return &command.FailPayment{Hold: hold, Attempt: attempt, Payment: ref}
	}
	ladder("attach payment", s, refusal{holdfast.EventUnknown, &command.AttachPayment{Header: elsewhere, Attempt: 1, Payment: "pi_b"}},
		refusal{holdfast.PaymentReused, attach(used.Hold, 1, "pi_b")}, refusal{holdfast.PaymentUnknown, attach(used.Hold, 7, "pi_b")},
		refusal{holdfast.OK, attach(used.Hold, 1, "pi_u")}, refusal{holdfast.OK, attach(used.Hold, 1, "pi_u")})
	capture := s.m.Effects(1, 1000)
	acked := capture[len(capture)-1]
	ladder("ack effect", s, refusal{holdfast.EventUnknown, &command.AckEffect{Header: elsewhere, Effect: acked.ID, Result: holdfast.EffectDone, Amount: eur(1)}},
		refusal{holdfast.AmountMismatch, &command.AckEffect{Effect: acked.ID, Result: holdfast.EffectDone, Amount: eur(1), Payment: "pi_u"}},
		refusal{holdfast.PaymentReused, &command.AckEffect{Effect: acked.ID, Result: holdfast.EffectDone, Amount: eur(5000), Payment: "pi_u"}},
		refusal{holdfast.OK, &command.AckEffect{Effect: acked.ID, Result: holdfast.EffectDone, Amount: eur(5000)}},
		refusal{holdfast.EffectUnknown, &command.AckEffect{Effect: acked.ID, Result: holdfast.EffectDone, Amount: eur(5000)}})
	ladder("fail payment", s, refusal{holdfast.EventUnknown, &command.FailPayment{Header: elsewhere, Attempt: 1}},
		refusal{holdfast.PaymentReused, failing(b.Hold, 1, "pi_u")}, refusal{holdfast.PaymentUnknown, failing(b.Hold, 7, "pi_u")},
		refusal{holdfast.PaymentCurrent, failing(b.Hold, 1, "pi_b")}, refusal{holdfast.OK, failing(used.Hold, 1, "pi_u")})

	stray := func(money holdfast.Money, ref, account string) command.Command {
		return &command.StrayMoney{Hold: b.Hold, Attempt: 1, Amount: money, Captured: true, Mode: holdfast.ModeTest, Account: account, Payment: ref}
	}
	ladder("stray money", s, refusal{holdfast.EventUnknown, &command.StrayMoney{Header: elsewhere, Attempt: 1, Amount: eur(1), Payment: "pi_b"}},
		refusal{holdfast.AmountMismatch, stray(holdfast.Money{AmountMinor: 1, Currency: "usd"}, "pi_b", "other")},
		refusal{holdfast.PaymentForeign, stray(eur(1), "pi_b", "other")}, refusal{holdfast.PaymentCurrent, stray(eur(1), "pi_b", "acct")}, refusal{holdfast.OK, stray(eur(1), "pi_s", "acct")})

	dispute := func(state holdfast.DisputeState, ref string, minor int64) command.Command {
		return &command.Dispute{State: state, Payment: ref, Amount: eur(minor)}
	}
	refund := func(hold holdfast.HoldID, seats ...holdfast.SeatIndex) command.Command {
		return &command.Refund{Order: hold.Order(), Reason: holdfast.RefundBuyer, Seats: seats}
	}
	ladder("dispute", s, refusal{holdfast.EventUnknown, &command.Dispute{Header: elsewhere, State: holdfast.DisputeOpened, Payment: "pi_b", Amount: eur(1)}},
		refusal{holdfast.AmountMismatch, dispute(holdfast.DisputeOpened, "pi_b", 5001)}, refusal{holdfast.PaymentUnknown, dispute(holdfast.DisputeOpened, "pi_x", 5001)},
		refusal{holdfast.OrderNotPaid, dispute(holdfast.DisputeOpened, "pi_u", 0)}, refusal{holdfast.OK, dispute(holdfast.DisputeOpened, "pi_b", 5000)})
	ladder("refund", s, refusal{holdfast.EventUnknown, &command.Refund{Header: elsewhere, Reason: holdfast.RefundBuyer}},
		refusal{holdfast.OrderUnknown, refund(used.Hold)}, refusal{holdfast.OrderDisputed, refund(b.Hold, 9)})
	s.must(holdfast.OK, dispute(holdfast.DisputeWon, "pi_b", 5000))
	ladder("refund of seats", s, refusal{holdfast.SeatNotInOrder, refund(b.Hold, 9)}, refusal{holdfast.SeatNotInOrder, refund(b.Hold, 2, 2)}, refusal{holdfast.OK, refund(b.Hold, 2)})
	last := s.m.Effects(1, 1000)
	owed := last[len(last)-1].ID
	s.must(holdfast.OK, dispute(holdfast.DisputeOpened, "pi_b", 5000))
	ladder("retry effect", s, refusal{holdfast.EventUnknown, &command.RetryEffect{Header: elsewhere, Effect: owed}},
		refusal{holdfast.OrderDisputed, &command.RetryEffect{Effect: owed}}, refusal{holdfast.EffectUnknown, &command.RetryEffect{Effect: 999}})
	ladder("put person", s, refusal{holdfast.EventUnknown, &command.PutPerson{Header: elsewhere, Blob: []byte{1}}},
		refusal{holdfast.HoldUnknown, &command.PutPerson{Hold: holdfast.HoldID{9}, Blob: []byte{1}}}, refusal{holdfast.OK, &command.PutPerson{Hold: b.Hold, Blob: []byte{1}}},
		refusal{holdfast.OK, &command.ForgetPerson{Hold: b.Hold}}, refusal{holdfast.EventUnknown, &command.ForgetPerson{Header: elsewhere, Hold: b.Hold}})
	ladder("incarnation", s, refusal{holdfast.OK, &command.SetIncarnation{Incarnation: 5}}, refusal{holdfast.IncarnationStale, &command.SetIncarnation{Incarnation: 4}},
		refusal{holdfast.IncarnationStale, &command.SetIncarnation{Incarnation: 6, Reconciled: true}})
	ladder("begin payment in a new life", s, refusal{holdfast.AmountMismatch, pay(c, 1, 1, 0)}, refusal{holdfast.PaymentsPaused, pay(c, 1, 3000, 2)})

	for _, o := range holdfast.Outcomes() {
		if o >= holdfast.PaymentsPaused && o <= holdfast.IncarnationStale && !reached[o] {
			t.Errorf("no ladder reaches %s", o.String())
		}
	}
}

// TestCheckSeesEveryPlantedFaultOfMoney breaks the books, one thing at a time.
func TestCheckSeesEveryPlantedFaultOfMoney(t *testing.T) {
	type marks struct{ begun, capturing, refunding, stray uint32 } // slots in payments
	for name, c := range map[string]struct {
		rule  string
		plant func(m *Machine, at marks)
	}{
		"money vanishes":                  {RuleMoney, func(m *Machine, at marks) { m.state.payments.edit(at.refunding).Captured-- }},
		"a refund is owed twice":          {RuleMoney, func(m *Machine, at marks) { m.state.payments.edit(at.refunding).Owed *= 2 }},
		"a line is worth more than paid":  {RuleMoney, func(m *Machine, at marks) { m.editBill(m.state.payments.at(at.capturing).Order).Live++ }},
		"money is here that did not come": {RuleMoney, func(m *Machine, at marks) { m.state.payments.edit(at.begun).Captured = 1 }},
		"money below zero":                {RuleMoney, func(m *Machine, at marks) { p := m.state.payments.edit(at.stray); p.Owed++; p.Refunded-- }},
		"an order stands on another": {RuleMoney, func(m *Machine, at marks) {
			m.state.orders.edit(m.state.payments.at(at.capturing).Order).Payment = at.stray
		}},
		"an order is paid too early": {RuleMoney, func(m *Machine, at marks) {
			m.state.orders.edit(m.state.payments.at(at.capturing).Order).State = holdfast.OrderPaid
		}},
		"an order is cancelled with seats": {RuleMoney, func(m *Machine, at marks) {
			m.state.orders.edit(m.state.payments.at(at.capturing).Order).State = holdfast.OrderCancelled
		}},
		"an order without a payment": {RuleMoney, func(m *Machine, at marks) {
			m.state.orders.edit(m.state.payments.at(at.capturing).Order).Payment = 0
		}},
		"a capture takes more":   {RuleMoney, func(m *Machine, at marks) { m.state.effects.edit(m.state.payments.at(at.capturing).Effect).Amount++ }},
		"a capture is forgotten": {RuleOutbox, func(m *Machine, at marks) { m.dropEffect(m.state.payments.at(at.capturing).Effect) }},
		"a refund is forgotten":  {RuleOutbox, func(m *Machine, at marks) { m.dropEffect(m.state.payments.at(at.refunding).Effect) }},
		"a void is forgotten": {RuleOutbox, func(m *Machine, at marks) {
			m.condemn(at.begun)
			m.dropEffect(m.state.payments.at(at.begun).Effect)
		}},
		"what is in payment is voided": {RuleOutbox, func(m *Machine, at marks) { m.owe(at.begun, holdfast.EffectVoid, false) }},
		"an effect is about another": {RuleOutbox, func(m *Machine, at marks) {
			m.state.effects.edit(m.state.payments.at(at.stray).Effect).Payment = at.begun
		}},
		"an effect is not due": {RuleOutbox, func(m *Machine, at marks) { m.ready = ranking{} }},
		"a parked effect is due": {RuleOutbox, func(m *Machine, at marks) {
			m.state.effects.edit(m.state.payments.at(at.stray).Effect).State = holdfast.EffectParked
		}},
		"effects are due out of order": {RuleOutbox, func(m *Machine, at marks) { m.state.effects.edit(m.state.payments.at(at.stray).Effect).Urgent = true }},
		"an effect waits that is due": {RuleOutbox, func(m *Machine, at marks) {
			m.state.effects.edit(m.state.payments.at(at.stray).Effect).NotBefore = m.Clock() + 9
		}},
		"an effect is not found":         {RuleIndex, func(m *Machine, at marks) { m.byEffect = index{} }},
		"an attempt is not found":        {RuleIndex, func(m *Machine, at marks) { m.byAttempt = index{} }},
		"a reference is not found":       {RulePayment, func(m *Machine, at marks) { m.byRef = index{} }},
		"a code is counted once more":    {RulePromo, func(m *Machine, at marks) { m.count(at.capturing); m.state.promos.edit(1).Uses++ }},
		"a code is used uncounted":       {RulePromo, func(m *Machine, at marks) { m.state.payments.edit(at.begun).Counted = false }},
		"a person's chunk is lost":       {RuleIndex, func(m *Machine, at marks) { m.state.chunks.add(chunkRecord{}) }},
		"somebody is known for nothing":  {RulePerson, func(m *Machine, at marks) { m.state.persons.edit(1).Hold[0]++ }},
		"an order's buyer is not needed": {RuleBuyer, func(m *Machine, at marks) { m.ordersOf[1]-- }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCheckout(t, func(spec *command.EventSpec) {
				spec.Checkout.Promos = []command.Promo{{Code: holdfast.PromoCode{1}, AmountMinor: 1}}
			})
			capturing, refunding := s.order(1, "pi_1"), s.order(2, "pi_2")
			s.must(holdfast.OK, &command.AckEffect{Effect: refunding.Effect, Result: holdfast.EffectDone, Amount: eur(5000)})
			s.must(holdfast.OK, &command.Refund{Order: refunding.Hold.Order(), Reason: holdfast.RefundBuyer})
			r := s.hold(1, 3)
			pay := begin(r, 1)
			pay.Promo, pay.Amount = holdfast.PromoCode{1}, eur(4999)
			s.must(holdfast.OK, pay)
			s.must(holdfast.OK, &command.PutPerson{Hold: r.Hold, Blob: make([]byte, 300)})
			s.must(holdfast.OK, &command.StrayMoney{Hold: r.Hold, Attempt: 9, Amount: eur(7), Captured: true, Mode: holdfast.ModeTest, Account: "acct", Payment: "pi_s"})
			c.plant(s.m, marks{s.m.findAttempt(r.Hold, 1), s.m.findAttempt(capturing.Hold, 1), s.m.findAttempt(refunding.Hold, 1), s.m.findRef([]byte("pi_s"))})
			var rules []string
			for _, v := range s.m.Check() {
				if v.Rule == c.rule {
					return
				}
				rules = append(rules, v.String())
			}
			t.Errorf("Check does not say %q, but %q", c.rule, rules)
		})
	}
}

// TestAFailedLedgerStopsTheMachine: the books are asserted where they change, not only when somebody checks.
func TestAFailedLedgerStopsTheMachine(t *testing.T) {
	s := newCheckout(t)
	r := s.order(1, "pi_1")
	s.m.state.payments.edit(s.m.findAttempt(r.Hold, 1)).Kept++
	defer func() {
		if e, ok := recover().(*AssertionError); !ok || !strings.Contains(e.Message, "does not add up") {
			t.Errorf("no assertion failed: %v", e)
		}
	}()
	s.entry(0, &command.Refund{Order: r.Hold.Order(), Reason: holdfast.RefundBuyer})
}

// TestABacklogCostsApplyNothing counts what is visited in the ranking, not time: with 100,000 effects owed a command
// that owes another, and one that acknowledges, costs about what it costs with a hundred.
func TestABacklogCostsApplyNothing(t *testing.T) {
	cost := func(backlog int) uint64 {
		s := newCheckout(t)
		r := s.order(1, "pi_1")
		payment := s.m.findAttempt(r.Hold, 1)
		for i := range backlog {
			p := *s.m.state.payments.at(payment)
			p.Hold, p.Attempt, p.Effect, p.RefBytes, p.Stray = holdfast.HoldID{byte(i), byte(i >> 8), byte(i >> 16), 1}, 1, 0, 0, false
			p.State, p.Order = holdfast.PaymentCondemned, 0
			s.m.owe(s.m.addPayment(p), holdfast.EffectVoid, false)
		}
		before := s.m.ready.steps
		const orders = 20
		out := command.Output{Answer: true}
		for i := range orders {
			x := s.m.state.effectLast
			b := command.BeginEntry(nil)
			hold := &command.StrayMoney{Header: command.Header{ID: s.newID(1000), Event: theEvent}, Hold: holdfast.HoldID{9}, Attempt: 1, Amount: eur(5), Captured: true,
				Mode: holdfast.ModeTest, Account: "acct", Payment: fmt.Sprint("pi_s", i)}
			b = hold.Append(b)
			b = (&command.AckEffect{Header: command.Header{ID: s.newID(1000), Event: theEvent}, Effect: x + 1, Result: holdfast.EffectDone, Amount: eur(5)}).Append(b)
			s.index++
			s.m.Apply(s.index, command.FinishEntry(b, 100, 1000, 2), &out)
		}
		if s.m.Stats().Effects != backlog+1 {
			t.Fatalf("%d effects, want %d", s.m.Stats().Effects, backlog+1)
		}
		visited, due := 0, s.m.ready.steps
		s.m.DueEffects(10, func(EffectView) bool { visited++; return true })
		if visited != min(10, backlog+1) || s.m.ready.steps != due {
			t.Errorf("%d effects visited", visited)
		}
		return (s.m.ready.steps - before) / orders
	}
	few, many := cost(100), cost(100_000)
	t.Logf("%d steps with a hundred owed, %d with 100,000", few, many)
	if many > 6*few || many > 300 {
		t.Errorf("%d steps with a hundred owed, %d with 100,000: it must grow as the logarithm", few, many)
	}
}

// TestWhatIsOverIsForgotten after the retention, and not before; orders and what is owed stay.
func TestWhatIsOverIsForgotten(t *testing.T) {
	s := newCheckout(t)
	r := s.hold(1, 1)
	s.must(holdfast.OK, begin(r, 1))
	second := s.must(holdfast.OK, begin(r, 2))
	s.must(holdfast.OK, &command.AckEffect{Effect: second.Effect, Result: holdfast.EffectDone, Amount: eur(0)})
	s.must(holdfast.OK, begin(r, 3))
	s.must(holdfast.OK, paidBy(r, 3, "pi_3"))
	at := func(wallMs int64) {
		for range 20 {
			s.index++
			s.m.Apply(s.index, command.FinishEntry(command.BeginEntry(nil), 1000, wallMs, 0), &s.out)
		}
		s.sound()
	}
	equal(t, "payments", s.m.Stats().Payments, 3)
	at(s.m.WallMs() + retentionMs - 10_000)
	equal(t, "payments before the retention", s.m.Stats().Payments, 3)
	at(s.m.WallMs() + 10_000)
	equal(t, "payments after it: the order's, and one whose void is owed", s.m.Stats().Payments, 2)
	equal(t, "effects", s.m.Stats().Effects, 2)
}

// TestRetriesBackOffAndAreParked at the end, with what they failed with; asked for again they begin anew.
func TestRetriesBackOffAndAreParked(t *testing.T) {
	s := newCheckout(t)
	id := s.order(1, "pi_1").Effect
	last := holdfast.Clock(0)
	for try := range triesMax {
		s.must(holdfast.OK, &command.AckEffect{Effect: id, Result: holdfast.EffectRetry, Amount: eur(0), Code: "timeout"})
		x, _ := s.m.Effect(id)
		wait := x.NotBefore - s.m.Clock()
		if try+1 == triesMax {
			equal(t, "state", x.State, holdfast.EffectParked)
			break
		}
		if x.State != holdfast.EffectOwed || wait < last || wait > backoffMicrosMax || x.Tries != try+1 || x.Code != "timeout" {
			t.Fatalf("after try %d: %+v", try+1, x)
		}
		last = wait
	}
	equal(t, "the longest wait", last, backoffMicrosMax)
	equal(t, "parked", s.m.Stats().Parked, 1)
	s.must(holdfast.OK, &command.RetryEffect{Effect: id})
	x, _ := s.m.Effect(id)
	equal(t, "tries", x.Tries, 0)
	equal(t, "state", x.State, holdfast.EffectOwed)
}

// TestThePersonGoesWithTheHold: what is known about a buyer is there for the order, and gone with a hold that ends.
func TestThePersonGoesWithTheHold(t *testing.T) {
	s := newCheckout(t)
	blob := bytes.Repeat([]byte{7}, holdfast.PersonBytesMax)
	sold, lost := s.order(1, "pi_1"), s.hold(1, 2)
	s.must(holdfast.OK, &command.PutPerson{Hold: sold.Hold, Blob: []byte("first")})
	s.must(holdfast.OK, &command.PutPerson{Hold: sold.Hold, Blob: blob})
	s.must(holdfast.OK, &command.PutPerson{Hold: lost.Hold, Blob: blob[:1]})
	s.m = restored(t, snapshot(t, s.m))
	got, ok := s.m.Person(sold.Hold)
	if !ok || !bytes.Equal(got, blob) {
		t.Errorf("%d bytes of the person, want %d", len(got), len(blob))
	}
	s.must(holdfast.OK, &command.Release{Buyer: buyerNo(1), Hold: lost.Hold})
	if _, ok := s.m.Person(lost.Hold); ok {
		t.Error("the person outlives the hold")
	}
	s.must(holdfast.OK, &command.ForgetPerson{Hold: sold.Hold})
	if _, ok := s.m.Person(sold.Hold); ok {
		t.Error("the person was not forgotten")
	}
}

// TestTheAccountIsForGood once the sale was opened.
func TestTheAccountIsForGood(t *testing.T) {
	s := newCheckout(t)
	spec := hall()
	spec.Rules.ManyOpenHolds = true
	for _, c := range []command.Checkout{{}, {Mode: holdfast.ModeLive, Account: "acct"}, {Mode: holdfast.ModeTest, Account: "other"}} {
		spec.Checkout = c
		s.must(holdfast.EventConflict, &command.PutEvent{Expect: 1, Spec: spec})
	}
	spec.Checkout = command.Checkout{Mode: holdfast.ModeTest, Account: "acct", FeePerUnitMinor: 1}
	s.must(holdfast.OK, &command.PutEvent{Expect: 1, Spec: spec})
}

// TestRefundsAddUpWhateverTheirOrder: an order of three prices with fees and tax, refunded seat by seat in any order,
// gives back all that was captured, to the last minor unit.
func TestRefundsAddUpWhateverTheirOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := newCheckout(t, func(spec *command.EventSpec) {
			spec.Tiers[0].PriceMinor, spec.Tiers[1].PriceMinor = 1+r.Int64N(9999), 1+r.Int64N(9999)
			spec.Checkout.FeePerOrderMinor, spec.Checkout.TaxBps, spec.Checkout.KeepFees = r.Int64N(777), uint16(r.IntN(2500)), r.IntN(2) == 0
		})
		seats := []holdfast.SeatIndex{1, 2, 11, 12, 45}
		held := s.hold(1, seats...)
		q, _ := s.m.Quote(theEvent, held.Hold, holdfast.PromoCode{})
		held.Amount = q.Total
		s.must(holdfast.OK, begin(held, 1))
		x := s.must(holdfast.OK, paidBy(held, 1, "pi_1")).Effect
		s.must(holdfast.OK, &command.AckEffect{Effect: x, Result: holdfast.EffectDone, Amount: q.Total})
		r.Shuffle(len(seats), func(i, j int) { seats[i], seats[j] = seats[j], seats[i] })
		for _, seat := range seats {
			s.must(holdfast.OK, &command.Refund{Order: held.Hold.Order(), Reason: holdfast.RefundReason(1 + r.IntN(2)), ReturnSeats: r.IntN(2) == 0, Seats: []holdfast.SeatIndex{seat}})
		}
		p, _ := s.m.Payment("pi_1")
		if l := p.Ledger; l.Live != 0 || l.Owed+l.Kept != q.Total.AmountMinor || l.Kept > q.Total.AmountMinor-l.Owed {
			t.Fatalf("seed %d: %+v of %d", seed, l, q.Total.AmountMinor)
		}
	}
}

// TestTheRankingKeepsOrder against a sorted list.
func TestTheRankingKeepsOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	var ranked ranking
	var plain []rank
	slots := map[uint64]uint32{}
	for id := uint64(1); id <= 3000; id++ {
		if len(plain) > 0 && r.IntN(3) == 0 {
			at := r.IntN(len(plain))
			ranked.drop(slots[plain[at].id], plain[at])
			plain = slices.Delete(plain, at, at+1)
		}
		k := rank{class: uint8(r.IntN(4)), at: uint64(r.IntN(5)), id: id}
		slots[id] = uint32(id)
		ranked.add(uint32(id), k)
		at, _ := slices.BinarySearchFunc(plain, k, func(a, b rank) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		plain = slices.Insert(plain, at, k)
	}
	var got []uint64
	ranked.visit(func(slot uint32) bool { got = append(got, uint64(slot)); return true })
	for i, k := range plain {
		if i >= len(got) || got[i] != k.id {
			t.Fatalf("place %d of %d is %v, want %d", i, len(plain), got[min(i, len(got)-1)], k.id)
		}
	}
	equal(t, "slots", ranked.len(), len(plain))
}
