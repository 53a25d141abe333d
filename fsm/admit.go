package fsm

import (
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Admit calls people. How many is the leader's to say, who looks at load and at what the payment provider takes; here
// that is clamped to what must hold whatever a leader thinks: sessions under the ceiling, people without a hold in
// proportion to the seats that are left, the organizer's rate, nobody while anything is stopped, and never nobody for
// good while seats are free and nobody looks at them.

// pace is what is remembered of the calls. calls is replaced and never written to, so that cuts share it.
type pace struct {
	calls    []call            // whose turns are not over, the oldest first
	lost     holdfast.Position // of who stands before it the turn is over
	credit   uint64            // of the rate, in millionths of a call
	creditAt holdfast.Clock

	target            uint32 // the leader's own numbers
	busyPermille      uint16
	providerPerMinute uint32
	bound             holdfast.Bound

	totals            LineTotals
	show, units, pays average
	sessionMs         uint32 // how long a session lasts on average; 0: none has ended
}

// LineTotals grow for as long as the line lives. How fast they do is what the leader paces people by.
type LineTotals struct {
	Came     uint64 // sessions opened
	ComingMs uint64 // from the call to the session, of all of them together
	Held     uint64 // sessions that came to hold something, each time that they did
	Units    uint64 // of these holds
	Sold     uint64 // places whose visitor has bought
}

// call says when the positions before a threshold, and behind the call before, were called.
type call struct {
	before holdfast.Position
	at     holdfast.Clock
	came   uint32
}

// callsMax bounds the calls that are remembered. Calls of one 128th of a turn's length are one, at its end: so a turn
// is never shorter than it should be, and there are never more.
const callsMax = 130

// average is a number that follows what is added to it, in 65,536ths.
type average uint32

const (
	averageOne   = 1 << 16
	averageInert = 16 // what is added counts a sixteenth
)

// add moves the average towards a ratio.
func (a *average) add(of, in uint32) {
	next := int64(of) * averageOne / int64(in)
	*a = average(int64(*a) + (next-int64(*a))/averageInert)
}

// of gives the average times a number.
func (a average) of(n uint32) uint32 { return uint32(uint64(a) * uint64(n) / averageOne) }

// newPace begins with guesses that are soon replaced: everybody comes, takes two units, and seven of ten pay.
func newPace(clock holdfast.Clock) pace {
	return pace{creditAt: clock, show: averageOne, units: 2 * averageOne, pays: averageOne * 7 / 10}
}

// limits gives the ceiling and the rate that are in force.
func (l *line) limits(rules *command.LineRules) (ceiling, rate uint32) {
	ceiling, rate = rules.CeilingMax, rules.RateMax
	if l.ceiling != 0 {
		ceiling = l.ceiling
	}
	if l.rate != 0 {
		rate = l.rate
	}
	return ceiling, rate
}

// clockOf is the clock by which turns run down: it stands still while the line is stopped.
func (l *line) clockOf(clock holdfast.Clock) holdfast.Clock {
	if l.stoppedAt != 0 {
		return l.stoppedAt
	}
	return clock
}

// turnOf says of a position whether its turn is to come, is, or is over; and when it ends.
func (l *line) turnOf(p holdfast.Position, clock holdfast.Clock, callMs uint32) (holdfast.PlaceState, holdfast.Clock) {
	if p >= l.served {
		return holdfast.PlaceWaiting, 0
	}
	if at := l.pace.callOf(p); at >= 0 {
		if until := l.pace.calls[at].at + micros(callMs); until > l.clockOf(clock) {
			return holdfast.PlaceCalled, until
		}
	}
	return holdfast.PlaceMissed, 0
}

// callOf finds the call of a position; -1 if it is not among those remembered.
func (p *pace) callOf(position holdfast.Position) int {
	if position < p.lost {
		return -1
	}
	return slices.IndexFunc(p.calls, func(c call) bool { return c.before > position })
}

// came counts somebody who came when called.
func (p *pace) came(position holdfast.Position, clock holdfast.Clock) {
	p.totals.Came++
	if at := p.callOf(position); at >= 0 {
		p.calls = slices.Clone(p.calls)
		p.calls[at].came++
		p.totals.ComingMs += uint64(clock-min(p.calls[at].at, clock)) / 1000
	}
}

// called remembers a call. The turns that are over by then are forgotten, and show how many came.
func (p *pace) called(before holdfast.Position, clock holdfast.Clock, callMs uint32) {
	p.forget(clock, callMs)
	slot := micros(callMs)/128 + 1
	at := (clock/slot + 1) * slot
	p.calls = slices.Clone(p.calls)
	if n := len(p.calls); n > 0 && p.calls[n-1].at >= at {
		p.calls[n-1].before = before
		return
	}
	p.calls = append(p.calls, call{before: before, at: at})
	if len(p.calls) > callsMax { // the turn's length was changed: the oldest become one with those after them
		p.calls[1].came += p.calls[0].came
		p.calls = p.calls[1:]
	}
}

// forget drops the calls whose turns are over.
func (p *pace) forget(clock holdfast.Clock, callMs uint32) {
	over := 0
	for over < len(p.calls) && p.calls[over].at+micros(callMs) <= clock {
		c := &p.calls[over]
		if n := uint32(c.before - p.lost); n > 0 {
			p.show.add(min(c.came, n), n)
		}
		p.lost = c.before
		over++
	}
	p.calls = p.calls[over:]
}

// calledNotCome gives how many positions were called whose turn it is still, and of which nobody came.
func (l *line) calledNotCome(clock holdfast.Clock, callMs uint32) (n uint32) {
	last := l.pace.lost
	for i := range l.pace.calls {
		c := &l.pace.calls[i]
		if c.at+micros(callMs) > l.clockOf(clock) {
			n += uint32(c.before-last) - min(c.came, uint32(c.before-last))
		}
		last = c.before
	}
	return n
}

// ComingPart is the part of a turn after which nobody is expected any more who might still come: pages ask every few
// seconds when a turn is near, so whoever comes, comes soon.
const ComingPart = 8

// fresh gives how many were called so lately that they may be on their way.
func (l *line) fresh(clock holdfast.Clock, callMs uint32) (n uint32) {
	last := l.pace.lost
	for i := range l.pace.calls {
		c := &l.pace.calls[i]
		if c.at+micros(callMs)/ComingPart > l.clockOf(clock) {
			n += uint32(c.before-last) - min(c.came, uint32(c.before-last))
		}
		last = c.before
	}
	return n
}

func (p *pace) sessionEnded(ms uint32) {
	if p.sessionMs == 0 {
		p.sessionMs = ms
		return
	}
	p.sessionMs = uint32(int64(p.sessionMs) + (int64(ms)-int64(p.sessionMs))/averageInert)
}

// admit calls the next positions.
func (m *Machine) admit(c *command.Admit) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.sale != holdfast.SaleOpen:
		return notOpen(e.sale)
	case e.line == nil || e.line.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case e.line.state == holdfast.LineOver:
		return holdfast.LineEnded
	case e.line.state != holdfast.LineDrawn:
		return holdfast.LineNotDrawn
	case e.line.paused:
		return holdfast.LinePaused
	}

	l, rules := e.line, e.lineRules()
	l.pace.forget(m.state.clock, rules.CallMs)
	m.fillCredit(l, &rules)
	l.pace.target, l.pace.busyPermille, l.pace.providerPerMinute = c.Target, c.BusyPermille, c.ProviderPerMinute
	l.pace.bound = c.Bound
	if n := m.admissible(e, &rules, c.Count); n > 0 {
		if _, rate := l.limits(&rules); rate > 0 {
			l.pace.credit -= uint64(n) * 1_000_000
		}
		l.served += holdfast.Position(n)
		l.pace.called(l.served, m.state.clock, rules.CallMs)
		m.touch(e)
	}
	return holdfast.OK
}

