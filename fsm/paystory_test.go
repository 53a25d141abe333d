package fsm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Stories about money: one file of testdata/payments for each. A block is commands, one a line and each an entry of its
// own, then dashes, then what the machine answered and how the books stand: seats, orders, payments, and what is owed in
// the order in which workers get it. Lines that begin with # are comments.
//
//	rules fee-order=100 tax=1900 keep-fees promo=HALF:50%:2 …   puts the event on sale; its seats 1 to 9 cost 1000
//	h1 = hold ann 1 2                                           units by number
//	quote h1 HALF, begin h1 #1 2000 at-once promo=HALF mail     amounts are in minor units of the event's currency
//	sell h1 #1 2000 pi_1, sell h1 free, sell h1 invoiced 2000 ref
//	attach h1 #1 pi_1, fail h1 #1 pi_1, stray h1 #1 2000 pi_9 captured
//	ack 3 done 2000, ack 3 failed 0 expired_card, ack 3 retry, retry 3      effects by number
//	refund h1 organizer return 1, dispute pi_1 lost 2000, incarnation 2 reconciled
//	wait 10s, restart
var rewriteMoney = flag.Bool("rewrite-payments", false, "write what the machine answers into testdata/payments/*.txt; read the diff before you believe it")

func TestMoneyStories(t *testing.T) {
	files, err := filepath.Glob("testdata/payments/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := (&moneyStory{shard: newShard(t), holds: map[string]holdfast.HoldID{}}).tell(string(source))
			if got == string(source) {
				return
			}
			if *rewriteMoney {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s tells another story now; see it with -rewrite-payments:\n%s", file, got)
		})
	}
}

type moneyStory struct {
	*shard
	holds    map[string]holdfast.HoldID
	buyers   []string
	currency holdfast.Currency
	mode     holdfast.PaymentMode
}

func (s *moneyStory) tell(source string) string {
	var blocks []string
	for _, block := range strings.Split(strings.TrimSpace(source), "\n\n") {
		asked, _, _ := strings.Cut(block, "\n----")
		out := asked
		var answers []string
		for _, line := range strings.Split(asked, "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				answers = append(answers, s.line(strings.Fields(line)))
			}
		}
		if len(answers) > 0 {
			out += "\n----\n" + strings.Join(append(answers, s.books()...), "\n")
		}
		blocks = append(blocks, out)
	}
	return strings.Join(blocks, "\n\n") + "\n"
}

// line does one line and gives its answer.
func (s *moneyStory) line(words []string) string {
	name := ""
	if len(words) > 2 && words[1] == "=" {
		name, words = words[0], words[2:]
	}
	verb, words := words[0], words[1:]
	switch verb {
	case "rules":
		return s.rules(words)
	case "wait":
		d, err := time.ParseDuration(words[0])
		if err != nil {
			s.Fatal(err)
		}
		s.wait(uint32(d.Milliseconds()))
		return "waited " + words[0]
	case "restart":
		s.m = restored(s, snapshot(s, s.m))
		s.sound()
		return "restarted"
	case "quote":
		q, o := s.m.Quote(theEvent, s.holds[words[0]], promoNamed(append(words, "")[1]))
		if o != holdfast.OK {
			return o.String()
		}
		var lines []string
		for _, l := range q.Lines {
			lines = append(lines, fmt.Sprintf("%s %d", l.Kind, l.AmountMinor))
		}
		return fmt.Sprintf("%s: total %d", strings.Join(lines, ", "), q.Total.AmountMinor)
	}
	c := s.command(verb, words)
	r := s.entry(0, c)[0]
	if name != "" {
		s.holds[name] = r.Hold
	}
	answer := r.Outcome.String()
	if r.OrderState != 0 {
		answer += ", the order is " + r.OrderState.String()
	}
	if r.Effect != 0 {
		answer += ", " + r.Effect.String()
	}
	return answer
}

func promoNamed(name string) (code holdfast.PromoCode) {
	copy(code[:], name)
	return code
}

