package command

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/holdfast-db/holdfast"
)

// KindOf gives the kind of a command that Split returned.
func KindOf(cmd []byte) Kind { return Kind(cmd[0]) }

// IDOf gives the id of a command that Split returned.
func IDOf(cmd []byte) holdfast.CommandID { return holdfast.CommandID(cmd[1:17]) }

// SetID writes another id into a command that Split returned.
func SetID(cmd []byte, id holdfast.CommandID) { copy(cmd[1:17], id[:]) }

// EventOf gives the event of a command that Split returned.
func EventOf(cmd []byte) holdfast.EventID {
	return holdfast.EventID(binary.LittleEndian.Uint32(cmd[17:]))
}

// The ids that most commands name besides their own, taken from where they stand in a command that Split returned,
// without decoding it: for who wants to look ahead. They check nothing; what a command does not have is zero.

// HoldOf gives the hold that a command is about; for a Hold, which makes it, that is its own id.
func HoldOf(cmd []byte) holdfast.HoldID {
	at := headerBytes
	switch KindOf(cmd) {
	case KindHold:
		at = 1
	case KindSwap, KindExtend, KindRelease, KindBeginPayment:
		at += 16
	case KindSell, KindAttachPayment, KindFailPayment, KindStrayMoney, KindRefund, KindPutPerson, KindForgetPerson:
	default:
		return holdfast.HoldID{}
	}
	if len(cmd) < at+16 {
		return holdfast.HoldID{}
	}
	return holdfast.HoldID(cmd[at:])
}

// HolderOf gives the buyer of a Hold, and the first of the units that its first want names.
func HolderOf(cmd []byte) (buyer holdfast.BuyerID, unit holdfast.SeatIndex, named bool) {
	const want = headerBytes + 16 + 2 // behind the allocation and the number of wants
	if len(cmd) < want+6 || KindOf(cmd) != KindHold {
		return buyer, 0, false
	}
	return holdfast.BuyerID(cmd[headerBytes:]), holdfast.SeatIndex(binary.LittleEndian.Uint32(cmd[want+2:])), WantKind(cmd[want]) == WantSeats
}

// Append appends the packed command to b. What it appends is only as valid as c: see Decoder.
func (c *Hold) Append(b []byte) []byte {
	c.Kind = KindHold
	b, at := begin(b, c.Header)
	b = append(b, c.Buyer[:]...)
	b = append(b, byte(c.Allocation))
	b = appendWants(b, c.Wants)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Swap) Append(b []byte) []byte {
	c.Kind = KindSwap
	b, at := begin(b, c.Header)
	b = append(b, c.Buyer[:]...)
	b = append(b, c.Hold[:]...)
	b = append(b, byte(c.Allocation))
	b = appendWants(b, c.Wants)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Extend) Append(b []byte) []byte {
	c.Kind = KindExtend
	return appendBuyerHold(b, c.Header, c.Buyer, c.Hold)
}

// Append appends the packed command to b.
func (c *Release) Append(b []byte) []byte {
	c.Kind = KindRelease
	return appendBuyerHold(b, c.Header, c.Buyer, c.Hold)
}

