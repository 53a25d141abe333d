package command_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// seal appends the checksum that an entry ends with.
func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b[:len(b):len(b)], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// TestSplitRefuses what has no whole command of a fitting length at its front, by the field length.
func TestSplitRefuses(t *testing.T) {
	sized := func(kind command.Kind, n int) []byte {
		b := binary.LittleEndian.AppendUint16(nil, uint16(n))
		return append(append(b, byte(kind)), make([]byte, max(n-1, 0))...)
	}
	longSized := func(kind command.Kind, n int) []byte {
		b := binary.LittleEndian.AppendUint32([]byte{0xFF, 0xFF}, uint32(n))
		return append(append(b, byte(kind)), make([]byte, max(n-1, 0))...)
	}
	const shortMax, longMax = holdfast.CommandBytesMax - 2, 21 + 4 + holdfast.SpecBytesMax
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"nothing", nil, false},
		{"one byte", []byte{21}, false},
		{"header only", sized(command.KindMark, 21), true},
		{"shorter than a header", sized(command.KindMark, 20), false},
		{"cut off", sized(command.KindMark, 21)[:22], false},
		{"largest", sized(command.KindHold, shortMax), true},
		{"larger than the largest", sized(command.KindHold, shortMax+1), false},
		{"unknown kind, of a length that fits", sized(99, 21), true},
		{"long length cut off", []byte{0xFF, 0xFF, 30, 0, 0}, false},
		{"long, header only", longSized(command.KindPutEvent, 21), true},
		{"long, largest", longSized(command.KindPutEvent, longMax), true},
		{"long, larger than the largest", longSized(command.KindPutEvent, longMax+1), false},
		{"long, length overflows", []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, byte(command.KindPutEvent)}, false},
		{"a long length for a short kind", longSized(command.KindHold, 21), false},
		{"a short length for a long kind", sized(command.KindAssignEvent, 21), false},
	} {
		cmd, rest, err := command.Split(append(c.b, 1, 2, 3)[:len(c.b)])
		if c.ok && (err != nil || len(rest) != 0 || command.KindOf(cmd) == 0) || !c.ok && fieldOf(err) != "length" {
			t.Errorf("%s: %d bytes, %d left, %v", c.name, len(cmd), len(rest), err)
		}
		if cap(cmd) != len(cmd) {
			t.Errorf("%s: appending to the command would write over what follows it", c.name)
		}
	}
}

// patched packs a command and writes over bytes of its body; an offset from the end is negative.
func patched(c command.Command, at int, with ...byte) []byte {
	b := c.Append(nil)
	if at < 0 {
		at += len(b)
	} else {
		at += 2 + 21
	}
	copy(b[at:], with)
	return b
}

