package node

import (
	"crypto/rand"
	"math"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node/admission"
)

// What a shard's leader does for the waiting lines of its events, once a second: it commits to the secret before a line
// opens, draws the order when it is frozen, and calls as many people as the law of package admission says. That lines
// open and freeze, and that sales open, at their instant is the machine's own doing: an entry wakes it.

const (
	// committedBefore is how long before its opening a line's secret is committed to. From then on its times and its
	// beacon cannot be changed.
	committedBefore = time.Minute
	// commandCost is what one more command of an entry costs a shard: see docs/performance.md.
	commandCost = 2 * time.Microsecond
)

// The machine and the law mean the same by those who were called lately.
const (
	_ = uint(fsm.ComingPart - admission.FreshPart)
	_ = uint(admission.FreshPart - fsm.ComingPart)
)

// lines is what the duty remembers. It is void with the reign: the next leader takes up from the state.
type lines struct {
	gauge   admission.Gauge
	read    time.Duration // Monotonic: of the last reading; 0: none
	paces   map[holdfast.EventID]*admission.Memory
	pending chan struct{} // closed when the commands of the last round are answered; nil: there are none
}

// keepLines is the duty. It proposes and does not wait: while the last round is not answered there is nothing new to say.
func (g *group) keepLines(now time.Duration) {
	if g.shard == holdfast.Directory {
		return
	}
	var lined []fsm.LinedEvent
	var clock holdfast.Clock
	if _, err := g.applier.view(func(m machine) { lined, clock = m.(inventory).Lined(), m.Clock() }); err != nil || len(lined) == 0 {
		return
	}
	l := &g.duties.lines
	if l.pending != nil {
		select {
		case <-l.pending:
			l.pending = nil
		default:
			return
		}
	}
	elapsed := now - l.read
	if l.read == 0 {
		elapsed, l.gauge.Command = time.Second, commandCost
	}
	l.read = max(now, 1)
	commands, turnaround := g.proposer.measure()
	busy, selling := l.gauge.Read(elapsed, commands, turnaround), 0
	for i := range lined {
		if calls(&lined[i]) {
			selling++
		}
	}
	var packed []byte
	count := 0
	for i := range lined {
		if c := g.keepLine(&lined[i], elapsed, busy, selling); c != nil {
			c.Head().ID, c.Head().Event = newID(clock), lined[i].ID
			packed, count = c.Append(packed), count+1
		}
		if count == holdfast.BatchCommandsMax {
			break
		}
	}
	if count > 0 {
		g.tellLines(packed, count)
	}
}

// keepLine says what is to be done for one line now; nil: nothing.
func (g *group) keepLine(e *fsm.LinedEvent, elapsed time.Duration, busy float64, selling int) command.Command {
	wallMs, line := g.clock.Now().UnixMilli(), &e.Line
	switch {
	case e.Sale == holdfast.SaleClosed || line.State == holdfast.LineOver:
		delete(g.duties.lines.paces, e.ID)
		return nil
	case line.Commitment == [32]byte{}:
		if e.Rules.OpensMs == 0 || wallMs < e.Rules.OpensMs-committedBefore.Milliseconds() {
			return nil
		}
		c := &command.OpenLine{}
		rand.Read(c.Secret[:])
		return c
	case line.State == holdfast.LineFrozen:
		// With a beacon a frontend brings the round; the leader draws without it when that was too long in coming.
		if e.Rules.Beacon.Kind != holdfast.BeaconNone && wallMs < line.FallbackAt {
			return nil
		}
		return &command.Draw{}
	case !calls(e):
		return nil
	}
	return g.pace(e, elapsed, busy, selling)
}

// calls reports whether people are called from a line, if there are any.
func calls(e *fsm.LinedEvent) bool {
	return e.Line.State == holdfast.LineDrawn && e.Sale == holdfast.SaleOpen
}