func appendBuyerHold(b []byte, h Header, buyer holdfast.BuyerID, hold holdfast.HoldID) []byte {
	b, at := begin(b, h)
	b = append(b, buyer[:]...)
	b = append(b, hold[:]...)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *BeginPayment) Append(b []byte) []byte {
	c.Kind = KindBeginPayment
	b, at := begin(b, c.Header)
	b = append(b, c.Buyer[:]...)
	b = append(b, c.Hold[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(c.Attempt))
	b = appendMoney(b, c.Amount)
	if c.Capture != 0 || c.Promo != (holdfast.PromoCode{}) || c.Contact != (holdfast.ContactID{}) {
		b = append(b, byte(c.Capture))
		b = append(b, c.Promo[:]...)
		b = append(b, c.Contact[:]...)
	}
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Sell) Append(b []byte) []byte {
	c.Kind = KindSell
	b, at := begin(b, c.Header)
	b = append(b, c.Hold[:]...)
	b = append(b, byte(c.As))
	b = binary.LittleEndian.AppendUint32(b, uint32(c.Attempt))
	b = appendMoney(b, c.Amount)
	b = appendString(b, c.Payment)
	if c.Mode != 0 || c.Account != "" {
		b = append(b, byte(c.Mode))
		b = appendString(b, c.Account)
	}
	return end(b, at)
}

// Append appends the packed command to b.
func (c *PutEvent) Append(b []byte) []byte {
	c.Kind = KindPutEvent
	b, at := begin(b, c.Header)
	b = binary.LittleEndian.AppendUint32(b, c.Expect)
	b = c.Spec.Append(b)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *AssignEvent) Append(b []byte) []byte {
	c.Kind = KindAssignEvent
	b, at := begin(b, c.Header)
	b = c.Spec.Append(b)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *SetSale) Append(b []byte) []byte {
	c.Kind = KindSetSale
	b, at := begin(b, c.Header)
	b = append(b, byte(c.State))
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Block) Append(b []byte) []byte {
	c.Kind = KindBlock
	b, at := begin(b, c.Header)
	b = append(b, boolByte(c.Unblock))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Seats)))
	for _, s := range c.Seats {
		b = binary.LittleEndian.AppendUint32(b, uint32(s))
	}
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Mark) Append(b []byte) []byte {
	c.Kind = KindMark
	b, at := begin(b, c.Header)
	return end(b, at)
}

func appendWants(b []byte, wants []Want) []byte {
	b = append(b, byte(len(wants)))
	for i := range wants {
		w := &wants[i]
		b = append(b, byte(w.Kind))
		switch w.Kind {
		case WantSeats:
			b = append(b, byte(len(w.Seats)))
			for _, s := range w.Seats {
				b = binary.LittleEndian.AppendUint32(b, uint32(s))
			}
		case WantBest:
			b = binary.LittleEndian.AppendUint16(b, uint16(w.Section))
			b = append(b, byte(w.Tier), w.Count, boolByte(w.Adjacent))
		case WantGeneral:
			b = binary.LittleEndian.AppendUint16(b, uint16(w.Section))
			b = append(b, w.Count)
		}
	}
	return b
}

func appendMoney(b []byte, m holdfast.Money) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(m.AmountMinor))
	var currency [3]byte
	copy(currency[:], m.Currency)
	return append(b, currency[:]...)
}

