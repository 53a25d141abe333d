package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// LineView is an event's line as of one index. What it counts of people who were called and have not come is an
// estimate: the shard knows who came, and how many places there are, but not who stands where.
type LineView struct {
	State  holdfast.LineState
	Paused bool

	Commitment [32]byte
	OpenedMs   int64 // wall clock: of the commitment, the freeze and the draw; 0: not yet
	FrozenMs   int64
	DrawnMs    int64
	Cohort     uint32   // places that take part in the draw; once it is frozen
	Chain      [32]byte // over their headers
	Round      uint64   // of the beacon, that the draw waits for or was made from; 0: none
	FallbackAt int64    // wall clock: from when on the draw is made without that round; 0: it is not
	Fallback   bool     // it was
	Seed       [32]byte // zero until it is drawn

	Issued uint32                       // places
	Enters uint32                       // Enter commands, of EntersMax
	Served holdfast.Position            // who stands before it has been called
	Tail   holdfast.Position            // nobody stands at or behind it
	Counts [holdfast.PlaceStates]uint32 // places by what became of them; their sum is Issued

	Sessions uint32 // live
	Looking  uint32 // of them without a hold
	Called   uint32 // called, and it is still their turn, and they have not come
	Ceiling  uint32 // sessions at a time
	Rate     uint32 // called in a second at most; 0: no limit

	Units   Counts // of the public allocation
	Returns uint32 // on the list for seats that come back

	Totals LineTotals
	Fresh  uint32 // of the called, those who were called in the last part of a turn in which people come

	// What the leader steers by: its own numbers as it left them, and averages of what happened lately.
	Target            uint32
	BusyPermille      uint16
	ProviderPerMinute uint32
	Bound             holdfast.Bound
	ShowPermille      uint32 // of the positions called, how many came
	UnitsPerHoldMilli uint32
	PayPermille       uint32 // of the holds, how many were sold
	SessionMeanMs     uint32 // how long a session lasts
}

// LinedEvent is an event whose description has a line.
type LinedEvent struct {
	ID    holdfast.EventID
	Sale  holdfast.SaleState
	Rules command.LineRules // with the defaults filled in
	Line  LineView
}

// Lined gives the events whose description has a line, in the order in which they were put.
func (m *Machine) Lined() (all []LinedEvent) {
	for _, e := range m.state.events {
		if e.spec.Line.Enabled {
			all = append(all, LinedEvent{ID: e.id, Sale: e.sale, Rules: e.lineRules(), Line: e.lineView(m.state.clock)})
		}
	}
	return all
}

// PlaceView is what became of one place.
type PlaceView struct {
	Number    holdfast.PlaceNumber
	State     holdfast.PlaceState
	Drawn     bool              // Position and Ahead say something
	Position  holdfast.Position // where it stands
	Served    holdfast.Position // how far the line has come
	Ahead     uint32            // positions between
	Until     holdfast.Clock    // when the turn, the session or the offer ends; 0: nothing ends
	Deferrals uint8             // turns missed
	Returns   bool              // it is on the list for seats that come back
	Rank      uint32            // and so many stand before it there
}

// VisitorView is a buyer of an event as the line sees one.
type VisitorView struct {
	Buyer    holdfast.BuyerID
	Number   holdfast.PlaceNumber
	State    holdfast.PlaceState
	Position holdfast.Position
	Session  holdfast.Clock    // when it ends unless something is done; 0: there is none, or a hold keeps it
	Latest   holdfast.Clock    // when it ends whatever is done, unless a hold keeps it
	Holds    []holdfast.HoldID // not sold, the newest first
	Units    uint32            // held, in payment and sold
	Returns  bool
}

// Line gives an event's line. There is one for every event whose description has one, in the state LineClosed until it
// is opened.
func (m *Machine) Line(id holdfast.EventID) (LineView, bool) {
	e := m.event(id)
	if e == nil || !e.spec.Line.Enabled {
		return LineView{}, false
	}
	return e.lineView(m.state.clock), true
}

func (e *event) lineView(clock holdfast.Clock) LineView {
	rules, l := e.lineRules(), e.line
	v := LineView{Units: e.units.byAllocation()[holdfast.Public], Ceiling: rules.CeilingMax, Rate: rules.RateMax}
	if l == nil {
		return v
	}
	v.State, v.Paused = l.state, l.paused
	v.Commitment, v.OpenedMs, v.FrozenMs, v.DrawnMs = l.commitment, l.openedMs, l.frozenMs, l.drawnMs
	if l.frozen {
		v.Cohort, v.Chain = l.cohort, l.chain
		if v.Round = draw.RoundFor(&rules.Beacon, l.frozenMs); v.Round != 0 {
			v.FallbackAt = rules.Beacon.RoundTimeMs(v.Round) + int64(rules.FallbackMs)
		}
	}
	v.Fallback, v.Seed = l.fallback, l.seed
	v.Issued, v.Enters, v.Served, v.Tail = l.issued, uint32(l.headers.len()), l.served, l.tail
	v.Sessions, v.Looking, v.Called = l.counts[holdfast.PlaceAdmitted], l.looking, l.calledNotCome(clock, rules.CallMs)
	v.Counts = l.outcomes(v.Called)
	v.Ceiling, v.Rate = l.limits(&rules)
	v.Returns = uint32(len(l.returns))
	p := &l.pace
	v.Totals, v.Fresh = p.totals, l.fresh(clock, rules.CallMs)
	v.Target, v.BusyPermille, v.ProviderPerMinute = p.target, p.busyPermille, p.providerPerMinute
	v.Bound = p.bound
	v.ShowPermille, v.UnitsPerHoldMilli, v.PayPermille, v.SessionMeanMs = p.show.of(1000), p.units.of(1000), p.pays.of(1000), p.sessionMs
	return v
}

