package fsm_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// The model's line: who has which place, told as a list of people. It knows the keys behind every root that was
// entered, which the machine does not, so it needs no proof to say whose a place is.

type modelLine struct {
	state                       holdfast.LineState
	paused, frozen, drawn       bool
	secret                      holdfast.LineSecret
	openedMs, frozenMs, drawnMs int64
	cohort                      uint32
	round                       *holdfast.BeaconRound
	fallback                    bool
	seed                        [32]byte
	enters                      []modelEnter
	issued                      uint32
	served, tail                holdfast.Position
	calls                       []modelCall
	credit                      uint64
	creditAt                    holdfast.Clock
	ceiling, rate               uint32
	stopped                     bool
	stoppedAt                   holdfast.Clock
	closedMs                    int64
	deferred, arrivals          uint32
	offers                      uint64
	visitors                    map[holdfast.BuyerID]*modelVisitor
	show, units, pays           int64 // in 65,536ths
	sessionMs                   int64
	signals                     command.Admit
	totals                      fsm.LineTotals
	touched                     bool
}

type modelEnter struct {
	base  uint32
	count uint32
	root  [32]byte
}

type modelCall struct {
	from, before holdfast.Position
	at           holdfast.Clock
	came         uint32
	over         bool
}

// modelVisitor is a place whose visitor turned up in some way.
type modelVisitor struct {
	number     holdfast.PlaceNumber
	state      holdfast.PlaceState
	position   holdfast.Position
	deferrals  int
	ends, idle holdfast.Clock
	waits      *command.JoinReturns // on the list for returns
	waitsAt    holdfast.Position
	arrival    uint32
}

func (e *modelEvent) lineRules() command.LineRules { return e.spec.Line.WithDefaults() }

// proves looks whose the place is.
func (m *model) proves(e *modelEvent, p *command.Proof) bool {
	if e.line == nil {
		return false
	}
	for _, enter := range e.line.enters {
		if n := uint32(p.Number) - enter.base; uint32(p.Number) >= enter.base && n < enter.count {
			tree := m.trees[enter.root]
			return int(n) < len(tree) && tree[n] == p.Key && slices.Equal(p.Path, pathIn(e.id, tree, int(n)))
		}
	}
	return false
}

func leavesOf(event holdfast.EventID, keys []holdfast.PlaceKey) (leaves []draw.Hash) {
	for _, k := range keys {
		leaves = append(leaves, draw.Leaf(event, k))
	}
	return leaves
}

func pathIn(event holdfast.EventID, keys []holdfast.PlaceKey, index int) [][32]byte {
	return draw.Path(leavesOf(event, keys), index)
}

func (m *model) executeLine(e *modelEvent, c command.Command) holdfast.Outcome {
	switch c := c.(type) {
	case *command.OpenLine:
		return m.openLine(e, c)
	case *command.Enter:
		return m.enter(e, c)
	case *command.Draw:
		return m.draw(e, c)
	case *command.Redeem:
		return m.redeem(e, c)
	case *command.Admit:
		return m.admit(e, c)
	case *command.SetLine:
		return m.setLine(e, c)
	case *command.LeaveLine:
		return m.leaveLine(e, c)
	case *command.JoinReturns:
		return m.joinReturns(e, c)
	case *command.LeaveReturns:
		if e.line == nil {
			return holdfast.LineNotOpen
		}
		m.noReturn(e, e.line.visitors[c.Buyer])
		return holdfast.OK
	}
	panic("the model does not know this command")
}

func (m *model) openLine(e *modelEvent, c *command.OpenLine) holdfast.Outcome {
	switch {
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case !e.spec.Line.Enabled:
		return holdfast.LineNotOpen
	case e.line != nil && e.line.secret == c.Secret:
		return holdfast.OK
	case e.line != nil:
		return holdfast.LineConflict
	}
	e.line = &modelLine{secret: c.Secret, openedMs: m.wallMs, visitors: map[holdfast.BuyerID]*modelVisitor{}, creditAt: m.clock,
		show: 65536, units: 2 * 65536, pays: 65536 * 7 / 10, touched: true}
	m.stopOrGo(e)
	m.onTime(e)
	return holdfast.OK
}

