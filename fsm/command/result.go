package command

import (
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
)

// Result is what a shard answers to one command. Which fields are set depends on the outcome; a zero field is
// absent. Packed it is
//
//	length uint16 | outcome uint8 | fields uint32 | the fields present, in the order of the bits
type Result struct {
	Outcome  holdfast.Outcome
	Repeated bool // the command was executed before, and this is its outcome told again

	Hold     holdfast.HoldID // the hold that the command made or concerned, or that stands in its way
	Deadline holdfast.Clock  // when the hold ends, or payment must be in
	Amount   holdfast.Money  // the hold's frozen total
	Seats    []holdfast.SeatIndex
	Attempt  holdfast.Attempt
	// Taken are the wanted units that were not to be had, Near the nearest alternative when there is one.
	Taken []holdfast.SeatIndex
	Near  []holdfast.SeatIndex
	// Allowance is how many more units the buyer may have of this event.
	Allowance uint16
	// RetryAfterMs says when the same want may be tried again: the end of a cool-down.
	RetryAfterMs uint32
	// Event, Shard and Version answer commands about events: number, shard and version of the description.
	Event   holdfast.EventID
	Shard   holdfast.ShardID
	Version uint32
	// Place, Position and Served answer commands about the line: the number of the place, or the first of those that an
	// Enter made; where it stands; and the position up to which the line has been called. Which are meant follows from
	// the command and the outcome: 0 is a number too.
	Place    holdfast.PlaceNumber
	Position holdfast.Position
	Served   holdfast.Position
	// Session is when the visitor's session, or turn, ends unless something is done.
	Session holdfast.Clock
	// OrderState is that of the order that the command made or concerned.
	OrderState holdfast.OrderState
	// Effect is what the command left to be done outside.
	Effect holdfast.EffectID
}

// Presence bits, in the order of the fields on the wire.
const (
	hasRepeated = 1 << iota
	hasHold
	hasDeadline
	hasAmount
	hasSeats
	hasAttempt
	hasTaken
	hasNear
	hasAllowance
	hasRetryAfter
	hasEvent
	hasShard
	hasVersion
	hasPlace
	hasPosition
	hasServed
	hasSession
	hasOrderState
	hasEffect
	hasAll = 1<<iota - 1
)

// ResultSeatsMax bounds each list of units in a result.
const ResultSeatsMax = holdfast.UnitsPerHoldMax

// fields gives the presence bits of what is set.
func (r *Result) fields() (bits uint32) {
	for _, f := range [...]struct {
		bit uint32
		set bool
	}{
		{hasRepeated, r.Repeated}, {hasHold, !r.Hold.IsZero()}, {hasDeadline, r.Deadline != 0}, {hasAmount, r.Amount.Currency != ""},
		{hasSeats, len(r.Seats) > 0}, {hasAttempt, r.Attempt != 0}, {hasTaken, len(r.Taken) > 0}, {hasNear, len(r.Near) > 0},
		{hasAllowance, r.Allowance != 0}, {hasRetryAfter, r.RetryAfterMs != 0}, {hasEvent, r.Event != 0}, {hasShard, r.Shard != 0},
		{hasVersion, r.Version != 0}, {hasPlace, r.Place != 0}, {hasPosition, r.Position != 0}, {hasServed, r.Served != 0},
		{hasSession, r.Session != 0}, {hasOrderState, r.OrderState != 0}, {hasEffect, r.Effect != 0},
	} {
		if f.set {
			bits |= f.bit
		}
	}
	return bits
}

// Append appends the packed result to b.
func (r *Result) Append(b []byte) []byte {
	at, fields := len(b), r.fields()
	b = append(b, 0, 0, byte(r.Outcome))
	b = binary.LittleEndian.AppendUint32(b, fields)
	if fields&hasHold != 0 {
		b = append(b, r.Hold[:]...)
	}
	if fields&hasDeadline != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.Deadline))
	}
	if fields&hasAmount != 0 {
		b = appendMoney(b, r.Amount)
	}
	if fields&hasSeats != 0 {
		b = appendSeats(b, r.Seats)
	}
	if fields&hasAttempt != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Attempt))
	}
	if fields&hasTaken != 0 {
		b = appendSeats(b, r.Taken)
	}
	if fields&hasNear != 0 {
		b = appendSeats(b, r.Near)
	}
	if fields&hasAllowance != 0 {
		b = binary.LittleEndian.AppendUint16(b, r.Allowance)
	}
	if fields&hasRetryAfter != 0 {
		b = binary.LittleEndian.AppendUint32(b, r.RetryAfterMs)
	}
	if fields&hasEvent != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Event))
	}
	if fields&hasShard != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Shard))
	}
	if fields&hasVersion != 0 {
		b = binary.LittleEndian.AppendUint32(b, r.Version)
	}
	if fields&hasPlace != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Place))
	}
	if fields&hasPosition != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Position))
	}
	if fields&hasServed != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Served))
	}
	if fields&hasSession != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.Session))
	}
	if fields&hasOrderState != 0 {
		b = append(b, byte(r.OrderState))
	}
	if fields&hasEffect != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.Effect))
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return b
}

