package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
)

// The exhaustive model of payments. One seat, a buyer who pays for it in up to so many attempts, another who may take
// it when it is free, a provider, its hints, settlement workers and the clock: every order in which these can act is
// walked through, on the real machine, which is cloned by its snapshot at each step, so that every step is a change of
// leader too. States that differ in nothing that matters are one state.
//
// The surroundings are as bad as they may be. A hint carries any state that a payment ever had, at any time, any number
// of times. A worker that holds an effect may do it long after another did it and it was acknowledged, and may die
// between doing and acknowledging. The call that creates a payment may arrive after the payment was condemned.
//
// What follows from old news is in nobody's hands; what workers do who know the present counts as done sooner or later.
//
// At every state: Check, which has I8, and nothing captured that no Sell committed. Where nothing more happens by
// itself: each payment's net money is what its order is worth, no authorisation hangs, no hold is in payment, nothing
// is owed. And from every state such an end can be reached, whatever buyers do: nothing is owed that cannot be done.

func TestEveryInterleavingKeepsMoneyAndSeatsEqual(t *testing.T) {
	const manual, atOnce = holdfast.CaptureManual, holdfast.CaptureAtOnce
	reached := map[string]int{"rescued": 0}
	for _, s := range []fmt.Stringer{holdfast.HoldOpen, holdfast.HoldPaying, holdfast.HoldClosing, holdfast.HoldCancelling, holdfast.HoldSold,
		holdfast.OrderCapturing, holdfast.OrderPaid, holdfast.OrderUnpaid, holdfast.OrderRefunded, holdfast.OrderCancelled,
		holdfast.PaymentBegun, holdfast.PaymentCondemned, holdfast.PaymentVoided, holdfast.PaymentFailed, holdfast.PaymentCaptured, holdfast.PaymentReturned} {
		reached[s.String()] = 0
	}
	for _, p := range []play{
		{name: "two attempts by card, and a rival", attempts: []holdfast.CaptureMethod{manual, manual}, rival: true, states: 500},
		{name: "a card whose authorisation may end, paid again", attempts: []holdfast.CaptureMethod{manual, manual}, expiry: true, states: 500},
		{name: "a method that captures at once, and a rival", attempts: []holdfast.CaptureMethod{atOnce}, rival: true, states: 60},
		{name: "at once, then a card", attempts: []holdfast.CaptureMethod{atOnce, manual}, states: 500},
		{name: "a card, then at once", attempts: []holdfast.CaptureMethod{manual, atOnce}, states: 500},
		{name: "a refund at any time", attempts: []holdfast.CaptureMethod{manual}, refund: true, rival: true, expiry: true, states: 100},
		{name: "a dispute at any time", attempts: []holdfast.CaptureMethod{manual}, refund: true, dispute: true, states: 60},
	} {
		t.Run(p.name, func(t *testing.T) {
			x := explore(t, p)
			for _, fault := range x.faults {
				t.Error(fault)
			}
			t.Logf("%d states, %d ends; in so many %v", len(x.scenes), len(x.ends), x.seen)
			for name := range reached {
				reached[name] += x.seen[name]
			}
			if len(x.scenes) < p.states || len(x.ends) == 0 {
				t.Errorf("%d states and %d ends: the play is smaller than it was", len(x.scenes), len(x.ends))
			}
		})
	}
	for name, n := range reached {
		if n == 0 {
			t.Errorf("no play reaches what is %s", name)
		}
	}
}

// TestThePlaysFindPlantedFaults: a model that cannot find a fault proves nothing.
func TestThePlaysFindPlantedFaults(t *testing.T) {
	card := []holdfast.CaptureMethod{holdfast.CaptureManual}
	cards := append(card, holdfast.CaptureManual)
	for _, c := range []struct {
		play
		want string
	}{
		{play{name: "a void is forgotten when the grace is over", attempts: card, plant: func(m *Machine) {
			for slot, p := range m.state.payments.all() {
				if p.State == holdfast.PaymentCondemned {
					m.dropEffect(p.Effect)
					m.becomes(slot, holdfast.PaymentVoided)
				}
			}
		}}, "the authorisation of attempt 1 hangs"},
		{play{name: "a seat stays in payment when its attempt was condemned", attempts: card, plant: func(m *Machine) {
			for slot, h := range m.state.holds.all() {
				if h.State == holdfast.HoldClosing {
					m.due.drop(slot)
				}
			}
		}}, "in the wheel"},
		{play{name: "a condemned attempt sells", attempts: cards, revives: true}, string(RuleOutbox)},
		{play{name: "a worker captures before it sells", attempts: card, early: true}, "no Sell committed it"},
		{play{name: "a refund is made twice", attempts: card, refund: true, careless: true}, "was refunded"},
		{play{name: "an order is paid that was not captured", attempts: card, plant: func(m *Machine) {
			for slot, p := range m.state.payments.all() {
				if p.State == holdfast.PaymentCapturing {
					m.dropEffect(p.Effect)
					m.state.payments.edit(slot).Captured = p.Quote.TotalMinor
					m.becomes(slot, holdfast.PaymentCaptured)
					m.paid(p.Order)
				}
			}
		}}, "and its order is worth 5000"},
		{play{name: "a refund is forgotten", attempts: card, refund: true, plant: func(m *Machine) {
			for slot, p := range m.state.payments.all() {
				if p.State == holdfast.PaymentCaptured && p.Owed > 0 {
					m.dropEffect(p.Effect)
					edit := m.state.payments.edit(slot)
					edit.Refunded, edit.Owed = edit.Refunded+edit.Owed, 0
				}
			}
		}}, "brought 5000 in the end, and its order is worth 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := explore(t, c.play)
			if !slices.ContainsFunc(x.faults, func(fault string) bool { return strings.Contains(fault, c.want) }) {
				t.Errorf("%d states, and found is %q, not %q", len(x.scenes), x.faults, c.want)
			}
		})
	}
}
