package fsm

import (
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// What is kept of lines: in snapshots, for as long as a place can be asked for.

// keepMs is how long after an event's sale was closed its places can be asked for.
const keepMs = 24 * 60 * 60 * 1000

// mayForget reports whether a buyer's place means nothing any more, and if so forgets it: the record goes.
func (m *Machine) mayForget(b *buyerRecord) bool {
	state, ok := b.place()
	if !ok {
		return true
	}
	e := m.state.events[b.Event]
	if state == holdfast.PlaceAdmitted || b.Returns != 0 || e.sale != holdfast.SaleClosed || m.state.wallMs-e.line.closedMs < keepMs {
		return false
	}
	e.line.counts[state]--
	e.line.forgotten++
	return true
}

// deriveLines works out from the records whatever no snapshot holds.
func (m *Machine) deriveLines() {
	m.sessions = wheel{passed: m.state.clock}
	for _, e := range m.state.events {
		if e.line != nil {
			e.line.counts, e.line.looking, e.line.returns = [holdfast.PlaceStates]uint32{}, 0, nil
		}
	}
	for slot, b := range m.state.buyers.all() {
		state, ok := b.place()
		if !ok {
			continue
		}
		e := m.state.events[b.Event]
		e.line.counts[state]++
		if state == holdfast.PlaceAdmitted && b.Newest == 0 {
			m.look(e, slot)
		}
	}
	for slot, r := range m.state.returns.all() {
		l := m.state.events[r.Event].line
		l.returns = append(l.returns, slot)
	}
	for _, e := range m.state.events {
		if e.line != nil {
			slices.SortFunc(e.line.returns, m.byRank)
		}
	}
	m.wakeNext()
}

func (s *state) writeLines(f *frameWriter) {
	for place, e := range s.events {
		if e.line != nil {
			f.begin(partLine)
			f.u16(uint16(place))
			e.line.write(f)
		}
	}
	writeSlab(f, partReturns, &s.returns, (*returnRecord).write)
}

func (l *line) write(f *frameWriter) {
	f.u8(uint8(l.state))
	f.flag(l.frozen)
	f.flag(l.drawn)
	f.flag(l.paused)
	f.raw(l.secret[:])
	for _, ms := range []int64{l.openedMs, l.frozenMs, l.drawnMs, l.closedMs} {
		f.u64(uint64(ms))
	}
	f.raw(l.chain[:])
	f.u32(l.cohort)
	f.u64(l.round.Round)
	f.raw(l.round.Previous[:])
	f.raw(l.round.Signature[:])
	f.flag(l.fallback)
	for _, v := range []uint32{uint32(l.served), uint32(l.tail), l.ceiling, l.rate, l.deferred, l.arrivals, l.forgotten} {
		f.u32(v)
	}
	f.u64(uint64(l.stoppedAt))
	f.u64(l.offers)
	f.record()
	l.pace.write(f)
	f.u32(uint32(l.headers.len()))
	for i := range uint32(l.headers.len()) {
		f.record()
		h := l.headers.at(i)
		f.u32(h.Count)
		f.raw(h.Root[:])
	}
}

func (p *pace) write(f *frameWriter) {
	f.u32(uint32(p.lost))
	f.u64(p.credit)
	f.u64(uint64(p.creditAt))
	f.u32(p.target)
	f.u16(p.busyPermille)
	f.u32(p.providerPerMinute)
	f.u8(uint8(p.bound))
	for _, v := range []uint32{uint32(p.show), uint32(p.units), uint32(p.pays), p.sessionMs} {
		f.u32(v)
	}
	t := &p.totals
	for _, v := range []uint64{t.Came, t.ComingMs, t.Held, t.Units, t.Sold} {
		f.u64(v)
	}
	f.u8(uint8(len(p.calls)))
	for _, c := range p.calls {
		f.record()
		f.u32(uint32(c.before))
		f.u64(uint64(c.at))
		f.u32(c.came)
	}
}

// A call count fits its byte.
const _ = uint8(callsMax)

func (r *returnRecord) write(f *frameWriter) {
	f.u32(r.Buyer)
	f.u32(uint32(r.Position))
	f.u32(r.Arrival)
	f.u16(r.Event)
	f.u16(uint16(r.Section))
	f.u8(uint8(r.Tier))
	f.u8(r.Count)
}

// readLines reads what writeLines wrote.
func (s *state) readLines(f *frameReader) {
	last := -1 // of an event with a line
	for f.beginAnyOf(partLine, partReturns) == partLine {
		place := int(f.u16())
		if place <= last || place >= len(s.events) || !s.events[place].spec.Line.Enabled {
			f.fail("the line of event %d after that of %d, of %d, or it is to have none", place, last, len(s.events))
		}
		if f.err != nil {
			return
		}
		last = place
		l := &line{}
		l.read(f, s.events[place].id)
		s.events[place].line = l
	}
	readSlabHere(f, &s.returns, (*returnRecord).read)
}

func (l *line) read(f *frameReader, event holdfast.EventID) {
	l.state = holdfast.LineState(f.u8())
	l.frozen, l.drawn, l.paused = f.flag(), f.flag(), f.flag()
	f.into(l.secret[:])
	for _, ms := range []*int64{&l.openedMs, &l.frozenMs, &l.drawnMs, &l.closedMs} {
		*ms = int64(f.u64())
	}
	f.into(l.chain[:])
	l.cohort = f.u32()
	l.round.Round = f.u64()
	f.into(l.round.Previous[:])
	f.into(l.round.Signature[:])
	l.fallback = f.flag()
	l.served, l.tail = holdfast.Position(f.u32()), holdfast.Position(f.u32())
	for _, v := range []*uint32{&l.ceiling, &l.rate, &l.deferred, &l.arrivals, &l.forgotten} {
		*v = f.u32()
	}
	l.stoppedAt = holdfast.Clock(f.u64())
	l.offers = f.u64()
	l.pace.read(f)
	for range f.count("headers", holdfast.EntersMax) {
		h := draw.Header{Base: holdfast.PlaceNumber(l.issued), Count: f.u32()}
		f.into(h.Root[:])
		if h.Count == 0 || h.Count > holdfast.EnterPlacesMax {
			f.fail("a header of %d places", h.Count)
		}
		if f.err != nil {
			return
		}
		l.headers.grow(l.headers.len() + 1)
		*l.headers.edit(uint32(l.headers.len() - 1)) = h
		l.issued += h.Count
	}
	if l.state > holdfast.LineOver {
		f.fail("a line that is %s", l.state)
	}
	l.commitment = draw.Commitment(event, l.secret)
	if l.drawn {
		l.seed = draw.Seed(l.secret, l.chain, l.cohort, l.roundUsed())
	}
}

func (p *pace) read(f *frameReader) {
	p.lost = holdfast.Position(f.u32())
	p.credit = f.u64()
	p.creditAt = holdfast.Clock(f.u64())
	p.target, p.busyPermille, p.providerPerMinute = f.u32(), f.u16(), f.u32()
	if p.bound = holdfast.Bound(f.u8()); p.bound >= holdfast.Bounds {
		f.fail("there is no bound %d", p.bound)
	}
	p.show, p.units, p.pays, p.sessionMs = average(f.u32()), average(f.u32()), average(f.u32()), f.u32()
	t := &p.totals
	for _, v := range []*uint64{&t.Came, &t.ComingMs, &t.Held, &t.Units, &t.Sold} {
		*v = f.u64()
	}
	n := int(f.u8())
	if n > callsMax {
		f.fail("%d calls, at most %d", n, callsMax)
	}
	before := p.lost
	for range n {
		c := call{before: holdfast.Position(f.u32()), at: holdfast.Clock(f.u64()), came: f.u32()}
		if c.before < before {
			f.fail("a call of position %d after that of %d", c.before, before)
		}
		if f.err != nil {
			return
		}
		before = c.before
		p.calls = append(p.calls, c)
	}
}

func (r *returnRecord) read(f *frameReader) {
	r.Buyer = f.u32()
	r.Position = holdfast.Position(f.u32())
	r.Arrival = f.u32()
	r.Event = f.u16()
	r.Section = holdfast.SectionIndex(f.u16())
	r.Tier = holdfast.TierIndex(f.u8())
	r.Count = f.u8()
}

// validateLines looks that whatever names something names something that is there.
func (s *state) validateLines() error {
	for slot, b := range s.buyers.all() {
		state, ok := b.place()
		l := s.events[b.Event].line
		switch {
		case !ok && b.Returns == 0:
		case l == nil || !ok || state >= holdfast.PlaceForgotten || uint32(b.Number) >= l.issued:
			return fmt.Errorf("the buyer in slot %d has place %d in state %d, which the line of event %d does not have", slot, b.Number, b.State, b.Event)
		case state == holdfast.PlaceAdmitted && b.Newest == 0 && b.sessionDue() <= s.clock:
			return fmt.Errorf("the session of the buyer in slot %d is over", slot)
		case b.Returns != 0 && (!s.returns.holds(b.Returns) || s.returns.at(b.Returns).Buyer != slot):
			return fmt.Errorf("the buyer in slot %d waits for returns in slot %d, which is another's", slot, b.Returns)
		}
	}
	for slot, r := range s.returns.all() {
		if int(r.Event) >= len(s.events) || s.events[r.Event].line == nil || !s.buyers.holds(r.Buyer) || s.buyers.at(r.Buyer).Returns != slot ||
			s.buyers.at(r.Buyer).Event != r.Event || r.Count == 0 {
			return fmt.Errorf("the wait for returns in slot %d is impossible: %+v", slot, *r)
		}
	}
	return nil
}
