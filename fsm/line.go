package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// An event's waiting line: how it opens, who joins, and how its order is drawn. session.go says what becomes of those
// who are called, admit.go who is called when, returns.go what happens to seats that come back.
//
// A visitor who waits costs nothing here: an Enter leaves a header, whatever the number of places that it makes. Where
// somebody stands follows from the seed and the own key, and who comes proves the place with a path to its header.

// line is the line of one event, from the OpenLine that committed to its secret. Of the fields in the last block the
// lists are never written to, only replaced, so that cuts share them.
type line struct {
	state  holdfast.LineState
	frozen bool // who takes part is fixed, and
	drawn  bool // the order is made, whatever came after
	paused bool

	secret     holdfast.LineSecret // in no view before the draw
	commitment draw.Hash
	openedMs   int64 // wall clock: of the commitment, the freeze, and the draw
	frozenMs   int64
	drawnMs    int64
	chain      draw.Hash            // over the headers, of the cohort only once it is frozen
	cohort     uint32               // N
	round      holdfast.BeaconRound // that it was drawn from; zero: none
	fallback   bool                 // the round was done without
	seed       draw.Hash

	issued  uint32 // places
	headers pages[draw.Header]

	served holdfast.Position // who stands before it has been called
	tail   holdfast.Position // nobody stands at or behind it
	pace   pace

	ceiling, rate uint32         // in place of those of the rules; 0: those
	stoppedAt     holdfast.Clock // since when turns and sessions do not run down; 0: they do
	closedMs      int64          // wall clock: when the event's sale was closed, if it is

	deferred  uint32 // turns that were missed, so far
	offers    uint64 // made so far: the ids of their holds
	arrivals  uint32 // on the list for returns, so far
	forgotten uint32 // places whose records were dropped after the sale

	// Worked out from the records.
	counts  [holdfast.PlaceStates]uint32 // places with a record, by state
	looking uint32                       // sessions without a hold
	returns []uint32                     // slots in returns, by rank

	touched  bool // something is to be announced at the end of the entry
	returned bool // units came free, and somebody waits for such
}

// rulesOf gives an event's line rules with the defaults filled in.
func (e *event) lineRules() command.LineRules { return e.spec.Line.WithDefaults() }

// cut freezes the line: see pages.cut.
func (l *line) cut(lease *lease) *line {
	if l == nil {
		return nil
	}
	c := *l
	c.headers = l.headers.cut(lease)
	c.returns = nil
	return &c
}

// openLine commits to the secret, and opens the line now or when its time comes.
func (m *Machine) openLine(c *command.OpenLine) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case !e.spec.Line.Enabled:
		return holdfast.LineNotOpen
	case e.line != nil && e.line.secret == c.Secret:
		return holdfast.OK
	case e.line != nil:
		return holdfast.LineConflict
	}

	e.line = &line{
		secret: c.Secret, commitment: draw.Commitment(e.id, c.Secret), openedMs: m.state.wallMs, chain: draw.Start(e.id), pace: newPace(m.state.clock),
	}
	if e.sale != holdfast.SaleOpen {
		e.line.stoppedAt = m.state.clock
	}
	m.touch(e)
	m.onTime(e)
	m.wakeNext()
	return holdfast.OK
}

func (m *Machine) tellOpenLine(c *command.OpenLine, _ holdfast.Outcome) { m.tellEvent(c.Event) }

// enter makes places.
func (m *Machine) enter(c *command.Enter) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case e.line == nil || e.line.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case e.line.state == holdfast.LineOver:
		return holdfast.LineEnded
	case e.line.headers.len() == holdfast.EntersMax:
		return holdfast.LineFull
	}
	if planted.Is(planted.PlaceLost) && !m.last.answer {
		return holdfast.OK
	}

	l := e.line
	h := draw.Header{Base: holdfast.PlaceNumber(l.issued), Count: uint32(c.Count), Root: c.Root}

	l.headers.grow(l.headers.len() + 1)
	*l.headers.edit(uint32(l.headers.len() - 1)) = h
	if l.state == holdfast.LineOpen {
		l.chain = draw.Extend(l.chain, &h)
	}
	l.issued += h.Count
	l.tail = max(l.tail, holdfast.Position(l.issued))
	m.touch(e)
	return holdfast.OK
}