// outcomes counts the places by what became of them. Those without a record are waiting, called or missed: how many
// of each is an estimate from the positions, but together they are all that are left.
func (l *line) outcomes(called uint32) (counts [holdfast.PlaceStates]uint32) {
	counts = l.counts
	known := l.forgotten
	for _, n := range counts {
		known += n
	}
	counts[holdfast.PlaceForgotten] += l.forgotten
	left := l.issued - known
	called = min(called, left)
	passed := min(uint32(l.served), l.issued)
	missed := min(passed-min(passed, known+called), left-called)
	counts[holdfast.PlaceCalled] += called
	counts[holdfast.PlaceMissed] += missed
	counts[holdfast.PlaceWaiting] += left - called - missed
	return counts
}

// Place says what became of a place, to who can prove it.
func (m *Machine) Place(id holdfast.EventID, number holdfast.PlaceNumber, key holdfast.PlaceKey, path [][32]byte) (PlaceView, bool) {
	e := m.event(id)
	if e == nil || !e.proves(&command.Proof{Number: number, Key: key, Path: path}) {
		return PlaceView{}, false
	}
	l := e.line
	v := PlaceView{Number: number, Served: l.served, Drawn: l.drawn}
	slot := m.findBuyer(e, key.Buyer())
	if state, ok := m.placeOf(slot); ok {
		b := m.state.buyers.at(slot)
		v.Number, v.Position, v.Deferrals = b.Number, b.Position, b.Deferrals
		v.State, v.Until = m.stateNow(e, b, state)
		v.Returns = b.Returns != 0
		v.Rank = l.rankOf(m, b.Returns)
	} else if v.Drawn {
		v.Position = l.position(number, key)
		v.State, v.Until = l.turnOf(v.Position, m.state.clock, e.lineRules().CallMs)
	}
	if v.Drawn && v.Position > v.Served {
		v.Ahead = uint32(v.Position - v.Served)
	}
	return v, true
}

// Visitor gives a buyer of an event who has turned up in its line.
func (m *Machine) Visitor(id holdfast.EventID, buyer holdfast.BuyerID) (VisitorView, bool) {
	e := m.event(id)
	if e == nil {
		return VisitorView{}, false
	}
	slot := m.findBuyer(e, buyer)
	state, ok := m.placeOf(slot)
	if !ok {
		return VisitorView{}, false
	}
	b := m.state.buyers.at(slot)
	v := VisitorView{Buyer: buyer, Number: b.Number, Position: b.Position, Units: b.Units, Returns: b.Returns != 0}
	v.State, v.Session = m.stateNow(e, b, state)
	if v.State != holdfast.PlaceAdmitted {
		v.Session = 0
	} else {
		v.Latest = b.SessionEnds
	}
	for hold := b.Newest; hold != 0; hold = m.state.holds.at(hold).Older {
		v.Holds = append(v.Holds, m.state.holds.at(hold).ID)
	}
	return v, true
}

// WakeMs is the next instant of the wall clock, in Unix milliseconds, at which a line opens or freezes, or a sale opens,
// by itself: the leader is to write an entry then. 0: none.
func (m *Machine) WakeMs() int64 { return m.wakeMs }

// DrawRecord gives everything public about the draw of an event's line: before the draw, what is public by then.
func (c *Cut) DrawRecord(id holdfast.EventID) (*draw.Record, bool) {
	for _, e := range c.state.events {
		if e.id == id && e.line != nil {
			return e.drawRecord(), true
		}
	}
	return nil, false
}

func (e *event) drawRecord() *draw.Record {
	rules, l := e.lineRules(), e.line
	r := &draw.Record{Format: draw.Format, Event: e.id, Commitment: l.commitment, DrawMs: rules.DrawMs, Beacon: rules.Beacon, OpenedMs: l.openedMs}
	if rules.Beacon.Kind != holdfast.BeaconNone {
		r.FallbackMs = rules.FallbackMs
	}
	if !l.frozen {
		return r
	}
	r.FrozenMs, r.Cohort, r.Chain = l.frozenMs, l.cohort, l.chain
	for i := range uint32(l.headers.len()) {
		if h := l.headers.at(i); uint32(h.Base) < l.cohort {
			r.Headers = append(r.Headers, *h)
		}
	}
	if l.drawn {
		r.Drawn, r.DrawnMs, r.Secret, r.Round, r.Fallback, r.Seed = true, l.drawnMs, draw.Revealed(l.secret), l.roundUsed(), l.fallback, l.seed
	}
	return r
}
