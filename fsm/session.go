package fsm

import (
	"bytes"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// Who turns up when called has a session, which Hold asks for. What is known of the visitor stands in the record of
// the buyer that the key is. A place has a record once its visitor turned up, left, or waits for seats that come back.
//
// A session runs down while its visitor holds nothing: it ends when it was idle for too long, or after its longest
// time. While there is a hold, that hold's own clock runs. A hold that is sold ends the session, one that lapses too.

// Who misses a turn is put a little behind those called last, deferralsMax times, and then behind everybody. "A
// little" differs from one to the next, so that a crowd that comes late is not called all at once.
const (
	deferralsMax   = 2
	deferredBehind = 10
	deferredSpread = 64
)

// placeOf gives the state of the place that a buyer's record has; false if it has none. Slot 0 is no record.
func (m *Machine) placeOf(slot uint32) (holdfast.PlaceState, bool) {
	if slot == 0 {
		return 0, false
	}
	return m.state.buyers.at(slot).place()
}

func (b *buyerRecord) place() (holdfast.PlaceState, bool) {
	if b.State == noPlace {
		return 0, false
	}
	return holdfast.PlaceState(b.State - 1), true
}

// noPlace is the State of a buyer who has no place in a line.
const noPlace = 0

// setPlace brings a place into another state, and keeps the counters.
func (m *Machine) setPlace(e *event, slot uint32, to holdfast.PlaceState) {
	b := m.state.buyers.edit(slot)
	if from, ok := b.place(); ok {
		e.line.counts[from]--
	}
	b.State = uint8(to) + 1
	e.line.counts[to]++
	m.touch(e)
}

// proves reports whether a proof is that of a place in the event's line.
func (e *event) proves(p *command.Proof) bool {
	if e.line == nil || uint32(p.Number) >= e.line.issued {
		return false
	}
	headers := &e.line.headers
	low, high := uint32(0), uint32(headers.len())
	for high-low > 1 { // the last header that does not begin after the number
		if mid := (low + high) / 2; headers.at(mid).Base > p.Number {
			high = mid
		} else {
			low = mid
		}
	}
	h := headers.at(low)
	return draw.Includes(h.Root, h.Count, uint32(p.Number-h.Base), draw.Leaf(e.id, p.Key), p.Path)
}

// position gives where a place stands that never had a record.
func (l *line) position(number holdfast.PlaceNumber, key holdfast.PlaceKey) holdfast.Position {
	return draw.Position(l.seed, l.cohort, number, key)
}

// redeem opens the session of a place whose turn it is, or says why not. Who comes too late gets another turn.
func (m *Machine) redeem(c *command.Redeem) holdfast.Outcome {
	e := m.event(c.Event)
	if o := drawnLine(e); o != holdfast.OK {
		return o
	}
	l, rules, proven := e.line, e.lineRules(), e.proves(&c.Proof)
	slot := m.findBuyer(e, c.Key.Buyer())
	state, known := m.placeOf(slot)
	if proven && known && state == holdfast.PlaceAdmitted {
		return holdfast.OK
	}
	switch {
	case l.state == holdfast.LineOver:
		return holdfast.LineEnded
	case !proven:
		return holdfast.PlaceUnproven
	case known && spent(state):
		return holdfast.PlaceSpent
	}
	position := l.position(c.Number, c.Key)
	if known {
		position = m.state.buyers.at(slot).Position
	}
	ceiling, _ := l.limits(&rules)
	switch turn, _ := l.turnOf(position, m.state.clock, rules.CallMs); {
	case turn == holdfast.PlaceWaiting:
		return holdfast.TurnAwaited
	case turn == holdfast.PlaceMissed && state != holdfast.PlaceOffered:
		m.deferVisitor(e, m.visitor(e, &c.Proof))
		return holdfast.TurnMissed
	case l.paused:
		return holdfast.LinePaused
	case l.counts[holdfast.PlaceAdmitted] >= ceiling:
		return holdfast.SessionsFull
	}

	m.openSession(e, m.visitor(e, &c.Proof), position)
	return holdfast.OK
}

// drawnLine refuses what needs the order of a line that has none.
func drawnLine(e *event) holdfast.Outcome {
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case e.line == nil || e.line.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case !e.line.drawn && e.line.state == holdfast.LineOver:
		return holdfast.LineEnded
	case !e.line.drawn:
		return holdfast.LineNotDrawn
	}
	return holdfast.OK
}

// spent reports whether a place in this state has had all that it can have.
func spent(s holdfast.PlaceState) bool {
	return s == holdfast.PlaceFinished || s == holdfast.PlaceLeft
}

// visitor gives the record of a place, which is made if there is none.
func (m *Machine) visitor(e *event, p *command.Proof) (slot uint32) {
	slot = m.findBuyer(e, p.Key.Buyer())
	if slot == 0 {
		slot = m.addBuyer(e, p.Key.Buyer())
	}
	if _, known := m.placeOf(slot); !known {
		b := m.state.buyers.edit(slot)
		b.Number = p.Number
		if e.line.drawn {
			b.Position = e.line.position(p.Number, p.Key)
		}
		m.setPlace(e, slot, holdfast.PlaceWaiting)
	}
	return slot
}