// rules puts the event, or changes it, and opens its sale.
func (s *moneyStory) rules(words []string) string {
	spec := command.EventSpec{Name: "hall", Currency: "eur", Tiers: []command.Tier{{Name: "std", PriceMinor: 1000}, {Name: "gift"}},
		Rules:    command.Rules{HoldTTLMs: 60_000, PayWindowMs: 60_000, CoolDownMs: 1000, ManyOpenHolds: true},
		Sections: []command.Section{{Name: "row", Rows: []command.Row{{Label: "A", First: 0, Seats: 10, Tier: holdfast.AnyTier}}}, {Name: "gifts", Tier: 1, Places: 2}},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: "acct", AtOnceMs: 120_000, PayAgainMs: 60_000}}
	c := &spec.Checkout
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "fee-unit":
			c.FeePerUnitMinor = s.number(value)
		case "fee-order":
			c.FeePerOrderMinor = s.number(value)
		case "fee":
			c.FeeBps = uint16(s.number(value))
		case "tax":
			c.TaxBps = uint16(s.number(value))
		case "least":
			c.LeastMinor = s.number(value)
		case "included":
			c.TaxIncluded = true
		case "keep-fees":
			c.KeepFees = true
		case "invoices":
			c.Invoices = true
		case "notify":
			c.Notify = true
		case "live":
			c.Mode = holdfast.ModeLive
		case "currency":
			spec.Currency = holdfast.Currency(value)
		case "price":
			spec.Tiers[0].PriceMinor = s.number(value)
		case "per-buyer":
			spec.Rules.SeatsPerBuyer = uint16(s.number(value))
		case "none":
			*c = command.Checkout{}
		case "promo":
			parts := strings.Split(value, ":")
			p := command.Promo{Code: promoNamed(parts[0]), UsesMax: uint32(s.number(parts[2]))}
			if percent, ok := strings.CutSuffix(parts[1], "%"); ok {
				p.Bps = uint16(s.number(percent)) * 100
			} else {
				p.AmountMinor = s.number(parts[1])
			}
			c.Promos = append(c.Promos, p)
		default:
			s.Fatalf("no rule %q", word)
		}
	}
	view, _ := s.m.Event(theEvent)
	o := s.entry(0, &command.PutEvent{Expect: view.Version, Spec: spec})[0].Outcome
	if o == holdfast.OK {
		s.currency, s.mode = spec.Currency, c.Mode
		s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	}
	return o.String()
}

func (s *moneyStory) number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func (s *moneyStory) amount(word string) holdfast.Money {
	return holdfast.Money{AmountMinor: s.number(word), Currency: s.currency}
}

func (s *moneyStory) buyer(name string) holdfast.BuyerID {
	at := slices.Index(s.buyers, name)
	if at < 0 {
		at = len(s.buyers)
		s.buyers = append(s.buyers, name)
	}
	return buyerNo(byte(at + 1))
}

func has(words []string, word string) bool { return slices.Contains(words, word) }

// command reads a line. Words that are missing at the end are empty.
func (s *moneyStory) command(verb string, words []string) command.Command {
	at := func(i int) string { return append(words, "", "", "", "")[i] }
	attempt := func(i int) holdfast.Attempt {
		n, ok := strings.CutPrefix(at(i), "#")
		if !ok {
			s.Fatalf("%q is no attempt", at(i))
		}
		return holdfast.Attempt(s.number(n))
	}
	hold := s.holds[at(0)]
	switch verb {
	case "hold":
		h := wantSeats(0)
		h.Buyer = s.buyer(at(0))
		h.Wants = []command.Want{{Kind: command.WantSeats}}
		for _, w := range words[1:] {
			h.Wants[0].Seats = append(h.Wants[0].Seats, holdfast.SeatIndex(s.number(w)))
		}
		h.Wants[0].Count = uint8(len(words) - 1)
		return h
	case "begin":
		view, _ := s.m.Hold(hold)
		c := &command.BeginPayment{Buyer: view.Buyer, Hold: hold, Attempt: attempt(1), Amount: s.amount(at(2))}
		for _, w := range words[3:] {
			code, promo := strings.CutPrefix(w, "promo=")
			switch {
			case w == "at-once":
				c.Capture = holdfast.CaptureAtOnce
			case w == "mail":
				c.Contact = holdfast.ContactID{1}
			case promo:
				c.Promo = promoNamed(code)
			}
		}
		return c
	case "sell":
		c := &command.Sell{Hold: hold, Amount: s.amount("0"), As: command.SaleFree}
		if at(1) == "invoiced" {
			c.As, c.Amount, c.Payment = command.SaleInvoiced, s.amount(at(2)), at(3)
		} else if at(1) != "free" {
			c.As, c.Attempt, c.Amount, c.Payment, c.Mode, c.Account = command.SalePaid, attempt(1), s.amount(at(2)), at(3), s.mode, "acct"
		}
		return c
	case "attach":
		return &command.AttachPayment{Hold: hold, Attempt: attempt(1), Payment: at(2)}
	case "fail":
		return &command.FailPayment{Hold: hold, Attempt: attempt(1), Payment: at(2)}
	case "stray":
		return &command.StrayMoney{Hold: hold, Attempt: attempt(1), Amount: s.amount(at(2)), Payment: at(3), Captured: has(words, "captured"), Mode: s.mode, Account: "acct"}
	case "ack":
		result := map[string]holdfast.EffectResult{"done": holdfast.EffectDone, "failed": holdfast.EffectFailed, "retry": holdfast.EffectRetry}[at(1)]
		c := &command.AckEffect{Effect: holdfast.EffectID(s.number(at(0))), Result: result, Amount: s.amount("0"), Code: at(3)}
		if at(2) != "" {
			c.Amount = s.amount(at(2))
		}
		return c
	case "retry":
		return &command.RetryEffect{Effect: holdfast.EffectID(s.number(at(0)))}
	case "refund":
		c := &command.Refund{Order: hold.Order(), Reason: holdfast.RefundBuyer, ReturnSeats: has(words, "return")}
		for _, w := range words[1:] {
			if n, err := strconv.Atoi(w); err == nil {
				c.Seats = append(c.Seats, holdfast.SeatIndex(n))
			} else if w == "organizer" {
				c.Reason = holdfast.RefundOrganizer
			}
		}
		return c
	case "dispute":
		state := map[string]holdfast.DisputeState{"opened": holdfast.DisputeOpened, "won": holdfast.DisputeWon, "lost": holdfast.DisputeLost}[at(1)]
		return &command.Dispute{Payment: at(0), State: state, Amount: s.amount(at(2))}
	case "incarnation":
		return &command.SetIncarnation{Incarnation: holdfast.Incarnation(s.number(at(0))), Reconciled: has(words, "reconciled")}
	}
	s.Fatalf("no command %q", verb)
	return nil
}

