package command_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func kinds() []command.Kind {
	return []command.Kind{command.KindHold, command.KindSwap, command.KindExtend, command.KindRelease, command.KindBeginPayment, command.KindSell,
		command.KindPutEvent, command.KindSetSale, command.KindBlock, command.KindMark,
		command.KindOpenLine, command.KindEnter, command.KindDraw, command.KindRedeem, command.KindAdmit, command.KindSetLine,
		command.KindLeaveLine, command.KindJoinReturns, command.KindLeaveReturns,
		command.KindAssignEvent, command.KindPutKey,
		command.KindAttachPayment, command.KindFailPayment, command.KindAckEffect, command.KindRefund, command.KindStrayMoney,
		command.KindDispute, command.KindRetryEffect, command.KindSetIncarnation, command.KindPutPerson, command.KindForgetPerson}
}

// pinnedKinds: number, name, whether it may be long, whether it settles. The numbers stand in logs. A line may be
// added; none may change.
const pinnedKinds = `
1 hold
2 swap
3 extend
4 release settles
5 begin_payment settles
6 sell settles
16 put_event long
17 set_sale
18 block
32 mark
40 open_line
41 enter
42 draw
43 redeem
44 admit
45 set_line
46 leave_line
47 join_returns
48 leave_returns
64 assign_event long
65 put_key
70 attach_payment settles
71 fail_payment settles
72 ack_effect settles
73 refund settles
74 stray_money settles
75 dispute settles
76 retry_effect
77 set_incarnation
78 put_person
79 forget_person
`

func TestKindsKeepTheirNumbersAndNames(t *testing.T) {
	var got strings.Builder
	got.WriteString("\n")
	for _, k := range kinds() {
		fmt.Fprintf(&got, "%d %s", uint8(k), k)
		if k.Long() {
			got.WriteString(" long")
		}
		if k.Settles() {
			got.WriteString(" settles")
		}
		got.WriteString("\n")
	}
	if got.String() != pinnedKinds {
		t.Errorf("the kinds changed:%swant:%s", got.String(), pinnedKinds)
	}
	if command.Kind(99).String() != "kind_99" || command.Kind(99).Long() {
		t.Error("a kind from the future is not long and prints its number")
	}
}

// TestEveryKindIsTested reads the source: a kind that is added must be drawn by the generators here.
func TestEveryKindIsTested(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "command.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Kind" {
				declared += len(v.Names)
			}
		}
		return true
	})
	if declared != len(kinds()) {
		t.Errorf("%d kinds are declared, %d are tested", declared, len(kinds()))
	}
}

func TestWantsAndSalesKeepTheirNumbers(t *testing.T) {
	got := fmt.Sprint(command.WantSeats, command.WantBest, command.WantGeneral, command.SalePaid, command.SaleFree, command.SaleInvoiced,
		holdfast.AnySection, holdfast.AnyTier, command.EntryFormat)
	if got != "1 2 3 1 2 3 65535 255 1" {
		t.Errorf("numbers in the log changed: %s", got)
	}
}