func (m *Machine) tellAdmit(c *command.Admit, o holdfast.Outcome) {
	if e := m.event(c.Event); e != nil && e.line != nil && o == holdfast.OK {
		m.last.result.Served = e.line.served
	}
}

// fillCredit adds what the rate gave since it was last looked at: a second's worth at most.
func (m *Machine) fillCredit(l *line, rules *command.LineRules) {
	_, rate := l.limits(rules)
	passed := min(uint64(m.state.clock-min(l.pace.creditAt, m.state.clock)), 1_000_000)
	l.pace.credit = min(l.pace.credit+passed*uint64(rate), 1_000_000*uint64(max(rate, 1)))
	l.pace.creditAt = m.state.clock
}

// admissible gives how many of so many may be called now. People are counted as they are expected: of the positions
// that were called, and of those to be, so many come as came lately.
func (m *Machine) admissible(e *event, rules *command.LineRules, asked uint32) uint32 {
	l := e.line
	ceiling, rate := l.limits(rules)
	public := e.units.byAllocation()[holdfast.Public]
	free, sessions := public[holdfast.Free], l.counts[holdfast.PlaceAdmitted]
	show := max(l.pace.show, averageOne/16)
	expected := show.of(l.fresh(m.state.clock, rules.CallMs))

	room := min(ceiling-min(ceiling, sessions+expected), stockFor(public, l.pace.units)-min(stockFor(public, l.pace.units), l.looking+expected))
	n := min(asked, uint32(min(uint64(room)*averageOne/uint64(show), 1<<31)))
	if n == 0 && free > 0 && l.looking+expected == 0 && sessions < ceiling {
		n = 1
	}
	if rate > 0 {
		n = min(n, uint32(l.pace.credit/1_000_000))
	}
	return min(n, uint32(l.tail-min(l.tail, l.served)))
}

// stockFor gives how many people without a hold the free units are enough for: a fifth more than would take them all,
// since not all do, and exactly as many when only a hundredth is left, so that nobody is let in to find nothing.
func stockFor(c Counts, units average) uint32 {
	all := uint64(0)
	for _, n := range c {
		all += uint64(n)
	}
	free := uint64(c[holdfast.Free])
	people := free * averageOne / uint64(max(units, averageOne))
	if free*100 > all {
		people = free * averageOne * 12 / 10 / uint64(max(units, averageOne))
	}
	return uint32(min(people, 1<<31))
}

// stopOrGo stops the clock of turns and sessions while the line is paused or the sale is not open, and gives the time
// back when it goes on.
func (m *Machine) stopOrGo(e *event) {
	l := e.line
	if l == nil {
		return
	}
	switch stop := l.paused || e.sale != holdfast.SaleOpen; {
	case stop && l.stoppedAt == 0:
		l.stoppedAt = max(m.state.clock, 1)
	case !stop && l.stoppedAt != 0:
		calls := slices.Clone(l.pace.calls)
		for i := range calls {
			calls[i].at += m.state.clock - min(l.stoppedAt, m.state.clock)
		}
		l.pace.calls, l.stoppedAt = calls, 0
	}
}
