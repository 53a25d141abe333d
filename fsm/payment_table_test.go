package fsm

import (
	"os"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// situation is one line's left side, built.
type situation struct {
	*shard
	hold    command.Result
	attempt holdfast.Attempt
}

// TestTheTableOfTransitions reads the table in docs/payments.md and does what each line says.
func TestTheTableOfTransitions(t *testing.T) {
	page, err := os.ReadFile("../docs/payments.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 6 || cells[0] == "payment" {
			continue
		}
		rows++
		t.Run(strings.Join(cells[:3], ", "), func(t *testing.T) {
			x := situated(t, cells[0], cells[1])
			if payment, stands, _ := x.tell(); payment != strings.TrimSuffix(cells[0], " at once") || stands != cells[1] {
				t.Fatalf("built is %s, %s", payment, stands)
			}
			x.happen(cells[2])
			payment, stands, owed := x.tell()
			if payment != cells[3] || stands != cells[4] || owed != cells[5] {
				t.Errorf("then it is | %s | %s | %s |, and the table says | %s |", payment, stands, owed, strings.Join(cells[3:], " | "))
			}
		})
	}
	if rows < 50 {
		t.Errorf("the table has %d lines", rows)
	}
}

// tell names the states of the payment and of what stands on it, and what is owed for it.
func (x *situation) tell() (payment, stands, owed string) {
	payment, stands, owed = "none", "gone", "nothing"
	if p, ok := x.m.Attempt(x.hold.Hold, x.attempt); ok {
		payment = p.State.String()
		if e, ok := x.m.Effect(p.Effect); ok {
			owed = e.Kind.String()
			if e.State == holdfast.EffectParked {
				owed += ", parked"
			}
		}
	}
	if h, ok := x.m.Hold(x.hold.Hold); ok {
		stands = h.State.String()
	}
	if o, ok := x.m.Order(x.hold.Hold.Order()); ok {
		stands = o.State.String()
		if o.Disputed {
			stands += ", disputed"
		}
	}
	return payment, stands, owed
}

// situated brings a machine to a line's left side.
func situated(t *testing.T, payment, stands string) *situation {
	s := newCheckout(t, func(spec *command.EventSpec) {
		spec.Rules = command.Rules{HoldTTLMs: 2000, PayWindowMs: 2000, CoolDownMs: 1}
		spec.Checkout.AtOnceMs, spec.Checkout.PayAgainMs = 2000, 2000
	})
	x := &situation{shard: s, hold: s.hold(1, 1), attempt: 1}
	payment, atOnce := strings.CutSuffix(payment, " at once")
	if payment == "none" {
		return x
	}
	first := begin(x.hold, 1)
	if atOnce {
		first.Capture = holdfast.CaptureAtOnce
	}
	s.must(holdfast.OK, first)
	s.must(holdfast.OK, &command.AttachPayment{Hold: x.hold.Hold, Attempt: 1, Payment: "pi_1"})
	var ways []string
	switch payment + " " + stands {
	case "begun paying":
	case "failed paying":
		ways = []string{"FailPayment"}
	case "begun closing":
		ways = []string{"the deadline"}
	case "begun cancelling", "condemned gone":
		ways = []string{"the deadline", "the deadline"}
	case "voided gone":
		ways = []string{"the deadline", "the deadline", "the void is done"}
	case "captured gone":
		ways = []string{"the deadline", "the deadline", "StrayMoney, captured"}
	case "capturing capturing":
		ways = []string{"Sell"}
	case "captured paid":
		ways = []string{"Sell", "the capture is done"}
	case "captured paid, disputed":
		ways = []string{"Sell", "the capture is done", "a dispute"}
	case "captured refunded":
		ways = []string{"Sell", "the capture is done", "Refund"}
	case "failed unpaid":
		ways = []string{"Sell", "the capture fails"}
	case "begun unpaid":
		ways = []string{"Sell", "the capture fails", "BeginPayment, the next"}
	default:
		t.Fatalf("nobody knows how %s, %s comes about", payment, stands)
	}
	for _, way := range ways {
		x.happen(way)
	}
	if payment == "begun" && stands == "unpaid" {
		x.attempt = 2
		s.must(holdfast.OK, &command.AttachPayment{Hold: x.hold.Hold, Attempt: 2, Payment: "pi_2"})
	}
	return x
}

// happen does what a line says. Whether it is refused shows in what comes of it.
func (x *situation) happen(what string) {
	ref := "pi_" + string('0'+rune(x.attempt))
	ack := func(result holdfast.EffectResult, amount int64) {
		p, _ := x.m.Attempt(x.hold.Hold, x.attempt)
		x.must(holdfast.OK, &command.AckEffect{Effect: p.Effect, Result: result, Amount: eur(amount)})
	}
	switch what {
	case "BeginPayment":
		x.must(holdfast.OK, begin(x.hold, 1))
	case "BeginPayment, the next":
		x.must(holdfast.OK, begin(x.hold, x.attempt+1))
	case "FailPayment":
		x.entry(0, &command.FailPayment{Hold: x.hold.Hold, Attempt: x.attempt, Payment: ref})
	case "Sell":
		x.entry(0, paidBy(x.hold, x.attempt, ref))
	case "StrayMoney, authorised", "StrayMoney, captured":
		x.entry(0, &command.StrayMoney{Hold: x.hold.Hold, Attempt: x.attempt, Amount: x.hold.Amount, Captured: strings.HasSuffix(what, "captured"),
			Mode: holdfast.ModeTest, Account: "acct", Payment: ref})
	case "Refund":
		x.entry(0, &command.Refund{Order: x.hold.Hold.Order(), Reason: holdfast.RefundBuyer})
	case "a dispute":
		x.must(holdfast.OK, &command.Dispute{State: holdfast.DisputeOpened, Payment: ref, Amount: x.hold.Amount})
	case "the dispute is lost":
		x.must(holdfast.OK, &command.Dispute{State: holdfast.DisputeLost, Payment: ref, Amount: x.hold.Amount})
	case "the deadline":
		for next := x.m.state.holds.at(x.m.findHold(x.hold.Hold)).Deadline; x.m.Clock() < next; {
			x.entry(uint32(min(500, (next-x.m.Clock()+999)/1000)))
		}
	case "the look is done", "the void is done":
		ack(holdfast.EffectDone, 0)
	case "the capture is done", "the refund is done":
		ack(holdfast.EffectDone, x.hold.Amount.AmountMinor)
	case "the look fails: nobody has tried", "the void fails", "the capture fails", "the refund fails":
		ack(holdfast.EffectFailed, 0)
	case "the void fails: taken":
		ack(holdfast.EffectFailed, x.hold.Amount.AmountMinor)
	default:
		x.Fatalf("nobody knows how %q is done", what)
	}
}