func (m *Machine) openSession(e *event, slot uint32, position holdfast.Position) {
	rules := e.lineRules()
	e.line.pace.came(position, m.state.clock)
	m.setPlace(e, slot, holdfast.PlaceAdmitted)
	b := m.state.buyers.edit(slot)
	b.SessionEnds = m.state.clock + micros(rules.SessionMs)
	b.IdleEnds = m.state.clock + micros(rules.IdleMs)
	if b.Newest == 0 {
		m.look(e, slot)
	}
}

// look makes a session run down: its visitor holds nothing.
func (m *Machine) look(e *event, slot uint32) {
	m.sessions.add(slot, m.state.buyers.at(slot).sessionDue())
	e.line.looking++
}

// sessionDue is when a session ends unless something is done.
func (b *buyerRecord) sessionDue() holdfast.Clock { return min(b.SessionEnds, b.IdleEnds) }

// gate lets a buyer hold who has a session, and takes it for a sign of life.
func (m *Machine) gate(e *event, slot uint32) holdfast.Outcome {
	if state, ok := m.placeOf(slot); !ok || state != holdfast.PlaceAdmitted {
		return holdfast.SessionRequired
	}
	b := m.state.buyers.edit(slot)
	b.IdleEnds = max(b.IdleEnds, m.state.clock+micros(e.lineRules().IdleMs)) // never sooner: the rules may have changed
	return holdfast.OK
}

// closeSession ends a session. What comes next is for the caller to say.
func (m *Machine) closeSession(e *event, slot uint32) {
	if m.sessions.waits(slot) {
		m.sessions.drop(slot)
		e.line.looking--
	}
	begun := m.state.buyers.at(slot).SessionEnds - min(micros(e.lineRules().SessionMs), m.state.buyers.at(slot).SessionEnds)
	e.line.pace.sessionEnded(uint32(min((m.state.clock-min(begun, m.state.clock))/1000, command.TimeMsMax)))
	b := m.state.buyers.edit(slot)
	b.SessionEnds, b.IdleEnds = 0, 0
}

// putBehind puts a visitor behind all who are in the line now.
func (m *Machine) putBehind(e *event, slot uint32) {
	l := e.line
	m.state.buyers.edit(slot).Position = max(l.tail, l.served)
	l.tail = max(l.tail, l.served) + 1
}

// deferVisitor gives somebody who missed a turn another one.
func (m *Machine) deferVisitor(e *event, slot uint32) {
	l, b := e.line, m.state.buyers.edit(slot)
	at := l.served + deferredBehind + holdfast.Position(l.deferred%deferredSpread)
	l.deferred++
	if b.Deferrals < deferralsMax && at < l.tail {
		b.Position = at
	} else {
		m.putBehind(e, slot)
	}
	m.state.buyers.edit(slot).Deferrals = min(b.Deferrals+1, deferralsMax+1)
	m.setPlace(e, slot, holdfast.PlaceDeferred)
}

// holdMade stops a session from running down.
func (m *Machine) holdMade(h *holdRecord) {
	if m.sessions.waits(h.Buyer) {
		m.sessions.drop(h.Buyer)
		l := m.state.events[h.Event].line
		l.looking--
		l.pace.totals.Held++
		l.pace.totals.Units += uint64(h.Count)
	}
}

// holdEnded says what the end of a hold means to its buyer's place. One that lapsed ends the session; after a release
// there may be another. An offer that was not taken is over either way.
func (m *Machine) holdEnded(h *holdRecord, how holdfast.Outcome) {
	e, b := m.state.events[h.Event], m.state.buyers.at(h.Buyer)
	e.line.pace.pays.add(0, 1)
	switch state, _ := b.place(); {
	case state == holdfast.PlaceOffered && isOffer(h.ID):
		m.putBehind(e, h.Buyer)
		m.setPlace(e, h.Buyer, holdfast.PlaceLapsed)
	case state != holdfast.PlaceAdmitted:
	case how == holdfast.HoldLapsed || b.Newest == 0 && b.SessionEnds <= m.state.clock:
		m.lapseSession(e, h.Buyer)
	case b.Newest == 0:
		m.state.buyers.edit(h.Buyer).IdleEnds = m.state.clock + micros(e.lineRules().IdleMs)
		m.look(e, h.Buyer)
	}
}

// lapseSession ends a session that came to nothing.
func (m *Machine) lapseSession(e *event, slot uint32) {
	m.closeSession(e, slot)
	m.putBehind(e, slot)
	m.setPlace(e, slot, holdfast.PlaceLapsed)
}

