// Package command is the packed form of what goes into a shard's log and what comes out of it: commands, entries
// and results. It is a leaf: the client packs with it, the node copies what the client packed into log entries
// without touching it, and the state machines decode it. It imports the words and the standard library only.
//
// All integers are little-endian. Layouts are fixed and canonical: decoding what was encoded gives the same value,
// and encoding what was decoded gives the same bytes. Everything that is decoded is checked against its limits
// before memory is taken for it.
//
// A packed command is
//
//	length uint16 | kind uint8 | id [16] | event uint32 | body
//
// where length counts everything after itself. A description of an event (PutEvent, AssignEvent) can be longer
// than 64 KiB: for these kinds length is 0xFFFF and a uint32 with the true length follows it.
package command

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfast-db/holdfast"
)

// Kind says what a command does. The numbers are in logs: they are only ever appended.
type Kind uint8

// The kinds of commands.
const (
	KindHold         Kind = 1
	KindSwap         Kind = 2
	KindExtend       Kind = 3
	KindRelease      Kind = 4
	KindBeginPayment Kind = 5
	KindSell         Kind = 6

	KindPutEvent Kind = 16
	KindSetSale  Kind = 17
	KindBlock    Kind = 18

	// KindMark asks every replica to take its state hash at this entry, for cluster verify.
	KindMark Kind = 32

	// The waiting line: see line.go.
	KindOpenLine       Kind = 40
	KindEnter          Kind = 41
	KindDraw           Kind = 42
	KindRedeem         Kind = 43
	KindAdmit          Kind = 44
	KindSetLine        Kind = 45
	KindLeaveLine      Kind = 46
	KindJoinReturns    Kind = 47
	KindLeaveReturns   Kind = 48
	KindAttachPayment  Kind = 70
	KindFailPayment    Kind = 71
	KindAckEffect      Kind = 72
	KindRefund         Kind = 73
	KindStrayMoney     Kind = 74
	KindDispute        Kind = 75
	KindRetryEffect    Kind = 76
	KindSetIncarnation Kind = 77
	KindPutPerson      Kind = 78
	KindForgetPerson   Kind = 79

	// KindAssignEvent is the directory's: it gives an event a number and a shard.
	KindAssignEvent Kind = 64
	// KindPutKey is the directory's too: a frontend's public key.
	KindPutKey Kind = 65
)

var kindNames = map[Kind]string{
	KindHold: "hold", KindSwap: "swap", KindExtend: "extend", KindRelease: "release", KindBeginPayment: "begin_payment", KindSell: "sell",
	KindPutEvent: "put_event", KindSetSale: "set_sale", KindBlock: "block", KindMark: "mark", KindAssignEvent: "assign_event",
	KindPutKey:   "put_key",
	KindOpenLine: "open_line", KindEnter: "enter", KindDraw: "draw", KindRedeem: "redeem", KindAdmit: "admit", KindSetLine: "set_line",
	KindLeaveLine: "leave_line", KindJoinReturns: "join_returns", KindLeaveReturns: "leave_returns",
	KindAttachPayment: "attach_payment", KindFailPayment: "fail_payment", KindAckEffect: "ack_effect", KindRefund: "refund",
	KindStrayMoney: "stray_money", KindDispute: "dispute", KindRetryEffect: "retry_effect", KindSetIncarnation: "set_incarnation",
	KindPutPerson: "put_person", KindForgetPerson: "forget_person",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind_%d", uint8(k))
}

// Directory reports whether commands of this kind are for the directory alone.
func (k Kind) Directory() bool { return k == KindAssignEvent || k == KindPutKey }

// Long reports whether commands of this kind may be longer than holdfast.CommandBytesMax.
func (k Kind) Long() bool { return k == KindPutEvent || k == KindAssignEvent }

// Settles reports whether the kind gives seats back or brings a payment home. A share of every queue is kept for
// these, so that a crowd of new holds cannot lock out those who want to pay.
func (k Kind) Settles() bool {
	return k == KindSell || k == KindBeginPayment || k == KindRelease || k >= KindAttachPayment && k <= KindDispute
}

// Header is what every command begins with.
type Header struct {
	Kind  Kind
	ID    holdfast.CommandID
	Event holdfast.EventID // 0 for commands that concern no event
}

// Head gives the header of whatever command embeds it.
func (h *Header) Head() *Header { return h }

// Command is any of the commands below, by pointer.
type Command interface {
	Head() *Header
	// Append appends the packed command.
	Append(b []byte) []byte
}

// WantKind says how a want chooses its units.
type WantKind uint8

// The kinds of wants.
const (
	WantSeats   WantKind = 1 // exactly these units
	WantBest    WantKind = 2 // the best Count free units of a reserved section or tier
	WantGeneral WantKind = 3 // any Count units of a general-admission section
)

// Want is one part of what a hold asks for.
type Want struct {
	Kind     WantKind
	Seats    []holdfast.SeatIndex  // WantSeats: 1 to UnitsPerHoldMax
	Section  holdfast.SectionIndex // WantBest: AnySection for all of them; WantGeneral: the section
	Tier     holdfast.TierIndex    // WantBest: AnyTier for all of them
	Count    uint8                 // WantBest, WantGeneral: 1 to UnitsPerHoldMax
	Adjacent bool                  // WantBest: only units side by side in one row
}

// WantsMax bounds the wants of one Hold.
const WantsMax = 8