func appendString(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Decoder decodes commands into one set of structs that it uses again, so that decoding allocates nothing once
// its slices have grown. What a method returns is valid until that method's next call. The zero Decoder is ready;
// it is not safe for concurrent use.
//
// A decoder refuses what is not canonical, what is over a limit, and what can be seen to be senseless without
// knowing the event.
type Decoder struct {
	hold         Hold
	swap         Swap
	extend       Extend
	release      Release
	beginPayment BeginPayment
	sell         Sell
	putEvent     PutEvent
	assignEvent  AssignEvent
	putKey       PutKey
	setSale      SetSale
	block        Block
	mark         Mark
	line         lineCommands
	paymentDecoder

	holdSeats, swapSeats []holdfast.SeatIndex // back the Seats of the wants decoded last
}

// Check decodes a command of any kind and drops it. An unknown kind is an error.
func (d *Decoder) Check(cmd []byte) (err error) {
	switch k := KindOf(cmd); k {
	case KindHold:
		_, err = d.Hold(cmd)
	case KindSwap:
		_, err = d.Swap(cmd)
	case KindExtend:
		_, err = d.Extend(cmd)
	case KindRelease:
		_, err = d.Release(cmd)
	case KindBeginPayment:
		_, err = d.BeginPayment(cmd)
	case KindSell:
		_, err = d.Sell(cmd)
	case KindPutEvent:
		_, err = d.PutEvent(cmd)
	case KindAssignEvent:
		_, err = d.AssignEvent(cmd)
	case KindPutKey:
		_, err = d.PutKey(cmd)
	case KindSetSale:
		_, err = d.SetSale(cmd)
	case KindBlock:
		_, err = d.Block(cmd)
	case KindMark:
		_, err = d.Mark(cmd)
	default:
		switch known, err := d.checkPayment(cmd); {
		case known:
			return err
		default:
			return d.checkLine(cmd)
		}
	}
	return err
}

// CheckBatch checks that b is whole commands, each valid by itself, and counts them.
func (d *Decoder) CheckBatch(b []byte) (count int, err error) {
	if len(b) > holdfast.BatchBytesMax {
		return 0, malformed("batch", "%d bytes, at most %d", len(b), holdfast.BatchBytesMax)
	}
	for len(b) > 0 {
		var cmd []byte
		if cmd, b, err = Split(b); err != nil {
			return 0, err
		}
		if err := d.Check(cmd); err != nil {
			return 0, err
		}
		if count++; count > holdfast.BatchCommandsMax {
			return 0, malformed("batch", "more than %d commands", holdfast.BatchCommandsMax)
		}
	}
	if count == 0 {
		return 0, malformed("batch", "no commands")
	}
	return count, nil
}

// Hold decodes a Hold.
func (d *Decoder) Hold(cmd []byte) (*Hold, error) {
	r, c := open(cmd, KindHold), &d.hold
	c.Header = r.header()
	c.Buyer = r.id16()
	c.Allocation = holdfast.AllocationIndex(r.u8())
	c.Wants, d.holdSeats = r.wants(c.Wants[:0], d.holdSeats[:0])
	return c, r.done()
}

// Swap decodes a Swap.
func (d *Decoder) Swap(cmd []byte) (*Swap, error) {
	r, c := open(cmd, KindSwap), &d.swap
	c.Header = r.header()
	c.Buyer = r.id16()
	c.Hold = r.id16()
	c.Allocation = holdfast.AllocationIndex(r.u8())
	c.Wants, d.swapSeats = r.wants(c.Wants[:0], d.swapSeats[:0])
	return c, r.done()
}

// Extend decodes an Extend.
func (d *Decoder) Extend(cmd []byte) (*Extend, error) {
	r, c := open(cmd, KindExtend), &d.extend
	c.Header, c.Buyer, c.Hold = r.header(), r.id16(), r.id16()
	return c, r.done()
}

// Release decodes a Release.
func (d *Decoder) Release(cmd []byte) (*Release, error) {
	r, c := open(cmd, KindRelease), &d.release
	c.Header, c.Buyer, c.Hold = r.header(), r.id16(), r.id16()
	return c, r.done()
}

// BeginPayment decodes a BeginPayment.
func (d *Decoder) BeginPayment(cmd []byte) (*BeginPayment, error) {
	r, c := open(cmd, KindBeginPayment), &d.beginPayment
	c.Header, c.Buyer, c.Hold = r.header(), r.id16(), r.id16()
	c.Attempt = holdfast.Attempt(r.u32())
	c.Amount = r.money(c.Amount.Currency)
	if r.err == nil && c.Attempt == 0 {
		r.fail("attempt", "attempts count from 1")
	}
	c.Capture, c.Promo, c.Contact = 0, holdfast.PromoCode{}, holdfast.ContactID{}
	if r.err == nil && len(r.b) > 0 {
		c.Capture, c.Promo, c.Contact = holdfast.CaptureMethod(r.u8()), r.id16(), r.id16()
		if r.err == nil && c.Capture > holdfast.CaptureAtOnce {
			r.fail("capture", "capture method %d", c.Capture)
		}
		if c.Capture == 0 && c.Promo == (holdfast.PromoCode{}) && c.Contact == (holdfast.ContactID{}) {
			r.fail("body", "nothing is said at length")
		}
	}
	return c, r.done()
}

// Sell decodes a Sell. Its Payment and Account lie in cmd.
func (d *Decoder) Sell(cmd []byte) (*Sell, error) {
	r, c := open(cmd, KindSell), &d.sell
	c.Header, c.Hold = r.header(), r.id16()
	c.As = SaleKind(r.u8())
	c.Attempt = holdfast.Attempt(r.u32())
	c.Amount = r.money(c.Amount.Currency)
	c.Payment = r.view("payment", holdfast.PaymentRefBytesMax)
	c.Mode, c.Account = 0, ""
	if r.err == nil && len(r.b) > 0 {
		c.Mode, c.Account = holdfast.PaymentMode(r.u8()), r.view("account", holdfast.NameBytesMax)
		if c.Mode > holdfast.ModeLive || c.Mode == 0 && c.Account == "" {
			r.fail("mode", "mode %d", c.Mode)
		}
	}
	switch {
	case r.err != nil:
	case c.As < SalePaid || c.As > SaleInvoiced:
		r.fail("as", "sale kind %d", c.As)
	case (c.As == SalePaid) != (c.Attempt > 0):
		r.fail("attempt", "%d with sale kind %d", c.Attempt, c.As)
	case c.As == SalePaid && c.Payment == "":
		r.fail("payment", "a paid sale needs the payment's reference")
	case c.As == SaleFree && c.Payment != "":
		r.fail("payment", "a free sale has none")
	}
	return c, r.done()
}

// PutEvent decodes a PutEvent. Its Spec is fresh memory that the caller may keep.
func (d *Decoder) PutEvent(cmd []byte) (*PutEvent, error) {
	r, c := open(cmd, KindPutEvent), &d.putEvent
	c.Header = r.header()
	c.Expect = r.u32()
	c.Spec = r.spec()
	return c, r.done()
}

// AssignEvent decodes an AssignEvent. Its Spec is fresh memory that the caller may keep.
func (d *Decoder) AssignEvent(cmd []byte) (*AssignEvent, error) {
	r, c := open(cmd, KindAssignEvent), &d.assignEvent
	c.Header = r.header()
	c.Spec = r.spec()
	return c, r.done()
}

// SetSale decodes a SetSale.
func (d *Decoder) SetSale(cmd []byte) (*SetSale, error) {
	r, c := open(cmd, KindSetSale), &d.setSale
	c.Header = r.header()
	c.State = holdfast.SaleState(r.u8())
	if r.err == nil && (c.State < holdfast.SaleOpen || c.State > holdfast.SaleClosed) {
		r.fail("state", "a sale cannot be set to %s", c.State)
	}
	return c, r.done()
}

// Block decodes a Block.
func (d *Decoder) Block(cmd []byte) (*Block, error) {
	r, c := open(cmd, KindBlock), &d.block
	c.Header = r.header()
	c.Unblock = r.bool()
	n := int(r.u16())
	if r.err == nil && (n == 0 || n > holdfast.UnitsPerBlockMax) {
		r.fail("seats", "%d seats, 1 to %d", n, holdfast.UnitsPerBlockMax)
	}
	c.Seats = r.seats(c.Seats[:0], n)
	return c, r.done()
}

// Mark decodes a Mark.
func (d *Decoder) Mark(cmd []byte) (*Mark, error) {
	r, c := open(cmd, KindMark), &d.mark
	c.Header = r.header()
	return c, r.done()
}

// reader takes fields off a command. After the first error it gives zeros, and done tells the error.
type reader struct {
	b   []byte
	err error
}

func open(cmd []byte, want Kind) reader {
	r := reader{b: cmd}
	if len(cmd) < headerBytes || Kind(cmd[0]) != want {
		r.fail("kind", "not a %s", want)
	}
	return r
}

func (r *reader) fail(field, format string, args ...any) {
	if r.err == nil {
		r.err = malformed(field, format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || len(r.b) < n {
		r.fail("body", "cut off")
		return zeros[:n]
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// zeros stands in for what is missing; no field taken in one piece is longer.
var zeros [256]byte

func (r *reader) header() Header {
	return Header{Kind: Kind(r.u8()), ID: r.id16(), Event: holdfast.EventID(r.u32())}
}

func (r *reader) u8() uint8      { return r.take(1)[0] }
func (r *reader) u16() uint16    { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32    { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64    { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) id16() [16]byte { return [16]byte(r.take(16)) }

func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 {
		r.fail("flag", "%d is neither 0 nor 1", v)
	}
	return v == 1
}

// text reads a string of at most max bytes (up to 255).
func (r *reader) text(field string, max int) string { return strings.Clone(r.view(field, max)) }

// view reads a string whose bytes stay those that are decoded: a payment's reference, of which every sale has
// another, costs no memory. The string is good for as long as nobody writes to these.
func (r *reader) view(field string, max int) string {
	n := int(r.u8())
	if n > max {
		r.fail(field, "%d bytes, at most %d", n, max)
		return ""
	}
	b := r.take(n)
	if r.err != nil {
		return ""
	}
	s := unsafe.String(unsafe.SliceData(b), len(b))
	if !printable(s) {
		r.fail(field, "%q is not UTF-8 without control characters", s)
		return ""
	}
	return s
}

// money reads an amount. It gives old back as the currency when that is equal, to save its memory.
func (r *reader) money(old holdfast.Currency) holdfast.Money {
	amount := int64(r.u64())
	code := r.take(3)
	if amount < 0 {
		r.fail("amount", "%d is negative", amount)
	}
	for _, c := range code {
		if r.err == nil && (c < 'a' || c > 'z') {
			r.fail("currency", "%q is not three lower-case letters", code)
		}
	}
	if string(code) == string(old) {
		return holdfast.Money{AmountMinor: amount, Currency: old}
	}
	return holdfast.Money{AmountMinor: amount, Currency: holdfast.Currency(code)}
}

func (r *reader) seats(to []holdfast.SeatIndex, n int) []holdfast.SeatIndex {
	for range n {
		s := r.u32()
		if r.err != nil {
			return to
		}
		if s >= holdfast.UnitsPerEventMax {
			r.fail("seats", "%d is beyond any event", s)
		}
		to = append(to, holdfast.SeatIndex(s))
	}
	return to
}

// wants reads wants into wants, and the units that they name into seats, which may move as it grows: what was cut
// from its old place stays good.
func (r *reader) wants(wants []Want, seats []holdfast.SeatIndex) ([]Want, []holdfast.SeatIndex) {
	n := int(r.u8())
	if r.err == nil && (n == 0 || n > WantsMax) {
		r.fail("wants", "%d wants, 1 to %d", n, WantsMax)
	}
	units := 0
	for range n {
		if r.err != nil {
			break
		}
		w := Want{Kind: WantKind(r.u8())}
		switch w.Kind {
		case WantSeats:
			w.Count = r.u8()
			from := len(seats)
			seats = r.seats(seats, int(w.Count))
			w.Seats = seats[from:len(seats):len(seats)]
		case WantBest:
			w.Section, w.Tier, w.Count, w.Adjacent = holdfast.SectionIndex(r.u16()), holdfast.TierIndex(r.u8()), r.u8(), r.bool()
		case WantGeneral:
			w.Section, w.Count = holdfast.SectionIndex(r.u16()), r.u8()
		default:
			r.fail("wants", "want kind %d", w.Kind)
		}
		if w.Count == 0 {
			r.fail("wants", "a want of nothing")
		}
		if units += int(w.Count); units > holdfast.UnitsPerHoldMax {
			r.fail("wants", "more than %d units", holdfast.UnitsPerHoldMax)
		}
		wants = append(wants, w)
	}
	return wants, seats
}

func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("body", "%d bytes too many", len(r.b))
	}
	return r.err
}
