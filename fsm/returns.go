package fsm

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Units that come free while somebody is on the list for them are not free for whoever asks first: in the same instant
// the machine holds them for the first of the list whom they suit. Such an offer is a hold like any other, with a time
// of its own; when it lapses or is released it is the next one's turn. The list is in the order of the line, so that
// nobody gains by being quick; it can be joined only while nothing that fits is free.

// returnRecord is a place on the list of an event.
type returnRecord struct {
	Buyer    uint32 // slot in buyers
	Position holdfast.Position
	Arrival  uint32 // on the list: those of one position are in this order
	Event    uint16 // place in events
	Section  holdfast.SectionIndex
	Tier     holdfast.TierIndex
	Count    uint8
	_        [2]uint8
}

// want is what an entry waits for: units side by side, or places of a general-admission section.
func (r *returnRecord) want(e *event) command.Want {
	if int(r.Section) < len(e.spec.Sections) && e.spec.Sections[r.Section].General() {
		return command.Want{Kind: command.WantGeneral, Section: r.Section, Count: r.Count}
	}
	return command.Want{Kind: command.WantBest, Section: r.Section, Tier: r.Tier, Count: r.Count, Adjacent: true}
}

// joinReturns puts a place on the list.
func (m *Machine) joinReturns(c *command.JoinReturns) holdfast.Outcome {
	e := m.event(c.Event)
	if e != nil && e.sale != holdfast.SaleOpen {
		return notOpen(e.sale)
	}
	if o := drawnLine(e); o != holdfast.OK {
		return o
	}
	if !e.proves(&c.Proof) {
		return holdfast.PlaceUnproven
	}
	slot := m.findBuyer(e, c.Key.Buyer())
	if state, known := m.placeOf(slot); known && spent(state) {
		return holdfast.PlaceSpent
	}
	entry := returnRecord{Event: e.place, Section: c.Section, Tier: c.Tier, Count: c.Count}
	wants := []command.Want{entry.want(e)}
	if !e.has(holdfast.Public, wants) {
		return holdfast.WantInvalid
	}
	if c.Count > e.rules.SeatsPerHold {
		return holdfast.HoldTooLarge
	}
	var b buyerRecord
	if slot != 0 {
		b = *m.state.buyers.at(slot)
	}
	switch {
	case b.Newest != 0 && !e.rules.ManyOpenHolds:
		return holdfast.BuyerHasHold
	case uint32(c.Count) > e.left(b.Units):
		return holdfast.BuyerOverLimit
	case m.choice.choose(&e.units, &ask{wants: wants, noOrphans: e.rules.NoOrphans}) == holdfast.OK:
		return holdfast.ReturnsNotYet
	case b.Returns == 0 && len(e.line.returns) == holdfast.ReturnsMax:
		return holdfast.ReturnsFull
	}

	slot = m.visitor(e, &c.Proof)
	if b.Returns != 0 {
		r := m.state.returns.edit(b.Returns)
		r.Section, r.Tier, r.Count = c.Section, c.Tier, c.Count
		return holdfast.OK
	}
	entry.Buyer, entry.Position, entry.Arrival = slot, m.state.buyers.at(slot).Position, e.line.arrivals
	e.line.arrivals++
	at := m.state.returns.add(entry)
	m.state.buyers.edit(slot).Returns = at
	e.line.insertReturn(m, at)
	m.touch(e)
	return holdfast.OK
}

func (m *Machine) tellJoinReturns(c *command.JoinReturns, o holdfast.Outcome) {
	switch o {
	case holdfast.EventUnknown, holdfast.LineNotOpen, holdfast.PlaceUnproven:
		return
	}
	if e := m.event(c.Event); e.proves(&c.Proof) {
		m.tellBuyer(e, c.Key.Buyer(), o)
		m.tellPlace(e, &c.Proof)
	}
}

// leaveReturns takes a buyer off the list.
func (m *Machine) leaveReturns(c *command.LeaveReturns) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.line == nil:
		return holdfast.LineNotOpen
	}

	if slot := m.findBuyer(e, c.Buyer); slot != 0 {
		m.dropReturn(e, slot)
	}
	return holdfast.OK
}

func (m *Machine) tellLeaveReturns(*command.LeaveReturns, holdfast.Outcome) {}

// dropReturn takes the buyer in a slot off the list, if it is there.
func (m *Machine) dropReturn(e *event, buyer uint32) {
	slot := m.state.buyers.at(buyer).Returns
	if slot == 0 {
		return
	}
	at, _ := e.line.findReturn(m, slot)
	e.line.returns = slices.Delete(e.line.returns, at, at+1)
	m.state.buyers.edit(buyer).Returns = 0
	m.state.returns.drop(slot)
	m.touch(e)
}