// pace takes a step of the law.
func (g *group) pace(e *fsm.LinedEvent, elapsed time.Duration, busy float64, selling int) command.Command {
	l := &g.duties.lines
	facts := factsOf(e)
	facts.Busy, facts.Orders = busy, g.orders/float64(selling) // the provider's capacity is shared evenly
	m := l.paces[e.ID]
	if m == nil {
		resumed := admission.Resume(facts, admission.Left{Target: float64(e.Line.Target), Busy: float64(e.Line.BusyPermille) / 1000,
			Session: time.Duration(e.Line.SessionMeanMs) * time.Millisecond})
		m = &resumed
		if l.paces == nil {
			l.paces = map[holdfast.EventID]*admission.Memory{}
		}
		l.paces[e.ID] = m
	}
	count, why := m.Step(facts, elapsed)
	if facts.Waiting == 0 || facts.Paused {
		return nil
	}
	g.log.Debug("people are called", "shard", uint32(g.shard), "event", e.ID.String(), "count", count, "bound", why.String(), "busy", busy,
		"target", m.Target, "looking", facts.Looking, "active", facts.Active, "waiting", facts.Waiting)
	return &command.Admit{Count: uint32(count), Target: uint32(math.Round(m.Target)), BusyPermille: uint16(math.Round(1000 * m.Busy)),
		ProviderPerMinute: uint32(math.Round(60 * facts.Orders)), Bound: why}
}

// factsOf is a line as the law sees it.
func factsOf(e *fsm.LinedEvent) admission.Facts {
	v := &e.Line
	f := admission.Facts{
		Waiting: int(v.Tail - min(v.Tail, v.Served)), Called: int(v.Called), Active: int(v.Sessions), Looking: int(v.Looking),
		Free: int(v.Units[holdfast.Free]), CalledTotal: uint64(v.Served), CameTotal: v.Totals.Came, ComingMs: v.Totals.ComingMs,
		HeldTotal: v.Totals.Held, UnitsTotal: v.Totals.Units, SoldTotal: v.Totals.Sold,
		Ceiling: int(v.Ceiling), RateMax: float64(v.Rate), Window: time.Duration(e.Rules.CallMs) * time.Millisecond,
		Paused: v.Paused, Fresh: int(v.Fresh),
	}
	for _, n := range v.Units {
		f.Capacity += int(n)
	}
	return f
}

// tellLines proposes what a round came to.
func (g *group) tellLines(packed []byte, count int) {
	answered := make(chan struct{})
	err := g.submit(Batch{Shard: g.shard, Commands: packed, Count: count, Done: func(r Reply) {
		defer close(answered)
		g.noteLines(r)
	}})
	if err != nil {
		g.log.Warn("the waiting lines were not looked after", "shard", uint32(g.shard), "error", err)
		return
	}
	g.duties.lines.pending = answered
}

// noteLines logs what was refused. Refusals that only say that somebody was quicker, or that the state has moved on,
// are no news.
func (g *group) noteLines(r Reply) {
	if r.Err != nil {
		return // the next round, or the next leader, does it
	}
	for rest := r.Results; len(rest) > 0; {
		var result command.Result
		var err error
		if rest, err = command.DecodeResult(rest, &result); err != nil {
			g.log.Error("an answer about a waiting line cannot be read", "shard", uint32(g.shard), "error", err)
			return
		}
		switch result.Outcome {
		case holdfast.OK, holdfast.LineConflict, holdfast.LinePaused, holdfast.LineEnded, holdfast.EventPaused, holdfast.EventClosed, holdfast.BeaconAwaited:
		default:
			g.log.Warn("a waiting line could not be looked after", "shard", uint32(g.shard), "outcome", result.Outcome.String())
		}
	}
}

// newID makes the id of a command of the leader's own.
func newID(clock holdfast.Clock) holdfast.CommandID {
	var random [10]byte
	rand.Read(random[:])
	return holdfast.NewCommandID(clock.Add(assignedValidity), random)
}