func (m *model) enter(e *modelEvent, c *command.Enter) holdfast.Outcome {
	l := e.line
	switch {
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case l == nil || l.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case l.state == holdfast.LineOver:
		return holdfast.LineEnded
	case len(l.enters) == holdfast.EntersMax:
		return holdfast.LineFull
	}
	l.enters = append(l.enters, modelEnter{l.issued, uint32(c.Count), c.Root})
	l.issued += uint32(c.Count)
	l.tail = max(l.tail, holdfast.Position(l.issued))
	l.touched = true
	return holdfast.OK
}

// onTime does what the wall clock says.
func (m *model) onTime(e *modelEvent) {
	rules, l := e.spec.Line, e.line
	if l != nil && l.state == holdfast.LineClosed && rules.OpensMs <= m.wallMs {
		l.state, l.touched = holdfast.LineOpen, true
	}
	if l != nil && l.state == holdfast.LineOpen && rules.DrawMs > 0 && rules.DrawMs <= m.wallMs {
		m.freeze(e)
	}
	if rules.Enabled && e.sale == holdfast.SaleDraft && rules.SaleMs > 0 && rules.SaleMs <= m.wallMs {
		m.changeSale(e, holdfast.SaleOpen)
	}
}

func (m *model) freeze(e *modelEvent) {
	e.line.frozen = true
	e.line.state, e.line.frozenMs, e.line.cohort, e.line.touched = holdfast.LineFrozen, m.wallMs, e.line.issued, true
}

func (m *model) changeSale(e *modelEvent, to holdfast.SaleState) {
	e.sale = to
	if e.line != nil && to == holdfast.SaleClosed {
		e.line.closedMs = m.wallMs
	}
	m.stopOrGo(e)
	e.cameFree = true
	e.revision++
}

func (m *model) stopOrGo(e *modelEvent) {
	l := e.line
	if l == nil {
		return
	}
	stop := l.paused || e.sale != holdfast.SaleOpen
	if stop && !l.stopped {
		l.stopped, l.stoppedAt = true, m.clock
	}
	if !stop && l.stopped {
		for i := range l.calls {
			l.calls[i].at += m.clock - l.stoppedAt
		}
		l.stopped = false
	}
}

// chain is the hash over the headers of those who take part.
func (l *modelLine) chain(event holdfast.EventID) draw.Hash {
	chain := draw.Start(event)
	for _, h := range l.enters {
		if !l.frozen || h.base < l.cohort {
			chain = draw.Extend(chain, &draw.Header{Base: holdfast.PlaceNumber(h.base), Count: h.count, Root: h.root})
		}
	}
	return chain
}

func (m *model) draw(e *modelEvent, c *command.Draw) holdfast.Outcome {
	l := e.line
	switch {
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case l == nil || l.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case l.state == holdfast.LineOver:
		return holdfast.LineEnded
	}
	rules := e.lineRules()
	alone := rules.Beacon.Kind == holdfast.BeaconNone
	if l.state == holdfast.LineDrawn {
		if l.round == nil && c.Beacon.IsZero() || l.round != nil && *l.round == c.Beacon {
			return holdfast.OK
		}
		return holdfast.LineConflict
	}
	if l.state == holdfast.LineOpen && !(alone && rules.DrawMs == 0) {
		return holdfast.LineConflict
	}
	var round *holdfast.BeaconRound
	fallback := false
	if alone {
		if !c.Beacon.IsZero() {
			return holdfast.BeaconInvalid
		}
	} else {
		want := rules.Beacon.RoundAfter(l.frozenMs)
		if rules.Beacon.Round > want {
			want = rules.Beacon.Round
		}
		switch {
		case !c.Beacon.IsZero():
			if c.Beacon.Round != want || !draw.ValidRound(&rules.Beacon, &c.Beacon) {
				return holdfast.BeaconInvalid
			}
			used := c.Beacon
			round = &used
		case m.wallMs < rules.Beacon.RoundTimeMs(want)+int64(rules.FallbackMs):
			return holdfast.BeaconAwaited
		default:
			fallback = true
		}
	}
	if l.state == holdfast.LineOpen {
		m.freeze(e)
	}
	l.drawn = true
	l.state, l.drawnMs, l.round, l.fallback, l.touched = holdfast.LineDrawn, m.wallMs, round, fallback, true
	l.seed = draw.Seed(l.secret, l.chain(e.id), l.cohort, round)
	return holdfast.OK
}