// tellEnter tells the number of the first place. Of a repeat it is looked for: the header is the last with this root.
func (m *Machine) tellEnter(c *command.Enter, o holdfast.Outcome) {
	r, e := &m.last.result, m.event(c.Event)
	if e == nil {
		return
	}
	if o == holdfast.LineNotOpen && e.spec.Line.OpensMs > m.state.wallMs {
		r.RetryAfterMs = uint32(min(e.spec.Line.OpensMs-m.state.wallMs, int64(command.TimeMsMax)))
	}
	if o != holdfast.OK || e.line == nil {
		return
	}
	for i := e.line.headers.len() - 1; i >= 0; i-- {
		if h := e.line.headers.at(uint32(i)); h.Root == c.Root && h.Count == uint32(c.Count) {
			r.Place = h.Base
			break
		}
	}
	r.Served = e.line.served
}

// onTime does what an event's line is to do at the wall clock: it opens, freezes, and the sale opens.
func (m *Machine) onTime(e *event) {
	rules, l := &e.spec.Line, e.line
	if l != nil && l.state == holdfast.LineClosed && rules.OpensMs <= m.state.wallMs {
		l.state = holdfast.LineOpen
		m.touch(e)
	}
	if l != nil && l.state == holdfast.LineOpen && rules.DrawMs != 0 && rules.DrawMs <= m.state.wallMs {
		m.freeze(e)
	}
	if e.sale == holdfast.SaleDraft && rules.SaleMs != 0 && rules.SaleMs <= m.state.wallMs {
		m.changeSale(e, holdfast.SaleOpen)
	}
}

// freeze fixes who takes part in the draw.
func (m *Machine) freeze(e *event) {
	e.line.state = holdfast.LineFrozen
	e.line.frozen, e.line.frozenMs = true, m.state.wallMs
	e.line.cohort = e.line.issued
	m.touch(e)
}

// wakeAt gives the next instant of the wall clock at which something is to happen by itself; 0: none.
func (e *event) wakeAt() (ms int64) {
	rules, l := &e.spec.Line, e.line
	at := func(when int64) {
		if when != 0 && (ms == 0 || when < ms) {
			ms = when
		}
	}
	if l != nil && l.state == holdfast.LineClosed {
		at(rules.OpensMs)
	}
	if l != nil && l.state <= holdfast.LineOpen {
		at(rules.DrawMs)
	}
	if e.sale == holdfast.SaleDraft {
		at(rules.SaleMs)
	}
	return ms
}

// wakeNext works out when wake has something to do.
func (m *Machine) wakeNext() {
	m.wakeMs = 0
	for _, e := range m.state.events {
		if at := e.wakeAt(); at != 0 && (m.wakeMs == 0 || at < m.wakeMs) {
			m.wakeMs = at
		}
	}
}

// wake does what is due at the wall clock, event by event in the order in which they were put.
func (m *Machine) wake() {
	if m.wakeMs == 0 || m.wakeMs > m.state.wallMs {
		return
	}
	for _, e := range m.state.events {
		m.onTime(e)
	}
	m.wakeNext()
}