// books draws the seats, and says how orders, payments and the outbox stand.
func (s *moneyStory) books() (lines []string) {
	c := s.m.Cut()
	defer c.Release()
	states, _, _ := c.Seats(theEvent)
	house := ""
	for _, state := range states[:10] {
		house += string(".hpS#"[state])
	}
	lines = append(lines, "  "+house)
	for o := range c.Orders(theEvent) {
		line := fmt.Sprintf("  order of %v is %s for %d", o.Seats, o.State, o.Amount.AmountMinor)
		if len(o.Refunded) > 0 {
			line += fmt.Sprintf(", %v refunded", o.Refunded)
		}
		if o.Disputed {
			line += ", disputed"
		}
		lines = append(lines, line+map[bool]string{true: ", valid"}[o.Valid()])
	}
	for p := range c.Payments(theEvent) {
		line := fmt.Sprintf("  payment #%d %q is %s", p.Attempt, p.Payment, p.State)
		if p.Stray {
			line += ", a stray"
		}
		l := p.Ledger
		for _, part := range []struct {
			name   string
			amount int64
		}{{"captured", l.Captured}, {"to capture", l.Capturing}, {"live", l.Live}, {"kept", l.Kept}, {"owed", l.Owed}, {"refunded", l.Refunded},
			{"charged back", l.ChargedBack}, {"overdrawn", l.Overdrawn}} {
			if part.amount != 0 {
				line += fmt.Sprintf(", %s %d", part.name, part.amount)
			}
		}
		lines = append(lines, line)
	}
	s.m.DueEffects(100, func(e EffectView) bool {
		lines = append(lines, fmt.Sprintf("  due %s: %s", e.ID, aboutEffect(e)))
		return true
	})
	for _, e := range s.m.Effects(1, 100) {
		switch {
		case e.State == holdfast.EffectParked:
			lines = append(lines, fmt.Sprintf("  parked %s: %s", e.ID, aboutEffect(e)))
		case e.NotBefore > s.m.Clock():
			lines = append(lines, fmt.Sprintf("  in %s %s: %s", s.m.Clock().Until(e.NotBefore), e.ID, aboutEffect(e)))
		}
	}
	return lines
}

func aboutEffect(e EffectView) string {
	about := e.Kind.String()
	if e.Topic != 0 {
		about += " that it is " + e.Topic.String()
	}
	if e.Attempt != 0 {
		about += fmt.Sprintf(" #%d %q", e.Attempt, e.Payment)
	}
	if e.Kind == holdfast.EffectCapture || e.Kind == holdfast.EffectRefund {
		about += fmt.Sprintf(" %d", e.Amount.AmountMinor)
	}
	if e.Urgent {
		about += ", urgent"
	}
	if e.Code != "" {
		about += ", failed: " + e.Code
	}
	return about
}