func (m *model) setLine(e *modelEvent, c *command.SetLine) holdfast.Outcome {
	l := e.line
	freeze := c.Change == command.LineFreeze
	switch {
	case l == nil:
		return holdfast.LineNotOpen
	case l.state == holdfast.LineOver && c.Change == command.LineClose:
		return holdfast.OK
	case l.state == holdfast.LineOver:
		return holdfast.LineEnded
	case freeze && l.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case freeze && (e.spec.Line.DrawMs > 0 || l.state == holdfast.LineDrawn):
		return holdfast.LineConflict
	}
	l.touched = true
	switch c.Change {
	case command.LinePause:
		l.paused = true
	case command.LineResume:
		l.paused = false
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
	m.stopOrGo(e)
	return holdfast.OK
}

// drawnLine refuses what needs an order.
func (e *modelEvent) drawnLine() holdfast.Outcome {
	switch l := e.line; {
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case l == nil || l.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case !l.drawn && l.state == holdfast.LineOver:
		return holdfast.LineEnded
	case !l.drawn:
		return holdfast.LineNotDrawn
	}
	return holdfast.OK
}

func (m *model) redeem(e *modelEvent, c *command.Redeem) holdfast.Outcome {
	if o := e.drawnLine(); o != holdfast.OK {
		return o
	}
	l, buyer, proven := e.line, c.Key.Buyer(), m.proves(e, &c.Proof)
	v := l.visitors[buyer]
	switch {
	case proven && v != nil && v.state == holdfast.PlaceAdmitted:
		return holdfast.OK
	case l.state == holdfast.LineOver:
		return holdfast.LineEnded
	case !proven:
		return holdfast.PlaceUnproven
	case v != nil && (v.state == holdfast.PlaceFinished || v.state == holdfast.PlaceLeft):
		return holdfast.PlaceSpent
	}
	position := draw.Position(l.seed, l.cohort, c.Number, c.Key)
	if v != nil {
		position = v.position
	}
	turn, _ := m.turn(e, position)
	switch {
	case turn == holdfast.PlaceWaiting:
		return holdfast.TurnAwaited
	case turn == holdfast.PlaceMissed && (v == nil || v.state != holdfast.PlaceOffered):
		m.deferVisitor(e, m.visitor(e, &c.Proof))
		return holdfast.TurnMissed
	case l.paused:
		return holdfast.LinePaused
	case l.count(holdfast.PlaceAdmitted) >= e.ceiling():
		return holdfast.SessionsFull
	}
	v = m.visitor(e, &c.Proof)
	for i := range l.calls {
		if call := &l.calls[i]; !call.over && call.from <= position && position < call.before {
			call.came++
			l.totals.ComingMs += uint64(call.at.Until(m.clock) / time.Millisecond)
		}
	}
	l.totals.Came++
	rules := e.lineRules()
	v.state, l.touched = holdfast.PlaceAdmitted, true
	v.ends, v.idle = m.clock.Add(ms(rules.SessionMs)), m.clock.Add(ms(rules.IdleMs))
	return holdfast.OK
}

func (e *modelEvent) ceiling() uint32 { return cmp.Or(e.line.ceiling, e.lineRules().CeilingMax) }
func (e *modelEvent) rate() uint32    { return cmp.Or(e.line.rate, e.lineRules().RateMax) }

func (l *modelLine) count(state holdfast.PlaceState) (n uint32) {
	for _, v := range l.visitors {
		if v.state == state {
			n++
		}
	}
	return n
}

// looking counts the sessions without a hold.
func (m *model) looking(e *modelEvent) (n uint32) {
	for buyer, v := range e.line.visitors {
		if v.state == holdfast.PlaceAdmitted && len(m.liveHolds(e, buyer)) == 0 {
			n++
		}
	}
	return n
}

// turn says whether a position's turn is to come, is, or is over.
func (m *model) turn(e *modelEvent, p holdfast.Position) (holdfast.PlaceState, holdfast.Clock) {
	l, now := e.line, m.clock
	if p >= l.served {
		return holdfast.PlaceWaiting, 0
	}
	if l.stopped {
		now = l.stoppedAt
	}
	for _, c := range l.calls {
		if until := c.at.Add(ms(e.lineRules().CallMs)); c.from <= p && p < c.before && !c.over && until > now {
			return holdfast.PlaceCalled, until
		}
	}
	return holdfast.PlaceMissed, 0
}

func (m *model) visitor(e *modelEvent, p *command.Proof) *modelVisitor {
	l := e.line
	v := l.visitors[p.Key.Buyer()]
	if v == nil {
		v = &modelVisitor{number: p.Number}
		if l.drawn {
			v.position = draw.Position(l.seed, l.cohort, p.Number, p.Key)
		}
		l.visitors[p.Key.Buyer()], l.touched = v, true
	}
	return v
}

func (l *modelLine) putBehind(v *modelVisitor) {
	v.position = max(l.tail, l.served)
	l.tail = v.position + 1
}

func (m *model) deferVisitor(e *modelEvent, v *modelVisitor) {
	l := e.line
	at := l.served + 10 + holdfast.Position(l.deferred%64)
	l.deferred++
	if v.deferrals < 2 && at < l.tail {
		v.position = at
	} else {
		l.putBehind(v)
	}
	v.deferrals = min(v.deferrals+1, 3)
	v.state, l.touched = holdfast.PlaceDeferred, true
}

// lapseSession ends a session that came to nothing.
func (m *model) lapseSession(e *modelEvent, v *modelVisitor) {
	m.closeSession(e, v)
	e.line.putBehind(v)
	v.state, e.line.touched = holdfast.PlaceLapsed, true
}

func (m *model) closeSession(e *modelEvent, v *modelVisitor) {
	l := e.line
	begun := v.ends - min(v.ends, holdfast.Clock(e.lineRules().SessionMs)*1000)
	took := min(begun.Until(m.clock)/time.Millisecond, command.TimeMsMax)
	if l.sessionMs == 0 {
		l.sessionMs = int64(took)
	} else {
		l.sessionMs += (int64(took) - l.sessionMs) / 16
	}
	v.ends, v.idle = 0, 0
}

func follow(average *int64, of, in int64) { *average += (of*65536/in - *average) / 16 }

// holdEnded says what the end of a hold means to its buyer's place.
func (m *model) holdEnded(h *modelHold, how holdfast.Outcome) {
	e := h.event
	if e.line == nil || e.line.visitors[h.buyer] == nil {
		return
	}
	v := e.line.visitors[h.buyer]
	follow(&e.line.pays, 0, 1)
	alone := len(m.liveHolds(e, h.buyer)) == 0
	switch {
	case v.state == holdfast.PlaceOffered && h.offer:
		e.line.putBehind(v)
		v.state, e.line.touched = holdfast.PlaceLapsed, true
	case v.state != holdfast.PlaceAdmitted:
	case how == holdfast.HoldLapsed, alone && v.ends <= m.clock:
		m.lapseSession(e, v)
	case alone:
		v.idle = m.clock.Add(ms(e.lineRules().IdleMs))
	}
}

// sessionHolds counts the first hold that a session has.
func (m *model) sessionHolds(h *modelHold) {
	l := h.event.line
	if l == nil || l.visitors[h.buyer] == nil || l.visitors[h.buyer].state != holdfast.PlaceAdmitted || len(m.liveHolds(h.event, h.buyer)) > 0 {
		return
	}
	l.totals.Held++
	l.totals.Units += uint64(len(h.units))
}

func (m *model) bought(h *modelHold) {
	e := h.event
	if e.line == nil || e.line.visitors[h.buyer] == nil {
		return
	}
	v := e.line.visitors[h.buyer]
	e.line.totals.Sold++
	follow(&e.line.pays, 1, 1)
	follow(&e.line.units, int64(len(h.units)), 1)
	if v.state == holdfast.PlaceAdmitted {
		m.closeSession(e, v)
	}
	m.noReturn(e, v)
	v.state, e.line.touched = holdfast.PlaceFinished, true
}

// expireSessions ends the sessions that have run down.
func (m *model) expireSessions() {
	type ending struct {
		e     *modelEvent
		buyer holdfast.BuyerID
		at    holdfast.Clock
	}
	var ends []ending
	for _, e := range m.events {
		if e.line == nil {
			continue
		}
		for buyer, v := range e.line.visitors {
			if v.state != holdfast.PlaceAdmitted || len(m.liveHolds(e, buyer)) > 0 || min(v.ends, v.idle) > m.clock {
				continue
			}
			if e.line.stopped {
				later := m.clock.Add(max(ms(e.lineRules().IdleMs), time.Microsecond))
				v.ends, v.idle = max(v.ends, later), max(v.idle, later)
				continue
			}
			ends = append(ends, ending{e, buyer, min(v.ends, v.idle)})
		}
	}
	slices.SortFunc(ends, func(a, b ending) int { return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.buyer[:], b.buyer[:])) })
	for _, x := range ends {
		m.lapseSession(x.e, x.e.line.visitors[x.buyer])
	}
}

