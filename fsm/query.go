package fsm

import (
	"cmp"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What can be asked of a machine. Answers are as of the last entry applied; what they point to is theirs, so they
// may be kept, except for an EventView's Spec and Grown, which are shared and only to be read.

// Stats are the machine's sizes.
type Stats struct {
	Events        int
	Holds         int // open, in payment or closing
	Orders        int
	Payments      int // records of attempts and strays
	Effects       int // owed, those that wait included
	Parked        int // effects that are not tried any more
	Remembered    int // outcomes
	RememberedMax int
}

// EventView is an event as of one index.
type EventView struct {
	ID          holdfast.EventID
	Sale        holdfast.SaleState
	Version     uint32 // of the description
	Revision    holdfast.Revision
	Spec        *command.EventSpec // to be read only
	Grown       []command.Growth   // with Spec, how the units are numbered: see command.NewLayout; to be read only
	Total       Counts
	Sections    []Counts // in the description's order
	Tiers       []Counts // in the description's order
	Allocations []Counts // Public first
	Holds       int      // that are not sold
	Orders      int
}

// HoldView is a hold, or the order that it became, as of one index.
type HoldView struct {
	ID       holdfast.HoldID
	Event    holdfast.EventID
	Buyer    holdfast.BuyerID
	State    holdfast.HoldState
	Seats    []holdfast.SeatIndex
	Amount   holdfast.Money
	Deadline holdfast.Clock   // 0 when it is sold
	Attempt  holdfast.Attempt // the current one; 0: none
	Extended bool
}

// OrderView is an order.
type OrderView struct {
	ID       holdfast.OrderID
	Event    holdfast.EventID
	Buyer    holdfast.BuyerID
	Seats    []holdfast.SeatIndex
	Amount   holdfast.Money
	As       command.SaleKind
	Payment  string
	Attempt  holdfast.Attempt
	SoldAtMs int64 // the shard's wall clock

	State    holdfast.OrderState
	Lines    []command.Line       // as they were sold; they add up to Amount
	Refunded []holdfast.SeatIndex // of Seats, those whose tickets were refunded
	Promo    holdfast.PromoCode
	Contact  holdfast.ContactID
	Deadline holdfast.Clock // of an unpaid order: until when it may be paid again
	Disputed bool           // the ticket is suspended: a dispute is open, or was lost
	Ledger   Ledger         // of the payment that it stands on; zero without one
}

// Valid reports whether the order's tickets let anybody in.
func (v *OrderView) Valid() bool { return v.State == holdfast.OrderPaid && !v.Disputed }

// Index is the log's index of the last entry applied.
func (m *Machine) Index() uint64 { return m.state.index }

// Clock is the hold clock.
func (m *Machine) Clock() holdfast.Clock { return m.state.clock }

// WallMs is the shard's wall clock, in Unix milliseconds. It never goes back.
func (m *Machine) WallMs() int64 { return m.state.wallMs }

// Changes are what the last Apply changed, in order. They are valid until the next.
func (m *Machine) Changes() []Change { return m.last.changes }

// Marked reports whether the last entry applied has a Mark: then every replica is to take its state hash now.
func (m *Machine) Marked() bool { return m.last.marked }

// Timed reports whether something waits for the hold clock: a hold, an effect, a remembered outcome, or an event on sale,
// whose buyers may be cooling down. While it does, the leader must write an entry now and then.
func (m *Machine) Timed() bool {
	return m.due.len() > 0 || m.sessions.len() > 0 || m.waiting.len() > 0 || m.state.memory.len() > 0 ||
		slices.ContainsFunc(m.state.events, func(e *event) bool { return e.sale == holdfast.SaleOpen })
}

// Stats gives the machine's sizes.
func (m *Machine) Stats() Stats {
	return Stats{
		Events: len(m.state.events), Holds: m.liveHolds(), Orders: m.state.orders.live(),
		Payments: m.state.payments.live(), Effects: m.ready.len() + m.waiting.len(), Parked: m.parked,
		Remembered: m.state.memory.len(), RememberedMax: m.state.memory.max,
	}
}

func (m *Machine) liveHolds() int { return m.state.holds.live() - m.state.orders.live() }

// Events gives all events, by number.
func (m *Machine) Events() []EventView {
	views := make([]EventView, 0, len(m.state.events))
	for _, e := range m.state.events {
		views = append(views, e.view())
	}
	slices.SortFunc(views, func(a, b EventView) int { return cmp.Compare(a.ID, b.ID) })
	return views
}

// Event gives one event.
func (m *Machine) Event(id holdfast.EventID) (EventView, bool) {
	if e := m.event(id); e != nil {
		return e.view(), true
	}
	return EventView{}, false
}

// Hold gives a hold that exists, or that has become an order.
func (m *Machine) Hold(id holdfast.HoldID) (HoldView, bool) {
	slot := m.findHold(id)
	if slot == 0 {
		return HoldView{}, false
	}
	h := m.state.holds.at(slot)
	e := m.state.events[h.Event]
	return HoldView{
		ID: h.ID, Event: e.id, Buyer: m.state.buyers.at(h.Buyer).ID, State: h.State, Seats: e.unitsOf(h, nil),
		Amount: e.money(m.state.amountOf(h, m.currentPayment(h))), Deadline: h.Deadline, Attempt: h.Attempt, Extended: h.Extended,
	}, true
}

// Ended says how a hold ended that is gone: HoldLapsed or HoldReleased. Only the last ones are known.
func (m *Machine) Ended(id holdfast.HoldID) (holdfast.Outcome, bool) { return m.state.ended.look(id) }

// Order gives an order.
func (m *Machine) Order(id holdfast.OrderID) (OrderView, bool) {
	slot := m.findHold(id.Hold())
	if slot == 0 || m.state.holds.at(slot).State != holdfast.HoldSold {
		return OrderView{}, false
	}
	return m.state.order(m.state.holds.at(slot).Order), true
}

// order gives the order in a slot.
func (s *state) order(slot uint32) OrderView {
	o := s.orders.at(slot)
	h := s.holds.at(o.Hold)
	e, b := s.events[h.Event], s.billOf(o)
	v := OrderView{
		ID: h.ID.Order(), Event: e.id, Buyer: s.buyers.at(h.Buyer).ID, Seats: e.unitsOf(h, nil),
		Amount: e.money(b.Quote.TotalMinor), As: o.As, Payment: string(o.ref()), Attempt: h.Attempt, SoldAtMs: o.SoldAtMs,
		State: o.State, Lines: b.Quote.Lines(), Promo: b.Promo, Contact: b.Contact, Deadline: h.Deadline,
	}
	for place, unit := range v.Seats {
		if b.Dead>>place&1 != 0 {
			v.Refunded = append(v.Refunded, unit)
		}
	}
	if o.Payment != 0 {
		p := s.payments.at(o.Payment)
		v.Disputed = p.Dispute == holdfast.DisputeOpened || p.Dispute == holdfast.DisputeLost
		v.Ledger = s.ledgerOf(p)
	}
	return v
}

func (e *event) view() EventView {
	return EventView{
		ID: e.id, Sale: e.sale, Version: e.version, Revision: e.revision, Spec: e.spec, Grown: e.units.geometry.grown,
		Total: e.units.total(), Sections: e.units.bySection(), Tiers: e.units.byTier(), Allocations: e.units.byAllocation(),
		Holds: int(e.holds), Orders: int(e.orders),
	}
}
