package holdfast

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ShardID names a shard: one Raft group that owns a set of events. Shard 0 is the directory.
type ShardID uint32

// Directory is the shard that assigns events to the other shards.
const Directory ShardID = 0

// EventID is the number that the directory gave to an event. It is printed as evt_7.
type EventID uint32

// SeatIndex is the dense index of one sellable unit in its event: a numbered seat, or one of the units of a
// general-admission section. Units of one row are consecutive.
type SeatIndex uint32

// SectionIndex is the position of a section in its event's description, from 0.
type SectionIndex uint16

// TierIndex is the position of a price tier in its event's description, from 0.
type TierIndex uint8

// AllocationIndex is the position of an allocation in its event's description. 0 is Public.
type AllocationIndex uint8

// Public is the allocation of every seat that no other allocation names.
const Public AllocationIndex = 0

// Any* say that a want does not name a section or a tier.
const (
	AnySection SectionIndex = 0xFFFF
	AnyTier    TierIndex    = 0xFF
)

// Clock is an instant on a shard's hold clock, in microseconds. The hold clock passes only while the shard has
// a leader; instants of different shards cannot be compared.
type Clock uint64

// Add gives the instant d later. d is rounded down to microseconds.
func (c Clock) Add(d time.Duration) Clock { return c + Clock(d/time.Microsecond) }

// Until gives the time that passes on the hold clock from c to later; 0 when later is not after c.
func (c Clock) Until(later Clock) time.Duration {
	if later <= c {
		return 0
	}
	return time.Duration(later-c) * time.Microsecond
}

// Revision counts the changes of one event. Every change record carries the revision that it led to.
type Revision uint64

// Attempt numbers the attempts to pay for one hold, from 1.
type Attempt uint32

// Currency is an ISO 4217 code in lower case, as "eur".
type Currency string

// Money is an amount in the minor unit of its currency (cents for eur, yen for jpy).
type Money struct {
	AmountMinor int64    `json:"amount_minor"`
	Currency    Currency `json:"currency"`
}

func (m Money) String() string {
	return fmt.Sprintf("%d %s (minor units)", m.AmountMinor, m.Currency)
}

// CommandID identifies a command for idempotency. The client makes it before it sends the command: six bytes of
// the instant on the shard's hold clock, in milliseconds, until which the command is valid, then ten random
// bytes. Because the validity is part of the id, an id can never be executed again after its validity, and what
// was remembered about it can be forgotten without a second look.
type CommandID [16]byte