// drawLine makes the order of a line.
func (m *Machine) drawLine(c *command.Draw) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case e.line == nil || e.line.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case e.line.state == holdfast.LineOver:
		return holdfast.LineEnded
	}
	l, rules := e.line, e.lineRules()
	if l.state == holdfast.LineDrawn {
		if l.round == c.Beacon {
			return holdfast.OK
		}
		return holdfast.LineConflict
	}
	byHand := l.state == holdfast.LineOpen && rules.DrawMs == 0 && rules.Beacon.Kind == holdfast.BeaconNone
	if l.state == holdfast.LineOpen && !byHand {
		return holdfast.LineConflict
	}
	fallback := false
	switch round := draw.RoundFor(&rules.Beacon, l.frozenMs); {
	case rules.Beacon.Kind == holdfast.BeaconNone && !c.Beacon.IsZero():
		return holdfast.BeaconInvalid
	case rules.Beacon.Kind == holdfast.BeaconNone:
	case c.Beacon.IsZero():
		if m.state.wallMs < rules.Beacon.RoundTimeMs(round)+int64(rules.FallbackMs) {
			return holdfast.BeaconAwaited
		}
		fallback = true
	case c.Beacon.Round != round || !draw.ValidRound(&rules.Beacon, &c.Beacon):
		return holdfast.BeaconInvalid
	}

	if byHand {
		m.freeze(e)
	}
	l.drawn = true
	l.state, l.drawnMs, l.round, l.fallback = holdfast.LineDrawn, m.state.wallMs, c.Beacon, fallback
	l.seed = draw.Seed(l.secret, l.chain, l.cohort, l.roundUsed())
	if planted.Is(planted.DrawSteered) {
		l.seed = draw.Seed(l.secret, draw.Start(e.id), l.cohort, l.roundUsed())
	}
	m.touch(e)
	return holdfast.OK
}

// tellDraw tells when a beacon is done without.
func (m *Machine) tellDraw(c *command.Draw, o holdfast.Outcome) {
	m.tellEvent(c.Event)
	if e := m.event(c.Event); o == holdfast.BeaconAwaited && e.line.state == holdfast.LineFrozen {
		rules := e.lineRules()
		at := rules.Beacon.RoundTimeMs(draw.RoundFor(&rules.Beacon, e.line.frozenMs)) + int64(rules.FallbackMs)
		m.last.result.RetryAfterMs = uint32(min(max(at-m.state.wallMs, 0), int64(command.TimeMsMax)))
	}
}

// roundUsed gives the round that the order was drawn from; nil: none.
func (l *line) roundUsed() *holdfast.BeaconRound {
	if l.round.IsZero() {
		return nil
	}
	return &l.round
}

// setLine changes how a line runs.
func (m *Machine) setLine(c *command.SetLine) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.line == nil:
		return holdfast.LineNotOpen
	case e.line.state == holdfast.LineOver && c.Change == command.LineClose:
		return holdfast.OK
	case e.line.state == holdfast.LineOver:
		return holdfast.LineEnded
	case c.Change == command.LineFreeze && e.line.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case c.Change == command.LineFreeze && (e.spec.Line.DrawMs != 0 || e.line.state == holdfast.LineDrawn):
		return holdfast.LineConflict // the cut-off was announced, or is long past
	}

	l := e.line
	switch c.Change {
	case command.LinePause, command.LineResume:
		l.paused = c.Change == command.LinePause
		m.stopOrGo(e)
	case command.LineCeiling:
		l.ceiling = c.Value
	case command.LineRate:
		l.rate = c.Value
	case command.LineFreeze:
		if l.state == holdfast.LineOpen {
			m.freeze(e)
		}
	case command.LineClose:
		l.state = holdfast.LineOver
	}
	m.touch(e)
	m.wakeNext()
	return holdfast.OK
}

func (m *Machine) tellSetLine(c *command.SetLine, _ holdfast.Outcome) { m.tellEvent(c.Event) }

// touch makes the line's change known at the end of the entry: once, however many there are.
func (m *Machine) touch(e *event) {
	if e.line != nil && !e.line.touched {
		e.line.touched = true
		m.touched = append(m.touched, e)
	}
}

// announceLines makes the lines' changes known.
func (m *Machine) announceLines() {
	for _, e := range m.touched {
		e.line.touched = false
		m.announce(e)
	}
	m.touched = m.touched[:0]
}