// bought ends what a place had to wait for.
func (m *Machine) bought(h *holdRecord) {
	e := m.state.events[h.Event]
	e.line.pace.totals.Sold++
	e.line.pace.pays.add(1, 1)
	e.line.pace.units.add(uint32(h.Count), 1)
	if state, _ := m.placeOf(h.Buyer); state == holdfast.PlaceAdmitted {
		m.closeSession(e, h.Buyer)
	}
	m.dropReturn(e, h.Buyer)
	m.setPlace(e, h.Buyer, holdfast.PlaceFinished)
}

// expireSessions ends the sessions that have run down, in order of instant and then of buyer. The wheel may know of an
// earlier instant than the record, which says when. While the line or the sale is stopped nobody's time runs down.
func (m *Machine) expireSessions() {
	m.lapsed = m.sessions.due(m.state.clock, m.lapsed[:0], func(slot uint32) holdfast.HoldID { return holdfast.HoldID(m.state.buyers.at(slot).ID) })
	ends := m.lapsed[:0]
	for _, slot := range m.lapsed {
		b := m.state.buyers.at(slot)
		e := m.state.events[b.Event]
		if e.line.stoppedAt != 0 && b.sessionDue() <= m.state.clock {
			later := m.state.clock + max(micros(e.lineRules().IdleMs), 1)
			b := m.state.buyers.edit(slot)
			b.IdleEnds, b.SessionEnds = max(b.IdleEnds, later), max(b.SessionEnds, later)
		}
		if b = m.state.buyers.at(slot); b.sessionDue() > m.state.clock {
			m.sessions.drop(slot)
			m.sessions.add(slot, b.sessionDue())
			continue
		}
		ends = append(ends, slot)
	}
	slices.SortFunc(ends, func(x, y uint32) int {
		a, b := m.state.buyers.at(x), m.state.buyers.at(y)
		switch {
		case a.sessionDue() < b.sessionDue():
			return -1
		case a.sessionDue() > b.sessionDue():
			return 1
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	for _, slot := range ends {
		m.lapseSession(m.state.events[m.state.buyers.at(slot).Event], slot)
	}
}

// tellRedeem tells where the place stands, how far the line has come, and until when the session or the turn lasts.
func (m *Machine) tellRedeem(c *command.Redeem, o holdfast.Outcome) {
	switch o {
	case holdfast.EventUnknown, holdfast.LineNotOpen, holdfast.PlaceUnproven:
		return
	}
	m.tellPlace(m.event(c.Event), &c.Proof)
}

func (m *Machine) tellPlace(e *event, p *command.Proof) {
	if e == nil || !e.proves(p) {
		return
	}
	v, _ := m.Place(e.id, p.Number, p.Key, p.Path)
	r := &m.last.result
	r.Place, r.Position, r.Served, r.Session = v.Number, v.Position, v.Served, v.Until
}

// stateNow gives the state of a place with a record, as somebody who asks is to be told it, and when that ends.
func (m *Machine) stateNow(e *event, b *buyerRecord, state holdfast.PlaceState) (holdfast.PlaceState, holdfast.Clock) {
	switch state {
	case holdfast.PlaceAdmitted:
		if b.Newest != 0 {
			return state, m.state.holds.at(b.Newest).Deadline
		}
		return state, b.sessionDue()
	case holdfast.PlaceOffered:
		if b.Newest != 0 {
			return state, m.state.holds.at(b.Newest).Deadline
		}
	case holdfast.PlaceWaiting, holdfast.PlaceDeferred, holdfast.PlaceLapsed:
		if !e.line.drawn {
			return state, 0
		}
		if turn, until := e.line.turnOf(b.Position, m.state.clock, e.lineRules().CallMs); turn != holdfast.PlaceWaiting {
			return turn, until
		}
	}
	return state, 0
}

// leaveLine gives a place up. Before the draw too: a place that somebody left is not called.
func (m *Machine) leaveLine(c *command.LeaveLine) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.line == nil || e.line.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case !e.proves(&c.Proof):
		return holdfast.PlaceUnproven
	}
	slot := m.findBuyer(e, c.Key.Buyer())
	state, known := m.placeOf(slot)
	switch {
	case known && state == holdfast.PlaceLeft:
		return holdfast.OK
	case known && state == holdfast.PlaceFinished:
		return holdfast.PlaceSpent
	case slot != 0 && m.state.buyers.at(slot).Newest != 0:
		return holdfast.BuyerHasHold
	}

	slot = m.visitor(e, &c.Proof)
	if state == holdfast.PlaceAdmitted {
		m.closeSession(e, slot)
	}
	m.dropReturn(e, slot)
	m.setPlace(e, slot, holdfast.PlaceLeft)
	return holdfast.OK
}

func (m *Machine) tellLeaveLine(c *command.LeaveLine, o holdfast.Outcome) {
	switch o {
	case holdfast.EventUnknown, holdfast.LineNotOpen, holdfast.PlaceUnproven:
		return
	case holdfast.BuyerHasHold:
		m.tellBuyer(m.event(c.Event), c.Key.Buyer(), o)
	}
	m.tellPlace(m.event(c.Event), &c.Proof)
}