func (m *model) admit(e *modelEvent, c *command.Admit) holdfast.Outcome {
	l := e.line
	switch {
	case e.sale != holdfast.SaleOpen:
		return notOpen[e.sale]
	case l == nil || l.state == holdfast.LineClosed:
		return holdfast.LineNotOpen
	case l.state == holdfast.LineOver:
		return holdfast.LineEnded
	case l.state != holdfast.LineDrawn:
		return holdfast.LineNotDrawn
	case l.paused:
		return holdfast.LinePaused
	}
	rules := e.lineRules()
	for i := range l.calls {
		if call := &l.calls[i]; !call.over && call.at.Add(ms(rules.CallMs)) <= m.clock {
			call.over = true
			n := int64(call.before - call.from)
			follow(&l.show, min(int64(call.came), n), n)
		}
	}
	second := uint64(min(l.creditAt.Until(m.clock), time.Second) / time.Microsecond)
	l.credit = min(l.credit+second*uint64(e.rate()), 1_000_000*uint64(max(e.rate(), 1)))
	l.creditAt, l.signals = m.clock, *c
	n := m.admissible(e, c.Count)
	if n == 0 {
		return holdfast.OK
	}
	if e.rate() > 0 {
		l.credit -= uint64(n) * 1_000_000
	}
	slot := holdfast.Clock(rules.CallMs)*1000/128 + 1
	at := (m.clock/slot + 1) * slot
	if last := len(l.calls) - 1; last >= 0 && !l.calls[last].over && l.calls[last].at >= at {
		l.calls[last].before += holdfast.Position(n)
	} else {
		l.calls = append(l.calls, modelCall{from: l.served, before: l.served + holdfast.Position(n), at: at})
	}
	l.served += holdfast.Position(n)
	l.touched = true
	return holdfast.OK
}