// NewCommandID makes the id of a command that is valid until the given instant, which is rounded down to
// milliseconds, from ten random bytes.
func NewCommandID(validUntil Clock, random [10]byte) CommandID {
	var id CommandID
	ms := uint64(validUntil / 1000)
	id[0], id[1], id[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	id[3], id[4], id[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	copy(id[6:], random[:])
	return id
}

// ValidUntil is the last instant at which the command may be executed.
func (id CommandID) ValidUntil() Clock {
	ms := uint64(id[0])<<40 | uint64(id[1])<<32 | uint64(id[2])<<24 | uint64(id[3])<<16 | uint64(id[4])<<8 | uint64(id[5])
	return Clock(ms * 1000)
}

func (id CommandID) String() string { return "cmd_" + hex.EncodeToString(id[:]) }

// HoldID identifies a hold. It is the id of the Hold command that made it, so it is unique for good: the command
// cannot be executed twice within its validity, nor at all after it. It is printed as hold_ and 32 hex digits.
type HoldID [16]byte

func (id HoldID) String() string { return "hold_" + hex.EncodeToString(id[:]) }

// IsZero reports whether id names no hold.
func (id HoldID) IsZero() bool { return id == HoldID{} }

// Order is the id of the order that a sold hold becomes.
func (id HoldID) Order() OrderID { return OrderID(id) }

// OrderID identifies an order. A hold becomes at most one order, which keeps its id under another prefix:
// ord_ and 32 hex digits.
type OrderID [16]byte

func (id OrderID) String() string { return "ord_" + hex.EncodeToString(id[:]) }

// Hold is the id of the hold that became this order.
func (id OrderID) Hold() HoldID { return HoldID(id) }

// BuyerID identifies a buyer within an event: a keyed hash of whatever identity the event asks for. It is what
// limits count on. It is printed as buyer_ and 32 hex digits.
type BuyerID [16]byte

func (id BuyerID) String() string { return "buyer_" + hex.EncodeToString(id[:]) }

func (id EventID) String() string { return "evt_" + strconv.FormatUint(uint64(id), 10) }
func (id ShardID) String() string { return strconv.FormatUint(uint64(id), 10) }

// ParseEventID reads what EventID.String prints.
func ParseEventID(s string) (EventID, error) {
	digits, ok := strings.CutPrefix(s, "evt_")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || EventID(n).String() != s {
		return 0, &Error{Kind: Invalid, Op: "parse event id", Message: fmt.Sprintf("%q is not an event id like evt_7", s)}
	}
	return EventID(n), nil
}

// ParseHoldID reads what HoldID.String prints.
func ParseHoldID(s string) (HoldID, error) { return parse16[HoldID]("hold_", "hold", s) }

// ParseOrderID reads what OrderID.String prints.
func ParseOrderID(s string) (OrderID, error) { return parse16[OrderID]("ord_", "order", s) }

// ParseBuyerID reads what BuyerID.String prints.
func ParseBuyerID(s string) (BuyerID, error) { return parse16[BuyerID]("buyer_", "buyer", s) }

// ParseCommandID reads what CommandID.String prints.
func ParseCommandID(s string) (CommandID, error) { return parse16[CommandID]("cmd_", "command", s) }

// parse16 reads exactly what T prints: one id has one spelling.
func parse16[T interface {
	~[16]byte
	fmt.Stringer
}](prefix, noun, s string) (T, error) {
	var id T
	digits := strings.TrimPrefix(s, prefix)
	if len(digits) == hex.EncodedLen(len(id)) {
		raw, _ := hex.DecodeString(digits)
		copy(id[:], raw)
	}
	if id.String() != s {
		return T{}, &Error{Kind: Invalid, Op: "parse " + noun + " id",
			Message: fmt.Sprintf("%q is not a %s id like %s and %d hex digits", s, noun, prefix, hex.EncodedLen(len(id)))}
	}
	return id, nil
}

// SeatState is where one unit is: in exactly one of these at every index of the log.
type SeatState uint8

// The states of a unit. The numbers are in snapshots and on the wire.
const (
	Free    SeatState = 0
	Held    SeatState = 1
	Paying  SeatState = 2 // its hold is in payment
	Sold    SeatState = 3
	Blocked SeatState = 4 // taken off sale by the organizer
)

// SeatStates is how many states there are.
const SeatStates = 5

var seatStateNames = [SeatStates]string{"free", "held", "paying", "sold", "blocked"}

func (s SeatState) String() string {
	if int(s) < len(seatStateNames) {
		return seatStateNames[s]
	}
	return "seat_state_" + strconv.Itoa(int(s))
}

// HoldState is where a hold is in its life. See docs/invariants.md for the drawing.
type HoldState uint8

// The states of a hold. A hold that was released, or lapsed, is gone: it has no state.
const (
	HoldOpen    HoldState = 1 // its seats are held until the deadline
	HoldPaying  HoldState = 2 // an attempt to pay is under way, until the pay deadline
	HoldClosing HoldState = 3 // the pay deadline is past; the stated grace is running
	HoldSold    HoldState = 4 // it is an order
	// HoldCancelling is past the grace with a payment that takes its money at once: its seats stay until the
	// provider's answer to the cancelling is known.
	HoldCancelling HoldState = 5
)

var holdStateNames = map[HoldState]string{HoldOpen: "held", HoldPaying: "paying", HoldClosing: "closing", HoldSold: "sold",
	HoldCancelling: "cancelling"}

func (s HoldState) String() string {
	if name, ok := holdStateNames[s]; ok {
		return name
	}
	return "hold_state_" + strconv.Itoa(int(s))
}

// SaleState says whether an event sells.
type SaleState uint8

// The states of an event's sale.
const (
	SaleDraft  SaleState = 0 // described, not yet on sale
	SaleOpen   SaleState = 1
	SalePaused SaleState = 2 // no new holds; holds that exist go on to be paid
	SaleClosed SaleState = 3 // for good
)

var saleStateNames = [...]string{"draft", "open", "paused", "closed"}

func (s SaleState) String() string {
	if int(s) < len(saleStateNames) {
		return saleStateNames[s]
	}
	return "sale_state_" + strconv.Itoa(int(s))
}

// Stamp says at which point of a shard's history an answer was true. Slot is the command's place in its log
// entry; (Index, Slot) orders all commands of a shard.
type Stamp struct {
	Shard ShardID
	Term  uint64
	Index uint64
	Slot  uint32
	Clock Clock
}