// resized packs a command and makes it n bytes longer or shorter, length included.
func resized(c command.Command, n int) []byte {
	b := c.Append(nil)
	if n < 0 {
		b = b[:len(b)+n]
	} else {
		b = append(b, make([]byte, n)...)
	}
	binary.LittleEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// TestDecodersRefuse by the field at fault everything that no event could make sense of.
func TestDecodersRefuse(t *testing.T) {
	eur := holdfast.Money{AmountMinor: 1, Currency: "eur"}
	best := func(count uint8) command.Want { return command.Want{Kind: command.WantBest, Count: count} }
	hold := func(wants ...command.Want) command.Command { return &command.Hold{Wants: wants} }
	named := func(n int) command.Want {
		return command.Want{Kind: command.WantSeats, Seats: make([]holdfast.SeatIndex, n)}
	}
	sell := func(as command.SaleKind, attempt holdfast.Attempt, payment string) command.Command {
		return &command.Sell{As: as, Attempt: attempt, Amount: eur, Payment: payment}
	}
	block := func(n int) command.Command { return &command.Block{Seats: make([]holdfast.SeatIndex, n)} }
	const beyond = holdfast.UnitsPerEventMax
	for _, c := range []struct {
		name  string
		cmd   []byte
		field string // empty: accepted
	}{
		{"hold of nothing", hold().Append(nil), "wants"},
		{"as many wants as may be", hold(best(1), best(1), best(1), best(1), best(1), best(1), best(1), best(1)).Append(nil), ""},
		{"one want more", hold(best(1), best(1), best(1), best(1), best(1), best(1), best(1), best(1), best(1)).Append(nil), "wants"},
		{"want of zero best", hold(best(0)).Append(nil), "wants"},
		{"want of zero places", hold(command.Want{Kind: command.WantGeneral}).Append(nil), "wants"},
		{"want of zero seats", hold(named(0)).Append(nil), "wants"},
		{"want of no kind", hold(command.Want{}).Append(nil), "wants"},
		{"want of an unknown kind", hold(command.Want{Kind: 4}).Append(nil), "wants"},
		{"64 units", hold(best(64)).Append(nil), ""},
		{"65 units", hold(best(65)).Append(nil), "wants"},
		{"64 seats", hold(named(64)).Append(nil), ""},
		{"65 seats", hold(named(65)).Append(nil), "wants"},
		{"65 units together", hold(named(32), best(33)).Append(nil), "wants"},
		{"adjacent is neither yes nor no", patched(hold(best(1)), -1, 2), "flag"},
		{"last seat", hold(command.Want{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{beyond - 1}}).Append(nil), ""},
		{"seat beyond any event", hold(command.Want{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{beyond}}).Append(nil), "seats"},
		{"hold cut off", resized(hold(best(1)), -1), "body"},
		{"hold with something behind it", resized(hold(best(1)), 1), "body"},
		{"swap for nothing", (&command.Swap{}).Append(nil), "wants"},
		{"swap for too much", (&command.Swap{Wants: []command.Want{best(65)}}).Append(nil), "wants"},

		{"extend cut off", resized(&command.Extend{}, -1), "body"},
		{"extend with something behind it", resized(&command.Extend{}, 1), "body"},
		{"release cut off", resized(&command.Release{}, -32), "body"},
		{"release with something behind it", resized(&command.Release{}, 300), "body"},
		{"mark with something behind it", resized(&command.Mark{}, 1), "body"},

		{"first attempt", (&command.BeginPayment{Attempt: 1, Amount: eur}).Append(nil), ""},
		{"attempt zero", (&command.BeginPayment{Amount: eur}).Append(nil), "attempt"},
		{"negative amount", (&command.BeginPayment{Attempt: 1, Amount: holdfast.Money{AmountMinor: -1, Currency: "eur"}}).Append(nil), "amount"},
		{"currency in upper case", (&command.BeginPayment{Attempt: 1, Amount: holdfast.Money{Currency: "EUR"}}).Append(nil), "currency"},
		{"currency of two letters", (&command.BeginPayment{Attempt: 1, Amount: holdfast.Money{Currency: "eu"}}).Append(nil), "currency"},

		{"sale kind zero", sell(0, 0, "").Append(nil), "as"},
		{"unknown sale kind", sell(4, 0, "").Append(nil), "as"},
		{"paid without an attempt", sell(command.SalePaid, 0, "pi").Append(nil), "attempt"},
		{"paid without a payment", sell(command.SalePaid, 1, "").Append(nil), "payment"},
		{"free", sell(command.SaleFree, 0, "").Append(nil), ""},
		{"free with an attempt", sell(command.SaleFree, 1, "").Append(nil), "attempt"},
		{"free with a payment", sell(command.SaleFree, 0, "pi").Append(nil), "payment"},
		{"invoiced with an attempt", sell(command.SaleInvoiced, 1, "").Append(nil), "attempt"},
		{"invoiced without a reference", sell(command.SaleInvoiced, 0, "").Append(nil), ""},
		{"longest reference", sell(command.SaleInvoiced, 0, strings.Repeat("x", 64)).Append(nil), ""},
		{"reference too long", sell(command.SaleInvoiced, 0, strings.Repeat("x", 65)).Append(nil), "payment"},
		{"reference with a control character", sell(command.SaleInvoiced, 0, "a\nb").Append(nil), "payment"},
		{"reference that is not UTF-8", sell(command.SaleInvoiced, 0, "a\xFFb").Append(nil), "payment"},
		{"reference longer than what is there", patched(sell(command.SaleInvoiced, 0, "pi"), -3, 3), "body"},

		{"sale set to draft", (&command.SetSale{State: holdfast.SaleDraft}).Append(nil), "state"},
		{"sale set to closed", (&command.SetSale{State: holdfast.SaleClosed}).Append(nil), ""},
		{"sale set to what is no state", (&command.SetSale{State: 4}).Append(nil), "state"},

		{"block of nothing", block(0).Append(nil), "seats"},
		{"largest block", block(4096).Append(nil), ""},
		{"block too large", block(4097).Append(nil), "seats"},
		{"block of a seat beyond any event", (&command.Block{Seats: []holdfast.SeatIndex{beyond}}).Append(nil), "seats"},
		{"unblock is neither yes nor no", patched(block(1), 0, 2), "flag"},
		{"block with more seats than it says", patched(block(2), 1, 1), "body"},
		{"block with fewer seats than it says", patched(block(2), 1, 3), "body"},

		{"unknown kind", patched(&command.Mark{}, -21, 99), "kind"},
		{"kind zero", patched(&command.Mark{}, -21, 0), "kind"},
	} {
		var d command.Decoder
		n, err := d.CheckBatch(c.cmd)
		if c.field == "" && (err != nil || n != 1) || c.field != "" && fieldOf(err) != c.field {
			t.Errorf("%s: field %q wanted: %v", c.name, c.field, err)
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	mark := (&command.Mark{}).Append(nil)
	repeat := func(n int) []byte { return []byte(strings.Repeat(string(mark), n)) }
	var d command.Decoder
	for _, c := range []struct {
		name  string
		b     []byte
		count int
		field string
	}{
		{"none", nil, 0, "batch"},
		{"as many as may be", repeat(holdfast.BatchCommandsMax), holdfast.BatchCommandsMax, ""},
		{"one more", repeat(holdfast.BatchCommandsMax + 1), 0, "batch"},
		{"too many bytes", make([]byte, holdfast.BatchBytesMax+1), 0, "batch"},
		{"the second cut off", append(repeat(1), mark[:5]...), 0, "length"},
		{"the second senseless", append(repeat(1), (&command.SetSale{}).Append(nil)...), 0, "state"},
	} {
		if n, err := d.CheckBatch(c.b); n != c.count || c.field == "" && err != nil || c.field != "" && fieldOf(err) != c.field {
			t.Errorf("%s: %d commands, %v; want %d and field %q", c.name, n, err, c.count, c.field)
		}
	}
}

// TestTheLargestDescriptionFitsABatch as both commands that carry one: what the directory accepted, the shard must
// be able to take.
func TestTheLargestDescriptionFitsABatch(t *testing.T) {
	s := wide(command.SpansMax, command.RowsMax)
	over := len(s.Append(nil)) - holdfast.SpecBytesMax
	s.Allocations[0].Spans = s.Allocations[0].Spans[over/12+1:]
	s.Title = strings.Repeat("x", holdfast.SpecBytesMax-len(s.Append(nil))) // up to the last byte
	tooLong := s
	tooLong.Title += "x"
	if n := len(s.Append(nil)); n != holdfast.SpecBytesMax {
		t.Fatalf("the largest description has %d bytes", n)
	}
	var d command.Decoder
	for _, c := range []command.Command{&command.PutEvent{Spec: s}, &command.AssignEvent{Spec: s}} {
		if _, err := d.CheckBatch(c.Append(nil)); err != nil {
			t.Errorf("%T: %v", c, err)
		}
	}
	if _, err := d.CheckBatch((&command.AssignEvent{Spec: tooLong}).Append(nil)); fieldOf(err) != "description" {
		t.Errorf("a byte more: %v", err)
	}
}

// wide makes a description of rows of one seat, the first of which are set apart, each by its own span.
func wide(spans, rows int) command.EventSpec {
	s := command.EventSpec{Name: "wide", Currency: "eur", Tiers: []command.Tier{{Name: "t"}}, Sections: []command.Section{{Name: "s"}}}
	for i := range rows {
		s.Sections[0].Rows = append(s.Sections[0].Rows, command.Row{Label: fmt.Sprint(i), Seats: 1, Tier: holdfast.AnyTier})
	}
	if spans > 0 {
		s.Allocations = []command.Allocation{{Name: "a"}}
		for i := range spans {
			s.Allocations[0].Spans = append(s.Allocations[0].Spans, command.Span{Row: uint16(i)})
		}
	}
	return s
}