// Hold takes all units of its wants for the buyer, or none. The hold's id is the command's id.
type Hold struct {
	Header
	Buyer      holdfast.BuyerID
	Allocation holdfast.AllocationIndex // the units must belong to it
	Wants      []Want
}

// Swap gives the hold the units of its wants in place of those it has, or changes nothing. It does not move the
// deadline. Units that the hold has may be wanted again.
type Swap struct {
	Header
	Buyer      holdfast.BuyerID
	Hold       holdfast.HoldID
	Allocation holdfast.AllocationIndex
	Wants      []Want
}

// Extend moves an open hold's deadline once, by the event's extension.
type Extend struct {
	Header
	Buyer holdfast.BuyerID
	Hold  holdfast.HoldID
}

// Release gives an open hold's units back.
type Release struct {
	Header
	Buyer holdfast.BuyerID
	Hold  holdfast.HoldID
}

// BeginPayment freezes what is to be paid, before any provider is asked for it, and moves the deadline once to
// the event's pay window. Attempt is 1 for the first; the next number condemns the one before it.
type BeginPayment struct {
	Header
	Buyer   holdfast.BuyerID
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt
	Amount  holdfast.Money // must equal the hold's total; with Checkout rules, the quote's

	// Only for events with Checkout rules.
	Capture holdfast.CaptureMethod // 0: CaptureManual
	Promo   holdfast.PromoCode
	Contact holdfast.ContactID // where the receipt goes
}

// SaleKind says what stands behind a sale.
type SaleKind uint8

// The kinds of sales.
const (
	SalePaid     SaleKind = 1 // an attempt that BeginPayment began
	SaleFree     SaleKind = 2 // the total is 0: no payment
	SaleInvoiced SaleKind = 3 // the organizer takes the money elsewhere (box office, invoice)
)

// Sell makes the hold an order. For SalePaid the hold must be in payment, and attempt and amount must be those
// that BeginPayment froze; a payment reference belongs to one order for good. For the others Attempt is 0, and
// the hold must be open. Selling what was sold with the same contents answers OK again, whatever the command's id.
type Sell struct {
	Header
	Hold    holdfast.HoldID
	As      SaleKind
	Attempt holdfast.Attempt
	Amount  holdfast.Money
	Payment string // the provider's reference; for SaleInvoiced the organizer's, may be empty

	// Mode and Account say whose payment it is; needed for paid sales of events with Checkout rules.
	Mode    holdfast.PaymentMode
	Account string
}

// PutEvent creates the event, or brings it to a new description. Expect is the description's version that the
// change was made for: 0 for a new event.
type PutEvent struct {
	Header
	Expect uint32
	Spec   EventSpec
}

// SetSale opens, pauses or closes the event's sale.
type SetSale struct {
	Header
	State holdfast.SaleState // SaleOpen, SalePaused or SaleClosed
}

// Block takes free units off sale, or puts blocked ones back. All or none.
type Block struct {
	Header
	Unblock bool
	Seats   []holdfast.SeatIndex // 1 to UnitsPerBlockMax
}

// Mark asks every replica for its state hash at this entry.
type Mark struct{ Header }

// AssignEvent gives the event's name a number and a shard, once. The name with the same description is answered
// with the same numbers again.
type AssignEvent struct {
	Header
	Spec EventSpec
}

const headerBytes = 1 + 16 + 4 // kind, id, event

// maxBody gives the limit of length for a kind.
func maxBytes(k Kind) int {
	if k.Long() {
		return headerBytes + 4 + holdfast.SpecBytesMax
	}
	return holdfast.CommandBytesMax - 2
}

const longMark = 0xFFFF

// Split cuts the first packed command off b: its bytes after the length, and the rest. It checks the length
// against the limits of the command's kind, and that a header is there.
func Split(b []byte) (cmd, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, malformed("length", "%d bytes left, need 2", len(b))
	}
	n, b := int(binary.LittleEndian.Uint16(b)), b[2:]
	long := n == longMark
	if long {
		if len(b) < 4 {
			return nil, nil, malformed("length", "long length cut off")
		}
		n, b = int(binary.LittleEndian.Uint32(b)), b[4:]
	}
	if n < headerBytes || n > len(b) {
		return nil, nil, malformed("length", "%d bytes, have %d", n, len(b))
	}
	if k := Kind(b[0]); n > maxBytes(k) || long != k.Long() {
		return nil, nil, malformed("length", "a %s of %d bytes", k, n)
	}
	return b[:n:n], b[n:], nil
}

// begin appends the length's place and the header; end fills the length in.
func begin(b []byte, h Header) ([]byte, int) {
	at := len(b)
	if h.Kind.Long() {
		b = binary.LittleEndian.AppendUint16(b, longMark)
		b = append(b, 0, 0, 0, 0)
	} else {
		b = append(b, 0, 0)
	}
	b = append(b, byte(h.Kind))
	b = append(b, h.ID[:]...)
	return binary.LittleEndian.AppendUint32(b, uint32(h.Event)), at
}

func end(b []byte, at int) []byte {
	if binary.LittleEndian.Uint16(b[at:]) == longMark {
		binary.LittleEndian.PutUint32(b[at+2:], uint32(len(b)-at-6))
	} else {
		binary.LittleEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	}
	return b
}

// malformed is the error of every decoder in this package.
func malformed(field, format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "decode", Field: field, Message: fmt.Sprintf(format, args...)}
}