// called counts positions whose turn it is and of which nobody came.
func (m *model) called(e *modelEvent) (n uint32) {
	for _, c := range e.line.calls {
		if turn, _ := m.turn(e, c.before-1); turn == holdfast.PlaceCalled {
			n += uint32(c.before-c.from) - min(c.came, uint32(c.before-c.from))
		}
	}
	return n
}

// fresh counts those of them that were called in the last eighth of a turn.
func (m *model) fresh(e *modelEvent) (n uint32) {
	now := m.clock
	if e.line.stopped {
		now = e.line.stoppedAt
	}
	for _, c := range e.line.calls {
		if !c.over && c.at.Add(ms(e.lineRules().CallMs)/8) > now {
			n += uint32(c.before-c.from) - min(c.came, uint32(c.before-c.from))
		}
	}
	return n
}

func (m *model) admissible(e *modelEvent, asked uint32) uint32 {
	l := e.line
	var public fsm.Counts
	all := int64(0)
	for _, u := range e.units {
		if u.allocation == holdfast.Public {
			public[u.state]++
			all++
		}
	}
	free, sessions := int64(public[holdfast.Free]), int64(l.count(holdfast.PlaceAdmitted))
	show, units := max(l.show, 65536/16), max(l.units, 65536)
	expected := int64(m.fresh(e)) * show / 65536
	people := free * 65536 / units
	if free*100 > all {
		people = free * 65536 * 12 / 10 / units
	}
	without := int64(m.looking(e)) + expected
	room := max(min(int64(e.ceiling())-sessions-expected, people-without), 0)
	n := min(int64(asked), room*65536/show)
	if n == 0 && free > 0 && without == 0 && sessions < int64(e.ceiling()) {
		n = 1
	}
	if e.rate() > 0 {
		n = min(n, int64(l.credit/1_000_000))
	}
	return uint32(min(n, int64(l.tail-l.served)))
}