// TestThePackedFormIsPinned: these bytes are in logs and archives of clusters that exist.
func TestThePackedFormIsPinned(t *testing.T) {
	h := command.Header{ID: holdfast.CommandID{0xC0, 15: 0xC1}, Event: 7}
	buyer, hold := holdfast.BuyerID{0xB0, 15: 0xB1}, holdfast.HoldID{0xD0, 15: 0xD1}
	const id, b, d = "c00000000000000000000000000000c1", "b00000000000000000000000000000b1", "d00000000000000000000000000000d1"
	const head = id + "07000000"
	eur := holdfast.Money{AmountMinor: 0x0102, Currency: "eur"}
	spec := command.EventSpec{Name: "a", Title: "A", Currency: "eur",
		Rules:       command.Rules{HoldTTLMs: 1, PayWindowMs: 2, ExtensionMs: 3, CoolDownMs: 4, SeatsPerHold: 5, SeatsPerBuyer: 6, NoOrphans: true},
		Tiers:       []command.Tier{{Name: "t", PriceMinor: 9}},
		Sections:    []command.Section{{Name: "s", Rows: []command.Row{{Label: "r", First: 10, Seats: 11, Tier: 255}}}, {Name: "g", Places: 12}},
		Allocations: []command.Allocation{{Name: "x", Spans: []command.Span{{Section: 0, Row: 0, First: 1, Last: 2}}}}}
	const packedSpec = "0161" + "0141" + "03657572" + "01000000" + "02000000" + "03000000" + "04000000" + "05" + "0600" + "010000" +
		"0100" + "0174" + "0900000000000000" +
		"0200" + "0173" + "00" + "00000000" + "01000000" + "0172" + "0a00" + "0b00" + "ff" + "0167" + "00" + "0c000000" + "00000000" +
		"0100" + "0178" + "01000000" + "0000" + "0000" + "01000000" + "02000000"
	for _, c := range []struct {
		name string
		cmd  command.Command
		want string
	}{
		{"hold", &command.Hold{Header: h, Buyer: buyer, Allocation: 2, Wants: []command.Want{
			{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{3, 0x010203}},
			{Kind: command.WantBest, Section: 0x0405, Tier: 6, Count: 7, Adjacent: true},
			{Kind: command.WantGeneral, Section: 8, Count: 9}}},
			"3b00" + "01" + head + b + "02" + "03" + "01" + "02" + "03000000" + "03020100" + "02" + "0504" + "06" + "07" + "01" + "03" + "0800" + "09"},
		{"swap", &command.Swap{Header: h, Buyer: buyer, Hold: hold, Wants: []command.Want{{Kind: command.WantGeneral, Section: 1, Count: 1}}},
			"3b00" + "02" + head + b + d + "00" + "01" + "03" + "0100" + "01"},
		{"extend", &command.Extend{Header: h, Buyer: buyer, Hold: hold}, "3500" + "03" + head + b + d},
		{"release", &command.Release{Header: h, Buyer: buyer, Hold: hold}, "3500" + "04" + head + b + d},
		{"begin payment", &command.BeginPayment{Header: h, Buyer: buyer, Hold: hold, Attempt: 2, Amount: eur},
			"4400" + "05" + head + b + d + "02000000" + "0201000000000000" + "657572"},
		{"sell", &command.Sell{Header: h, Hold: hold, As: command.SalePaid, Attempt: 2, Amount: eur, Payment: "pi"},
			"3800" + "06" + head + d + "01" + "02000000" + "0201000000000000" + "657572" + "02" + "7069"},
		{"put event", &command.PutEvent{Header: h, Expect: 3, Spec: spec}, "ffff" + "76000000" + "10" + head + "03000000" + packedSpec},
		{"assign event", &command.AssignEvent{Header: h, Spec: spec}, "ffff" + "72000000" + "40" + head + packedSpec},
		{"put key", &command.PutKey{Header: h, Key: holdfast.FrontendKey{Frontend: "f", Public: [32]byte{31: 7}, NotBeforeMs: 1, NotAfterMs: 2}},
			"4700" + "41" + head + strings.Repeat("00", 31) + "07" + "0100000000000000" + "0200000000000000" + "0166"},
		{"set sale", &command.SetSale{Header: h, State: holdfast.SalePaused}, "1600" + "11" + head + "02"},
		{"block", &command.Block{Header: h, Unblock: true, Seats: []holdfast.SeatIndex{1, 2}}, "2000" + "12" + head + "01" + "0200" + "01000000" + "02000000"},
		{"mark", &command.Mark{Header: h}, "1500" + "20" + head},
		{"begin payment with everything", &command.BeginPayment{Header: h, Buyer: buyer, Hold: hold, Attempt: 2, Amount: eur,
			Capture: holdfast.CaptureAtOnce, Promo: holdfast.PromoCode(buyer), Contact: holdfast.ContactID(hold)},
			"6500" + "05" + head + b + d + "02000000" + "0201000000000000" + "657572" + "02" + b + d},
		{"sell with an account", &command.Sell{Header: h, Hold: hold, As: command.SalePaid, Attempt: 2, Amount: eur, Payment: "pi", Mode: holdfast.ModeLive, Account: "a"},
			"3b00" + "06" + head + d + "01" + "02000000" + "0201000000000000" + "657572" + "02" + "7069" + "02" + "0161"},
		{"attach payment", &command.AttachPayment{Header: h, Hold: hold, Attempt: 2, Payment: "pi"}, "2c00" + "46" + head + d + "02000000" + "02" + "7069"},
		{"fail payment", &command.FailPayment{Header: h, Hold: hold, Attempt: 2}, "2a00" + "47" + head + d + "02000000" + "00"},
		{"ack effect", &command.AckEffect{Header: h, Effect: 3, Result: holdfast.EffectFailed, Amount: eur, Payment: "pi", Code: "x"},
			"2e00" + "48" + head + "0300000000000000" + "02" + "0201000000000000" + "657572" + "02" + "7069" + "01" + "78"},
		{"refund", &command.Refund{Header: h, Order: holdfast.OrderID(hold), Reason: holdfast.RefundOrganizer, ReturnSeats: true, Seats: []holdfast.SeatIndex{5}},
			"2c00" + "49" + head + d + "02" + "01" + "01" + "05000000"},
		{"stray money", &command.StrayMoney{Header: h, Hold: hold, Attempt: 2, Amount: eur, Captured: true, Mode: holdfast.ModeTest, Account: "a", Payment: "pi"},
			"3b00" + "4a" + head + d + "02000000" + "0201000000000000" + "657572" + "01" + "01" + "0161" + "02" + "7069"},
		{"dispute", &command.Dispute{Header: h, State: holdfast.DisputeLost, Amount: eur, Payment: "pi"},
			"2400" + "4b" + head + "03" + "0201000000000000" + "657572" + "02" + "7069"},
		{"retry effect", &command.RetryEffect{Header: h, Effect: 3}, "1d00" + "4c" + head + "0300000000000000"},
		{"set incarnation", &command.SetIncarnation{Header: h, Incarnation: 3, Reconciled: true}, "1a00" + "4d" + head + "03000000" + "01"},
		{"put person", &command.PutPerson{Header: h, Hold: hold, Blob: []byte{1, 2}}, "2900" + "4e" + head + d + "0200" + "0102"},
		{"forget person", &command.ForgetPerson{Header: h, Hold: hold}, "2500" + "4f" + head + d},
	} {
		if got := hex.EncodeToString(c.cmd.Append(nil)); got != c.want {
			t.Errorf("%s changed its form:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// decode decodes a command of any kind, on a decoder that has decoded others before.
func decode(d *command.Decoder, cmd []byte) (command.Command, error) {
	switch command.KindOf(cmd) {
	case command.KindHold:
		return d.Hold(cmd)
	case command.KindSwap:
		return d.Swap(cmd)
	case command.KindExtend:
		return d.Extend(cmd)
	case command.KindRelease:
		return d.Release(cmd)
	case command.KindBeginPayment:
		return d.BeginPayment(cmd)
	case command.KindSell:
		return d.Sell(cmd)
	case command.KindPutEvent:
		return d.PutEvent(cmd)
	case command.KindAssignEvent:
		return d.AssignEvent(cmd)
	case command.KindPutKey:
		return d.PutKey(cmd)
	case command.KindSetSale:
		return d.SetSale(cmd)
	case command.KindBlock:
		return d.Block(cmd)
	case command.KindMark:
		return d.Mark(cmd)
	}
	if command.KindOf(cmd) < command.KindAssignEvent {
		return decodeLine(d, cmd)
	}
	return decodePayment(d, cmd)
}

func decodePayment(d *command.Decoder, cmd []byte) (command.Command, error) {
	switch command.KindOf(cmd) {
	case command.KindAttachPayment:
		return d.AttachPayment(cmd)
	case command.KindFailPayment:
		return d.FailPayment(cmd)
	case command.KindAckEffect:
		return d.AckEffect(cmd)
	case command.KindRefund:
		return d.Refund(cmd)
	case command.KindStrayMoney:
		return d.StrayMoney(cmd)
	case command.KindDispute:
		return d.Dispute(cmd)
	case command.KindRetryEffect:
		return d.RetryEffect(cmd)
	case command.KindSetIncarnation:
		return d.SetIncarnation(cmd)
	case command.KindPutPerson:
		return d.PutPerson(cmd)
	case command.KindForgetPerson:
		return d.ForgetPerson(cmd)
	}
	return nil, errors.New("no decoder")
}

// TestCommandsSurviveTheRoundTrip: a batch of any commands splits into exactly these, each decodes to what was
// encoded, and is accepted by Check.
func TestCommandsSurviveTheRoundTrip(t *testing.T) {
	var d command.Decoder
	rapid.Check(t, func(t *rapid.T) {
		cmds := rapid.SliceOfN(rapid.Custom(anyCommand), 1, 5).Draw(t, "commands")
		var batch []byte
		for _, c := range cmds {
			batch = c.Append(batch)
		}
		if n, err := d.CheckBatch(batch); len(batch) <= holdfast.BatchBytesMax && (err != nil || n != len(cmds)) {
			t.Fatalf("CheckBatch counts %d of %d: %v", n, len(cmds), err)
		}
		rest := batch
		for _, want := range cmds {
			cmd, after, err := command.Split(rest)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(&d, cmd)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("decoded\n%+v\nfrom\n%+v", got, want)
			}
			if again := got.Append(nil); !bytes.Equal(again, rest[:len(rest)-len(after)]) {
				t.Fatalf("encoded again it differs:\n%x\n%x", again, rest[:len(rest)-len(after)])
			}
			h := *want.Head()
			if command.KindOf(cmd) != h.Kind || command.IDOf(cmd) != h.ID || command.EventOf(cmd) != h.Event {
				t.Fatalf("header %v read without decoding as %v %v %v", h, command.KindOf(cmd), command.IDOf(cmd), command.EventOf(cmd))
			}
			rest = after
		}
		if len(rest) != 0 {
			t.Fatalf("%d bytes left", len(rest))
		}
	})
}

// TestSetIDChangesNothingElse: a command whose validity was missed is sent again under a new id.
func TestSetIDChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, id := anyCommand(t), holdfast.CommandID(id16(t, "new id"))
		cmd, _, err := command.Split(c.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		command.SetID(cmd, id)
		c.Head().ID = id
		want, _, _ := command.Split(c.Append(nil))
		if !bytes.Equal(cmd, want) {
			t.Fatalf("written over:\n%x\npacked anew:\n%x", cmd, want)
		}
	})
}

// TestAppendSetsTheKind: the sender need not say what it is, and a wrong word does not get through.
func TestAppendSetsTheKind(t *testing.T) {
	for kind, c := range map[command.Kind]command.Command{
		command.KindHold: &command.Hold{}, command.KindSwap: &command.Swap{}, command.KindExtend: &command.Extend{Header: command.Header{Kind: command.KindSell}},
		command.KindRelease: &command.Release{}, command.KindBeginPayment: &command.BeginPayment{}, command.KindSell: &command.Sell{},
		command.KindPutEvent: &command.PutEvent{}, command.KindAssignEvent: &command.AssignEvent{}, command.KindPutKey: &command.PutKey{}, command.KindSetSale: &command.SetSale{},
		command.KindBlock: &command.Block{}, command.KindMark: &command.Mark{Header: command.Header{Kind: command.KindHold}},
		command.KindOpenLine: &command.OpenLine{}, command.KindEnter: &command.Enter{}, command.KindDraw: &command.Draw{}, command.KindRedeem: &command.Redeem{},
		command.KindAdmit: &command.Admit{}, command.KindSetLine: &command.SetLine{}, command.KindLeaveLine: &command.LeaveLine{},
		command.KindJoinReturns: &command.JoinReturns{}, command.KindLeaveReturns: &command.LeaveReturns{},
	} {
		cmd, rest, err := command.Split(c.Append(nil))
		if err != nil || len(rest) != 0 || command.KindOf(cmd) != kind {
			t.Errorf("%s was packed as %s: %v", kind, command.KindOf(cmd), err)
		}
	}
}

// TestDecodersTakeTheirOwnKindOnly over all pairs.
func TestDecodersTakeTheirOwnKindOnly(t *testing.T) {
	var d command.Decoder
	methods := map[command.Kind]func([]byte) error{
		command.KindHold:         func(b []byte) error { _, err := d.Hold(b); return err },
		command.KindSwap:         func(b []byte) error { _, err := d.Swap(b); return err },
		command.KindExtend:       func(b []byte) error { _, err := d.Extend(b); return err },
		command.KindRelease:      func(b []byte) error { _, err := d.Release(b); return err },
		command.KindBeginPayment: func(b []byte) error { _, err := d.BeginPayment(b); return err },
		command.KindSell:         func(b []byte) error { _, err := d.Sell(b); return err },
		command.KindPutEvent:     func(b []byte) error { _, err := d.PutEvent(b); return err },
		command.KindPutKey:       func(b []byte) error { _, err := d.PutKey(b); return err },
		command.KindAssignEvent:  func(b []byte) error { _, err := d.AssignEvent(b); return err },
		command.KindSetSale:      func(b []byte) error { _, err := d.SetSale(b); return err },
		command.KindBlock:        func(b []byte) error { _, err := d.Block(b); return err },
		command.KindMark:         func(b []byte) error { _, err := d.Mark(b); return err },
	}
	for _, kind := range lineKinds {
		methods[kind] = lineDecoder(&d, kind)
	}
	rapid.Check(t, func(t *rapid.T) {
		cmd, _, err := command.Split(anyCommand(t).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		for kind, method := range methods {
			err := method(cmd)
			if kind == command.KindOf(cmd) && err != nil || kind != command.KindOf(cmd) && fieldOf(err) != "kind" {
				t.Fatalf("the decoder of %s on a %s: %v", kind, command.KindOf(cmd), err)
			}
		}
	})
}

// TestDecodedCommandsKeepApart: a command that was decoded stays what it is while one of another kind is decoded.
func TestDecodedCommandsKeepApart(t *testing.T) {
	var d command.Decoder
	want := func(seats ...holdfast.SeatIndex) []command.Want {
		return []command.Want{{Kind: command.WantSeats, Seats: seats, Count: uint8(len(seats))}}
	}
	hold, _, _ := command.Split((&command.Hold{Wants: want(1, 2)}).Append(nil))
	swap, _, _ := command.Split((&command.Swap{Wants: want(3, 4)}).Append(nil))
	for range 2 { // the second time no slice has to grow
		h, err := d.Hold(hold)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Swap(swap); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(h.Wants, want(1, 2)) {
			t.Fatalf("decoding a swap turned the hold's wants into %v", h.Wants)
		}
	}
}

func TestDecodingAllocatesNothingOnceGrown(t *testing.T) {
	var d command.Decoder
	var batch []byte
	batch = (&command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Seats: make([]holdfast.SeatIndex, 60)}, {Kind: command.WantBest, Count: 2}}}).Append(batch)
	batch = (&command.BeginPayment{Attempt: 1, Amount: holdfast.Money{Currency: "eur"}}).Append(batch)
	batch = (&command.Sell{As: command.SalePaid, Attempt: 1, Amount: holdfast.Money{Currency: "eur"}, Payment: "pi_1"}).Append(batch)
	batch = (&command.Block{Seats: make([]holdfast.SeatIndex, 100)}).Append(batch)
	batch = (&command.Enter{Count: 9}).Append(batch)
	batch = (&command.Redeem{Proof: command.Proof{Path: make([][32]byte, holdfast.PathMax)}}).Append(batch)
	batch = (&command.Admit{Count: 9}).Append(batch)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := d.CheckBatch(batch); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

// fieldOf gives the field that an error names, and fails the idea of an error without one.
func fieldOf(err error) string {
	var e *holdfast.Error
	if !errors.As(err, &e) || e.Kind != holdfast.Invalid {
		return fmt.Sprintf("(%v is not an invalid field)", err)
	}
	return e.Field
}