// findReturn gives where an entry stands in the list.
func (l *line) findReturn(m *Machine, slot uint32) (int, bool) {
	return slices.BinarySearchFunc(l.returns, slot, m.byRank)
}

// byRank orders entries of one event's list.
func (m *Machine) byRank(x, y uint32) int {
	a, b := m.state.returns.at(x), m.state.returns.at(y)
	return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Arrival, b.Arrival))
}

// insertReturn puts an entry where it belongs.
func (l *line) insertReturn(m *Machine, slot uint32) {
	at, _ := l.findReturn(m, slot)
	l.returns = slices.Insert(l.returns, at, slot)
}

// rankOf gives how many stand before an entry; 0 for no entry.
func (l *line) rankOf(m *Machine, slot uint32) uint32 {
	if slot == 0 {
		return 0
	}
	at, _ := l.findReturn(m, slot)
	return uint32(at)
}

// noteReturn remembers that units of an event came free for which somebody waits.
func (m *Machine) noteReturn(e *event) {
	if e.line == nil || len(e.line.returns) == 0 || e.line.returned {
		return
	}
	e.line.returned = true
	m.returned = append(m.returned, e)
}

// offerReturns offers what came free, before anybody else can take it.
func (m *Machine) offerReturns() {
	for _, e := range m.returned {
		e.line.returned = false
		m.offer(e)
	}
	m.returned = m.returned[:0]
}

// wantsTriedMax bounds the different wants that are tried in one go, and found not to fit; what is offered then must
// wait until units come free again.
const wantsTriedMax = 64

// triedWant is a want that nothing fits, and so nothing that is larger.
type triedWant struct {
	section holdfast.SectionIndex
	tier    holdfast.TierIndex
	count   uint8
}

// offer goes down the list once and holds units for everyone whom some fit. While nobody can hold or pay it waits.
func (m *Machine) offer(e *event) {
	if e.sale != holdfast.SaleOpen || m.state.suspended {
		return
	}
	m.tried = m.tried[:0]
	for i := 0; i < len(e.line.returns) && len(m.tried) < wantsTriedMax && e.units.byAllocation()[holdfast.Public][holdfast.Free] > 0; {
		slot := e.line.returns[i]
		r := *m.state.returns.at(slot)
		b := m.state.buyers.at(r.Buyer)
		hopeless := slices.ContainsFunc(m.tried, func(t triedWant) bool {
			return t.section == r.Section && t.tier == r.Tier && t.count <= r.Count
		})
		if hopeless || b.Newest != 0 && !e.rules.ManyOpenHolds || uint32(r.Count) > e.left(b.Units) {
			i++
			continue
		}
		if m.choice.choose(&e.units, &ask{wants: []command.Want{r.want(e)}, noOrphans: e.rules.NoOrphans}) != holdfast.OK {
			m.tried = append(m.tried, triedWant{r.Section, r.Tier, r.Count})
			i++
			continue
		}
		m.dropReturn(e, r.Buyer)
		m.makeOffer(e, r.Buyer)
	}
}

// makeOffer holds the units that were chosen for a buyer.
func (m *Machine) makeOffer(e *event, buyer uint32) {
	count := uint32(len(m.choice.units))
	e.line.offers++
	slot := m.addHold(holdRecord{
		ID: offerID(e.id, e.line.offers), Deadline: m.state.clock + micros(e.lineRules().OfferMs), Amount: e.total(e.current, m.choice.units),
		Buyer: buyer, Event: e.place, Prices: e.current, Count: uint8(count), State: holdfast.HoldOpen,
	})
	m.give(e, slot, m.choice.units)
	m.state.buyers.edit(buyer).Units += count
	if state, _ := m.placeOf(buyer); state != holdfast.PlaceAdmitted {
		m.setPlace(e, buyer, holdfast.PlaceOffered)
	}
	m.touch(e)
}

// offerID gives the id of an offer's hold. It begins with a validity that no command can have, so it is no command's.
func offerID(event holdfast.EventID, number uint64) (id holdfast.HoldID) {
	copy(id[:6], offerPrefix[:])
	binary.BigEndian.PutUint64(id[8:], number)
	id[6], id[7], id[8], id[9] = byte(event>>24), byte(event>>16), byte(event>>8), byte(event)
	return id
}

// isOffer reports whether a hold is an offer.
func isOffer(id holdfast.HoldID) bool { return [6]byte(id[:6]) == offerPrefix }

var offerPrefix = [6]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
