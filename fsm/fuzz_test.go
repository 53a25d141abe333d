package fsm_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// FuzzApply: whatever a leader lets through is decided, without a panic, and leaves the machine sound. The bytes are
// a batch as a client sends it; those that CheckBatch refuses never come so far.
//
// So that the fuzzer need not guess, every id is given a validity that is fine, and commands for the event 9 are one
// that is not there.
func FuzzApply(f *testing.F) {
	const valid, step = 30_000_000, 100_000
	id := func(n byte) holdfast.CommandID { return holdfast.NewCommandID(valid, [10]byte{n}) }
	head := func(n byte) command.Header { return command.Header{ID: id(n), Event: 1} }
	spec := command.EventSpec{Name: "gala", Currency: "eur", Rules: command.Rules{HoldTTLMs: 300, PayWindowMs: 300, NoOrphans: true, SeatsPerBuyer: 9},
		Tiers: []command.Tier{{Name: "std", PriceMinor: 1000}, {Name: "free"}},
		Sections: []command.Section{
			{Name: "stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 9, Tier: holdfast.AnyTier}, {Label: "B", First: 1, Seats: 5, Tier: 1}}},
			{Name: "floor", Places: 5}},
		Allocations: []command.Allocation{{Name: "sponsor", Spans: []command.Span{{Section: 0, Row: 0, First: 7, Last: 8}}}}}
	withCheckout := spec
	withCheckout.Name, withCheckout.Checkout = "paid", command.Checkout{Mode: holdfast.ModeTest, Account: "a", FeeBps: 100, KeepFees: true, PayAgainMs: 300, AtOnceMs: 300,
		Promos: []command.Promo{{Code: holdfast.PromoCode{1}, Bps: 5000, UsesMax: 1}}}
	through := func(n byte) command.Header { return command.Header{ID: id(n), Event: 3} }
	larger := spec
	larger.Tiers = []command.Tier{{Name: "std", PriceMinor: 1200}, {Name: "free"}, {Name: "vip", PriceMinor: 1}}
	larger.Sections = append([]command.Section{}, spec.Sections...)
	larger.Sections[1].Places = 9
	larger.Allocations = nil

	lined := spec
	lined.Name, lined.Line = "lined", command.LineRules{Enabled: true, CallMs: 200, IdleMs: 300, OfferMs: 200}
	of := func(n byte) command.Header { return command.Header{ID: id(n), Event: 2} }
	proof := func(n int) command.Proof {
		return command.Proof{Number: holdfast.PlaceNumber(n), Key: keyOf(fmt.Sprint(n)), Path: [][32]byte{}}
	}

	seats := func(units ...holdfast.SeatIndex) []command.Want {
		return []command.Want{{Kind: command.WantSeats, Seats: units}}
	}
	best := []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 3}, {Kind: command.WantGeneral, Section: 1, Count: 2}}
	ann, ben, thousand := buyerNo(1), buyerNo(2), holdfast.Money{AmountMinor: 1000, Currency: "eur"}
	for _, cmds := range [][]command.Command{
		{&command.Hold{Header: head(1), Buyer: ann, Wants: seats(0)}, &command.BeginPayment{Header: head(2), Buyer: ann, Hold: holdfast.HoldID(id(1)), Attempt: 1, Amount: thousand},
			&command.Sell{Header: head(3), Hold: holdfast.HoldID(id(1)), As: command.SalePaid, Attempt: 1, Amount: thousand, Payment: "pi_1"}},
		{&command.Hold{Header: head(1), Buyer: ann, Wants: best}, &command.Swap{Header: head(2), Buyer: ann, Hold: holdfast.HoldID(id(1)), Wants: seats(1, 2, 3)},
			&command.Extend{Header: head(3), Buyer: ann, Hold: holdfast.HoldID(id(1))}, &command.Release{Header: head(4), Buyer: ann, Hold: holdfast.HoldID(id(1))}},
		{&command.Hold{Header: head(1), Buyer: ann, Wants: seats(1)}, &command.Hold{Header: head(2), Buyer: ben, Wants: seats(1)}, &command.Hold{Header: head(2), Buyer: ben, Wants: seats(3, 5)}},
		{&command.Hold{Header: head(1), Buyer: ann, Wants: seats(9)}, &command.Sell{Header: head(2), Hold: holdfast.HoldID(id(1)), As: command.SaleFree, Amount: holdfast.Money{Currency: "eur"}},
			&command.Block{Header: head(3), Seats: []holdfast.SeatIndex{9, 2}}, &command.Block{Header: head(4), Seats: []holdfast.SeatIndex{2}, Unblock: true}},
		{&command.Hold{Header: head(1), Buyer: ann, Allocation: 1, Wants: seats(7, 8)}, &command.PutEvent{Header: head(2), Expect: 1, Spec: larger},
			&command.Swap{Header: head(3), Buyer: ann, Hold: holdfast.HoldID(id(1)), Wants: best}, &command.SetSale{Header: head(4), State: holdfast.SalePaused}, &command.Mark{Header: head(5)}},
		{&command.Redeem{Header: of(1), Proof: proof(0)}, &command.Hold{Header: of(2), Buyer: keyOf("0").Buyer(), Wants: seats(0, 1)}, &command.Admit{Header: of(3), Count: 3},
			&command.Release{Header: of(4), Buyer: keyOf("0").Buyer(), Hold: holdfast.HoldID(id(2))}, &command.LeaveLine{Header: of(5), Proof: proof(1)}},
		{&command.Redeem{Header: of(1), Proof: proof(0)}, &command.Hold{Header: of(2), Buyer: keyOf("0").Buyer(), Wants: seats(9, 10)},
			&command.Block{Header: of(3), Seats: []holdfast.SeatIndex{11, 12, 13}}, &command.JoinReturns{Header: of(4), Proof: proof(2), Section: holdfast.AnySection, Tier: 1, Count: 2},
			&command.Release{Header: of(5), Buyer: keyOf("0").Buyer(), Hold: holdfast.HoldID(id(2))}, &command.LeaveReturns{Header: of(6), Buyer: keyOf("2").Buyer()}},
		{&command.SetLine{Header: of(1), Change: command.LinePause}, &command.Enter{Header: of(2), Count: 3, Root: [32]byte{1}}, &command.SetLine{Header: of(3), Change: command.LineResume},
			&command.OpenLine{Header: of(4), Secret: holdfast.LineSecret{1}}, &command.Draw{Header: of(5)}, &command.SetLine{Header: of(6), Change: command.LineClose}},
		{&command.Hold{Header: through(1), Buyer: ann, Wants: seats(0)}, &command.BeginPayment{Header: through(2), Buyer: ann, Hold: holdfast.HoldID(id(1)), Attempt: 1,
			Amount: holdfast.Money{AmountMinor: 1010, Currency: "eur"}, Contact: holdfast.ContactID{1}},
			&command.Sell{Header: through(3), Hold: holdfast.HoldID(id(1)), As: command.SalePaid, Attempt: 1, Amount: holdfast.Money{AmountMinor: 1010, Currency: "eur"}, Payment: "p", Mode: holdfast.ModeTest, Account: "a"},
			&command.Refund{Header: through(4), Order: holdfast.OrderID(id(1)), Reason: holdfast.RefundBuyer, ReturnSeats: true},
			&command.AckEffect{Header: through(5), Effect: 1, Result: holdfast.EffectDone, Amount: holdfast.Money{AmountMinor: 1010, Currency: "eur"}},
			&command.Dispute{Header: through(6), State: holdfast.DisputeLost, Amount: holdfast.Money{AmountMinor: 500, Currency: "eur"}, Payment: "p"}},
		{&command.Hold{Header: through(1), Buyer: ann, Wants: seats(0, 1)}, &command.BeginPayment{Header: through(2), Buyer: ann, Hold: holdfast.HoldID(id(1)), Attempt: 1,
			Amount: holdfast.Money{AmountMinor: 1010, Currency: "eur"}, Capture: holdfast.CaptureAtOnce, Promo: holdfast.PromoCode{1}},
			&command.FailPayment{Header: through(3), Hold: holdfast.HoldID(id(1)), Attempt: 1, Payment: "p"}, &command.AttachPayment{Header: through(4), Hold: holdfast.HoldID(id(1)), Attempt: 1, Payment: "p"},
			&command.StrayMoney{Header: through(5), Hold: holdfast.HoldID(id(1)), Attempt: 1, Amount: holdfast.Money{AmountMinor: 1010, Currency: "eur"}, Captured: true, Mode: holdfast.ModeTest, Account: "a", Payment: "p"},
			&command.AckEffect{Header: through(6), Effect: 1, Result: holdfast.EffectRetry, Amount: holdfast.Money{Currency: "eur"}}, &command.RetryEffect{Header: through(7), Effect: 1},
			&command.PutPerson{Header: through(8), Hold: holdfast.HoldID(id(1)), Blob: []byte{1}}, &command.ForgetPerson{Header: through(9), Hold: holdfast.HoldID(id(1))},
			&command.SetIncarnation{Header: through(10), Incarnation: 1}},
	} {
		var batch []byte
		for _, c := range cmds {
			batch = c.Append(batch)
		}
		f.Add(batch)
	}

	f.Fuzz(func(t *testing.T, batch []byte) {
		var d command.Decoder
		count, err := d.CheckBatch(batch)
		if err != nil || count > 64 {
			return
		}
		batch = append([]byte{}, batch...)
		for rest := batch; len(rest) > 0; {
			var cmd []byte
			cmd, rest, _ = command.Split(rest)
			was := command.IDOf(cmd)
			command.SetID(cmd, holdfast.NewCommandID(valid, [10]byte(was[6:])))
			if command.KindOf(cmd).Directory() {
				return // the directory's
			}
			if command.KindOf(cmd) == command.KindPutEvent {
				if put, _ := d.PutEvent(cmd); put.Spec.Units() > 10_000 {
					return // only slow
				}
			}
		}
		m := fsm.New(fsm.Config{})
		opening := (&command.PutEvent{Header: head(100), Spec: spec}).Append(command.BeginEntry(nil))
		opening = (&command.SetSale{Header: head(101), State: holdfast.SaleOpen}).Append(opening)
		opening = (&command.PutEvent{Header: of(102), Spec: lined}).Append(opening)
		opening = (&command.SetSale{Header: of(103), State: holdfast.SaleOpen}).Append(opening)
		opening = (&command.OpenLine{Header: of(104), Secret: holdfast.LineSecret{1}}).Append(opening)
		for n := range 3 { // behind the first all come after the draw, and stand at their numbers
			opening = (&command.Enter{Header: of(byte(105 + n)), Count: 1, Root: draw.Leaf(2, keyOf(fmt.Sprint(n)))}).Append(opening)
			opening = (&command.Draw{Header: of(byte(110 + n))}).Append(opening)
		}
		opening = (&command.Admit{Header: of(120), Count: 1}).Append(opening)
		opening = (&command.PutEvent{Header: through(130), Spec: withCheckout}).Append(opening)
		opening = (&command.SetSale{Header: through(131), State: holdfast.SaleOpen}).Append(opening)
		out := command.Output{Answer: true}
		m.Apply(1, command.FinishEntry(opening, 0, 0, 14), &out)
		m.Apply(2, command.FinishEntry(append(command.BeginEntry(nil), batch...), step, 1, count), &out)
		if len(out.Ends) != count {
			t.Fatalf("%d commands, %d results", count, len(out.Ends))
		}
		for range 4 { // until all holds lapse, and all is repeated
			m.Apply(m.Index()+1, command.FinishEntry(append(command.BeginEntry(nil), batch...), step, 1, count), &out)
			for _, v := range m.Check() {
				t.Error(v)
			}
		}
	})
}