func (m *model) leaveLine(e *modelEvent, c *command.LeaveLine) holdfast.Outcome {
	l := e.line
	if l == nil || l.state == holdfast.LineClosed {
		return holdfast.LineNotOpen
	}
	if !m.proves(e, &c.Proof) {
		return holdfast.PlaceUnproven
	}
	v := l.visitors[c.Key.Buyer()]
	switch {
	case v != nil && v.state == holdfast.PlaceLeft:
		return holdfast.OK
	case v != nil && v.state == holdfast.PlaceFinished:
		return holdfast.PlaceSpent
	case len(m.liveHolds(e, c.Key.Buyer())) > 0:
		return holdfast.BuyerHasHold
	}
	v = m.visitor(e, &c.Proof)
	if v.state == holdfast.PlaceAdmitted {
		m.closeSession(e, v)
	}
	m.noReturn(e, v)
	v.state, l.touched = holdfast.PlaceLeft, true
	return holdfast.OK
}

func (m *model) noReturn(e *modelEvent, v *modelVisitor) {
	if v != nil && v.waits != nil {
		v.waits, e.line.touched = nil, true
	}
}

// wantOf is what somebody on the list waits for.
func (e *modelEvent) wantOf(c *command.JoinReturns) []command.Want {
	if int(c.Section) < len(e.spec.Sections) && len(e.spec.Sections[c.Section].Rows) == 0 {
		return []command.Want{{Kind: command.WantGeneral, Section: c.Section, Count: c.Count}}
	}
	return []command.Want{{Kind: command.WantBest, Section: c.Section, Tier: c.Tier, Count: c.Count, Adjacent: true}}
}

func (m *model) joinReturns(e *modelEvent, c *command.JoinReturns) holdfast.Outcome {
	if e.sale != holdfast.SaleOpen {
		return notOpen[e.sale]
	}
	if o := e.drawnLine(); o != holdfast.OK {
		return o
	}
	l, buyer, rules := e.line, c.Key.Buyer(), e.rules()
	v := l.visitors[buyer]
	waiting := 0
	for _, other := range l.visitors {
		if other.waits != nil {
			waiting++
		}
	}
	switch {
	case !m.proves(e, &c.Proof):
		return holdfast.PlaceUnproven
	case v != nil && (v.state == holdfast.PlaceFinished || v.state == holdfast.PlaceLeft):
		return holdfast.PlaceSpent
	case !e.has(holdfast.Public, e.wantOf(c)):
		return holdfast.WantInvalid
	case c.Count > rules.SeatsPerHold:
		return holdfast.HoldTooLarge
	case len(m.liveHolds(e, buyer)) > 0 && !rules.ManyOpenHolds:
		return holdfast.BuyerHasHold
	case rules.SeatsPerBuyer > 0 && m.unitsOf(e, buyer)+int(c.Count) > int(rules.SeatsPerBuyer):
		return holdfast.BuyerOverLimit
	case e.pick(e.ask(holdfast.Public, e.wantOf(c), nil)).outcome == holdfast.OK:
		return holdfast.ReturnsNotYet
	case (v == nil || v.waits == nil) && waiting >= holdfast.ReturnsMax:
		return holdfast.ReturnsFull
	}
	v = m.visitor(e, &c.Proof)
	if v.waits == nil {
		v.waitsAt, v.arrival, l.touched = v.position, l.arrivals, true
		l.arrivals++
	}
	want := *c
	v.waits = &want
	return holdfast.OK
}

// waiting lists the buyers who wait for returns, in the order of the line.
func (l *modelLine) waiting() (buyers []holdfast.BuyerID) {
	for buyer, v := range l.visitors {
		if v.waits != nil {
			buyers = append(buyers, buyer)
		}
	}
	slices.SortFunc(buyers, func(a, b holdfast.BuyerID) int {
		x, y := l.visitors[a], l.visitors[b]
		return cmp.Or(cmp.Compare(x.waitsAt, y.waitsAt), cmp.Compare(x.arrival, y.arrival))
	})
	return buyers
}

