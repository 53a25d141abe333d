package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// state is all that a machine must keep and cannot work out from the rest: what a snapshot holds, what a cut
// freezes, what the state hash covers. Everything else in a Machine is derived from it, or scratch.
type state struct {
	index  uint64         // of the last entry applied; 0: none
	clock  holdfast.Clock // the hold clock: the sum of all steps
	wallMs int64          // the wall clock: the largest that an entry carried

	events []*event // in the order in which they were put; a record's Event is a place in this list
	holds  slab[holdRecord]
	orders slab[orderRecord]
	bills  slab[billRecord] // of those orders that have one of their own; in snapshots each is a part of its order
	buyers slab[buyerRecord]
	// returns are the lists of those who wait for units that come back.
	returns slab[returnRecord]
	sweep   uint32 // the slot of the buyer record that the sweep visits next

	// The payments of events with Checkout rules, and what the shard owes the world for them.
	incarnation  holdfast.Incarnation
	suspended    bool // nothing is held or paid until the books of a new incarnation are reconciled
	payments     slab[paymentRecord]
	effects      slab[effectRecord]
	promos       slab[promoRecord] // codes that are in use
	persons      slab[personRecord]
	chunks       slab[chunkRecord]
	effectLast   holdfast.EffectID
	sweepPayment uint32 // the slot that the sweep visits next
	sweepEffect  uint32

	memory memory // outcomes of commands that are still valid
	ended  ended  // how the last holds ended that did not become orders
}

// cut freezes the state for the holder of the lease. The time that it takes does not depend on how much there is,
// apart from 8 bytes for each quarter of a MiB and a small struct for each event.
func (s *state) cut(l *lease) state {
	c := *s
	c.events = make([]*event, len(s.events))
	for i, e := range s.events {
		frozen := *e
		frozen.units = e.units.cut(l)
		frozen.line = e.line.cut(l)
		c.events[i] = &frozen
	}
	c.holds, c.orders, c.bills, c.buyers = s.holds.cut(l), s.orders.cut(l), s.bills.cut(l), s.buyers.cut(l)
	c.returns = s.returns.cut(l)
	c.payments, c.effects, c.promos = s.payments.cut(l), s.effects.cut(l), s.promos.cut(l)
	c.persons, c.chunks = s.persons.cut(l), s.chunks.cut(l)
	c.memory, c.ended = s.memory.cut(l), s.ended.cut(l)
	return c
}

// The records are of fixed size and have no pointers, so that they live in pages that the garbage collector need
// not look into, and that a cut can share. A slot of 0 means none.

// holdRecord is a hold from the command that made it until its units go back; one that is sold stays for good, as
// the order's first half. 64 bytes: one cache line.
type holdRecord struct {
	ID       holdfast.HoldID
	Deadline holdfast.Clock // open: when it lapses; paying: when payment must be in; closing: when its grace ends; sold: 0, or until when it may be paid again; cancelling: 0
	Amount   int64          // what its units cost, in the event's currency

	Buyer   uint32             // slot in buyers
	First   holdfast.SeatIndex // its first unit, NoSeat of an order that has none left; the event's chain leads on, Count units in all
	Order   uint32             // slot in orders; 0 until it is sold
	Newer   uint32             // slots of the same buyer's holds that are not sold, made after and
	Older   uint32             // before this one: a chain that begins at buyerRecord.Newest
	Attempt holdfast.Attempt   // the current one; 0: none has begun

	Event    uint16 // place in events
	Prices   uint16 // place in the event's price lists
	Count    uint8  // units, 1 to UnitsPerHoldMax; 0 when an order's went back
	State    holdfast.HoldState
	Extended bool
	_        uint8
}

// orderRecord is what a sale adds to its hold. Orders are never dropped, so their slots tell the order of sale. 88 bytes:
// orders are what a sale that goes on for long is made of, so what few of them need is in their bills.
type orderRecord struct {
	SoldAtMs int64  // wall clock
	Hold     uint32 // slot in holds
	Bill     uint32 // slot in bills; 0: it costs what its units cost, see plainBill
	Payment  uint32 // slot in payments; 0: it stands on none
	As       command.SaleKind
	RefBytes uint8 // how much of Ref is used
	State    holdfast.OrderState
	Counted  bool // a use of the bill's Promo is counted for it; while it stands on a payment, that one counts it

	Ref [holdfast.PaymentRefBytesMax]byte
}

// billRecord is what an order costs and what of that is live, where it is not plain. Like orders they are never dropped.
type billRecord struct {
	Quote   command.Quote // frozen at its sale
	Live    int64         // what its lines are worth that were not refunded; of an unpaid order what is to be paid
	Fee     int64         // of Live: fees, with the tax on them
	Dead    uint64        // bit i: the i-th unit of its chain was refunded, and keeps its seat
	Promo   holdfast.PromoCode
	Contact holdfast.ContactID
}

// ref gives the payment's reference.
func (o *orderRecord) ref() []byte { return o.Ref[:o.RefBytes] }

// buyerRecord is what is known about one buyer of one event. It is dropped by the sweep when it means nothing any
// more: no units, no holds, no orders, no cool-down, and no place in a line that may still be asked for. 64 bytes: one cache line.
type buyerRecord struct {
	ID        holdfast.BuyerID
	CoolUntil holdfast.Clock // nothing new can be held before; 0 or past: no cool-down
	Units     uint32         // held, in payment and sold
	Newest    uint32         // slot of the hold made last of those that are not sold

	// What the line knows of the buyer: see session.go.
	SessionEnds holdfast.Clock       // whatever is done, unless a hold keeps it; 0: there is no session
	IdleEnds    holdfast.Clock       // unless something is done
	Number      holdfast.PlaceNumber // of the place
	Position    holdfast.Position    // where it stands now
	Returns     uint32               // slot in returns; 0: not on the list

	Event     uint16 // place in events
	State     uint8  // of the place: a holdfast.PlaceState and one, or noPlace
	Deferrals uint8  // turns missed
}

// event is one event of the shard. Spec and price lists are never written after they are made, only
// replaced: cuts share them.
type event struct {
	id       holdfast.EventID
	place    uint16 // of this event in state.events
	sale     holdfast.SaleState
	version  uint32 // of the description: counts the PutEvents that changed it
	revision holdfast.Revision
	spec     *command.EventSpec
	rules    command.Rules    // of spec, with the defaults filled in
	checkout command.Checkout // the same
	lined    bool             // of spec: Hold asks for a session
	line     *line            // nil until it is opened

	// prices are the price lists, each with a price for every tier. A hold keeps the list that it was made with,
	// an order too. current is the list for new holds.
	prices  [][]int64
	current uint16

	units inventory // where each unit is, its state, and the counters

	holds, orders uint32 // live holds and orders; derived
}

// priceListsMax bounds the price lists of an event; a price change beyond it is an EventConflict. Holds and orders
// keep their list, so lists are not dropped: this is room for a change an hour for five months, in 2 MiB.
const priceListsMax = 4096