// DecodeResult takes the first packed result off b into r, whose slices it uses again, and gives the rest.
func DecodeResult(b []byte, r *Result) (rest []byte, err error) {
	if len(b) < 7 {
		return nil, malformed("result", "%d bytes", len(b))
	}
	n := int(binary.LittleEndian.Uint16(b))
	if n < 5 || n > len(b)-2 {
		return nil, malformed("result", "length %d of %d", n, len(b))
	}
	rd := reader{b: b[2 : 2+n : 2+n]}
	rest = b[2+n:]
	seats, taken, near, currency := r.Seats[:0], r.Taken[:0], r.Near[:0], r.Amount.Currency
	*r = Result{Outcome: holdfast.Outcome(rd.u8()), Seats: seats, Taken: taken, Near: near}
	fields := rd.u32()
	if fields&^hasAll != 0 {
		return nil, malformed("result", "fields %#x: the server is newer than this program", fields)
	}
	r.Repeated = fields&hasRepeated != 0
	if fields&hasHold != 0 {
		r.Hold = rd.id16()
	}
	if fields&hasDeadline != 0 {
		r.Deadline = holdfast.Clock(rd.u64())
	}
	if fields&hasAmount != 0 {
		r.Amount = rd.money(currency)
	}
	if fields&hasSeats != 0 {
		r.Seats = rd.seatList(r.Seats)
	}
	if fields&hasAttempt != 0 {
		r.Attempt = holdfast.Attempt(rd.u32())
	}
	if fields&hasTaken != 0 {
		r.Taken = rd.seatList(r.Taken)
	}
	if fields&hasNear != 0 {
		r.Near = rd.seatList(r.Near)
	}
	if fields&hasAllowance != 0 {
		r.Allowance = rd.u16()
	}
	if fields&hasRetryAfter != 0 {
		r.RetryAfterMs = rd.u32()
	}
	if fields&hasEvent != 0 {
		r.Event = holdfast.EventID(rd.u32())
	}
	if fields&hasShard != 0 {
		r.Shard = holdfast.ShardID(rd.u32())
	}
	if fields&hasVersion != 0 {
		r.Version = rd.u32()
	}
	if fields&hasPlace != 0 {
		r.Place = holdfast.PlaceNumber(rd.u32())
	}
	if fields&hasPosition != 0 {
		r.Position = holdfast.Position(rd.u32())
	}
	if fields&hasServed != 0 {
		r.Served = holdfast.Position(rd.u32())
	}
	if fields&hasSession != 0 {
		r.Session = holdfast.Clock(rd.u64())
	}
	if fields&hasOrderState != 0 {
		r.OrderState = holdfast.OrderState(rd.u8())
	}
	if fields&hasEffect != 0 {
		r.Effect = holdfast.EffectID(rd.u64())
	}
	if rd.err == nil && (r.Outcome == 0 || r.fields() != fields) {
		rd.fail("result", "outcome %d with fields %#x, of which %#x say something", r.Outcome, fields, r.fields())
	}
	return rest, rd.done()
}

func appendSeats(b []byte, seats []holdfast.SeatIndex) []byte {
	b = append(b, byte(len(seats)))
	for _, s := range seats {
		b = binary.LittleEndian.AppendUint32(b, uint32(s))
	}
	return b
}

func (r *reader) seatList(to []holdfast.SeatIndex) []holdfast.SeatIndex {
	n := int(r.u8())
	if n > ResultSeatsMax {
		r.fail("result", "%d seats", n)
		return to
	}
	return r.seats(to, n)
}

// Output takes what a machine answers to one entry. Its slices are used again from entry to entry.
type Output struct {
	// Answer asks for results. Replicas that answer nobody leave it false and save the work.
	Answer  bool
	Results []byte   // packed, in the order of the commands
	Ends    []uint32 // Ends[i] is where the result in slot i ends in Results
}

// Reset empties the output for the next entry.
func (o *Output) Reset() { o.Results, o.Ends = o.Results[:0], o.Ends[:0] }

// Add appends a result.
func (o *Output) Add(r *Result) {
	o.Results = r.Append(o.Results)
	o.Ends = append(o.Ends, uint32(len(o.Results)))
}