// offerReturns holds what came free for those who wait for it.
func (m *model) offerReturns() {
	for _, id := range m.eventIDs() {
		e := m.events[id]
		free := e.cameFree
		e.cameFree = false
		if !free || e.line == nil || e.sale != holdfast.SaleOpen {
			continue
		}
		rules := e.rules()
		for _, buyer := range e.line.waiting() {
			v := e.line.visitors[buyer]
			count := int(v.waits.Count)
			if len(m.liveHolds(e, buyer)) > 0 && !rules.ManyOpenHolds || rules.SeatsPerBuyer > 0 && m.unitsOf(e, buyer)+count > int(rules.SeatsPerBuyer) {
				continue
			}
			pick := e.pick(e.ask(holdfast.Public, e.wantOf(v.waits), nil))
			if pick.outcome != holdfast.OK {
				continue
			}
			v.waits, e.line.touched = nil, true
			e.line.offers++
			hold := holdfast.HoldID{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
			binary.BigEndian.PutUint64(hold[8:], e.line.offers)
			binary.BigEndian.PutUint32(hold[6:], uint32(e.id))
			m.makeHold(e, hold, buyer, pick.units, m.clock.Add(ms(e.lineRules().OfferMs))).offer = true
			if v.state != holdfast.PlaceAdmitted {
				v.state = holdfast.PlaceOffered
			}
		}
	}
}

// gate says whether a buyer may hold.
func (m *model) gate(e *modelEvent, buyer holdfast.BuyerID) bool {
	if !e.spec.Line.Enabled {
		return true
	}
	if e.line == nil || e.line.visitors[buyer] == nil || e.line.visitors[buyer].state != holdfast.PlaceAdmitted {
		return false
	}
	v := e.line.visitors[buyer]
	v.idle = max(v.idle, m.clock.Add(ms(e.lineRules().IdleMs)))
	return true
}

// finish is what an entry does after its commands: a line that changed is told of once.
func (m *model) finish() {
	for _, e := range m.events {
		if e.line == nil {
			continue
		}
		if e.line.touched {
			e.line.touched = false
			e.revision++
		}
	}
}

// tellLine tells the facts that go with an outcome.
func (m *model) tellLine(e *modelEvent, c command.Command, r *command.Result) {
	tellEvent := func() {
		if e != nil {
			r.Event, r.Shard, r.Version = e.id, m.shard, e.version
		}
	}
	tellPlace := func(p *command.Proof) {
		if e != nil && m.proves(e, p) {
			v := m.place(e, p)
			r.Place, r.Position, r.Served, r.Session = v.Number, v.Position, v.Served, v.Until
		}
	}
	silent := r.Outcome == holdfast.EventUnknown || r.Outcome == holdfast.LineNotOpen || r.Outcome == holdfast.PlaceUnproven
	switch c := c.(type) {
	case *command.OpenLine, *command.SetLine:
		tellEvent()
	case *command.Draw:
		tellEvent()
		if r.Outcome == holdfast.BeaconAwaited && e.line.state == holdfast.LineFrozen {
			rules := e.lineRules()
			at := rules.Beacon.RoundTimeMs(max(rules.Beacon.Round, rules.Beacon.RoundAfter(e.line.frozenMs))) + int64(rules.FallbackMs)
			r.RetryAfterMs = uint32(min(max(at-m.wallMs, 0), command.TimeMsMax))
		}
	case *command.Enter:
		if e != nil && r.Outcome == holdfast.LineNotOpen && e.spec.Line.OpensMs > m.wallMs {
			r.RetryAfterMs = uint32(min(e.spec.Line.OpensMs-m.wallMs, command.TimeMsMax))
		}
		if e != nil && r.Outcome == holdfast.OK && e.line != nil {
			for _, h := range e.line.enters {
				if h.root == c.Root && h.count == uint32(c.Count) {
					r.Place = holdfast.PlaceNumber(h.base)
				}
			}
			r.Served = e.line.served
		}
	case *command.Admit:
		if e != nil && e.line != nil && r.Outcome == holdfast.OK {
			r.Served = e.line.served
		}
	case *command.Redeem:
		if !silent {
			tellPlace(&c.Proof)
		}
	case *command.LeaveLine:
		if !silent {
			if r.Outcome == holdfast.BuyerHasHold {
				m.tellBuyer(e, c.Key.Buyer(), r)
			}
			tellPlace(&c.Proof)
		}
	case *command.JoinReturns:
		if !silent && m.proves(e, &c.Proof) {
			m.tellBuyer(e, c.Key.Buyer(), r)
			tellPlace(&c.Proof)
		}
	}
}

// place says what became of a place.
func (m *model) place(e *modelEvent, p *command.Proof) fsm.PlaceView {
	l := e.line
	out := fsm.PlaceView{Number: p.Number, Served: l.served, Drawn: l.drawn}
	v := l.visitors[p.Key.Buyer()]
	switch {
	case v != nil:
		out.Number, out.State, out.Position, out.Deferrals, out.Returns = v.number, v.state, v.position, uint8(v.deferrals), v.waits != nil
		live := m.liveHolds(e, p.Key.Buyer())
		if v.waits != nil {
			out.Rank = uint32(slices.Index(l.waiting(), p.Key.Buyer()))
		}
		switch {
		case (v.state == holdfast.PlaceAdmitted || v.state == holdfast.PlaceOffered) && len(live) > 0:
			out.Until = live[len(live)-1].deadline
		case v.state == holdfast.PlaceAdmitted:
			out.Until = min(v.ends, v.idle)
		case !l.drawn:
		case v.state == holdfast.PlaceWaiting, v.state == holdfast.PlaceDeferred, v.state == holdfast.PlaceLapsed:
			if turn, until := m.turn(e, v.position); turn != holdfast.PlaceWaiting {
				out.State, out.Until = turn, until
			}
		}
	case out.Drawn:
		out.Position = draw.Position(l.seed, l.cohort, p.Number, p.Key)
		out.State, out.Until = m.turn(e, out.Position)
	}
	if out.Drawn && out.Position > out.Served {
		out.Ahead = uint32(out.Position - out.Served)
	}
	return out
}

// lineView is what a machine must say of the line.
func (m *model) lineView(e *modelEvent) fsm.LineView {
	rules, l := e.lineRules(), e.line
	v := fsm.LineView{Ceiling: rules.CeilingMax, Rate: rules.RateMax,
		Units: e.counts(func(u holdfast.SeatIndex) bool { return e.units[u].allocation == holdfast.Public })}
	if l == nil {
		return v
	}
	v.State, v.Paused, v.OpenedMs, v.FrozenMs, v.DrawnMs = l.state, l.paused, l.openedMs, l.frozenMs, l.drawnMs
	v.Commitment, v.Fallback, v.Seed = draw.Commitment(e.id, l.secret), l.fallback, l.seed
	if l.frozen {
		v.Cohort, v.Chain = l.cohort, l.chain(e.id)
		if rules.Beacon.Kind != holdfast.BeaconNone {
			v.Round = max(rules.Beacon.Round, rules.Beacon.RoundAfter(l.frozenMs))
			v.FallbackAt = rules.Beacon.RoundTimeMs(v.Round) + int64(rules.FallbackMs)
		}
	}
	v.Issued, v.Enters, v.Served, v.Tail = l.issued, uint32(len(l.enters)), l.served, l.tail
	v.Sessions, v.Looking, v.Called, v.Returns = l.count(holdfast.PlaceAdmitted), m.looking(e), m.called(e), uint32(len(l.waiting()))
	v.Ceiling, v.Rate = e.ceiling(), e.rate()
	for s := range holdfast.PlaceState(holdfast.PlaceStates) {
		v.Counts[s] = l.count(s)
	}
	left := l.issued - uint32(len(l.visitors))
	called := min(v.Called, left)
	missed := min(max(int(min(uint32(l.served), l.issued))-len(l.visitors)-int(called), 0), int(left-called))
	v.Counts[holdfast.PlaceCalled] += called
	v.Counts[holdfast.PlaceMissed] += uint32(missed)
	v.Counts[holdfast.PlaceWaiting] += left - called - uint32(missed)
	v.Totals, v.Fresh = l.totals, m.fresh(e)
	v.Target, v.BusyPermille, v.ProviderPerMinute = l.signals.Target, l.signals.BusyPermille, l.signals.ProviderPerMinute
	v.Bound = l.signals.Bound
	v.ShowPermille, v.UnitsPerHoldMilli = uint32(l.show*1000/65536), uint32(l.units*1000/65536)
	v.PayPermille, v.SessionMeanMs = uint32(l.pays*1000/65536), uint32(l.sessionMs)
	return v
}
