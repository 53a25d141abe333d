package fsm

import (
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// The rules of Check that concern lines.
const (
	RuleLine    = "I9 fair line"                // a line's order is what its headers and secret give, and its places add up
	RuleSession = "sessions equal records"      // who has a session and no hold is waited for, and nobody else is
	RuleReturns = "waiting list equals records" // who waits for returns is on the list once, in the order of the line
)

// checkLines looks at every line, and at the place of every buyer.
func (c *checker) checkLines() {
	tallies := make([]lineTally, len(c.state.events))
	for i := range tallies {
		tallies[i].numbers = map[holdfast.PlaceNumber]bool{}
	}
	for slot, b := range c.state.buyers.all() {
		if int(b.Event) < len(tallies) {
			c.checkPlace(slot, b, &tallies[b.Event])
		}
	}
	waiting := 0
	for i, e := range c.state.events {
		c.require(e.lined == e.spec.Line.Enabled, RuleEvent, "%s asks for a session: %t", e.id, e.lined)
		if e.line == nil {
			continue
		}
		c.checkOrder(e)
		l, t := e.line, &tallies[i]
		c.require(l.counts == t.counts && l.looking == t.looking, RuleLine, "%s counts places %v and %d who look, recounted %v and %d", e.id, l.counts, l.looking, t.counts, t.looking)
		known := l.forgotten
		for _, n := range l.counts {
			known += n
		}
		c.require(known <= l.issued, RuleLine, "%s gave out %d places, and of %d something is known", e.id, l.issued, known)
		sum := uint32(0)
		for _, n := range l.outcomes(l.calledNotCome(c.state.clock, e.lineRules().CallMs)) {
			sum += n
		}
		c.require(sum == l.issued, RuleLine, "%s gave out %d places, what became of them adds up to %d", e.id, l.issued, sum)
		c.require(!l.touched && !l.returned, RuleLine, "%s has a change that nobody was told of", e.id)
		c.checkReturns(e)
		waiting += len(l.returns)
	}
	c.require(waiting == c.state.returns.live(), RuleReturns, "%d wait for returns, on lists are %d", c.state.returns.live(), waiting)
	looking := uint32(0)
	for i := range tallies {
		looking += tallies[i].looking
	}
	c.require(c.sessions.len() == int(looking), RuleSession, "%d sessions without a hold, %d waited for", looking, c.sessions.len())
}

// lineTally is a recount of the records of one event.
type lineTally struct {
	counts  [holdfast.PlaceStates]uint32
	looking uint32
	numbers map[holdfast.PlaceNumber]bool
}

// checkPlace looks at the place of one buyer.
func (c *checker) checkPlace(slot uint32, b *buyerRecord, t *lineTally) {
	e := c.state.events[b.Event]
	state, ok := b.place()
	if !ok {
		c.require(b.Returns == 0 && b.SessionEnds == 0 && b.IdleEnds == 0, RuleLine, "%s has no place, and a session or a wait", b.ID)
		return
	}
	if e.line == nil || state >= holdfast.PlaceForgotten {
		c.require(false, RuleLine, "%s is %s in a line that there is not", b.ID, state)
		return
	}
	t.counts[state]++
	c.require(uint32(b.Number) < e.line.issued && !t.numbers[b.Number], RuleLine, "%s has place %d of %d, or another has it too", b.ID, b.Number, e.line.issued)
	t.numbers[b.Number] = true
	c.require(b.Position < max(e.line.tail, 1), RuleLine, "%s stands at %d, and the line ends at %d", b.ID, b.Position, e.line.tail)
	looks := state == holdfast.PlaceAdmitted && b.Newest == 0
	if looks {
		t.looking++
		c.require(b.sessionDue() > c.state.clock, RuleOverdue, "the session of %s was over at %d, and it is %d", b.ID, b.sessionDue(), c.state.clock)
	}
	c.require(c.sessions.waits(slot) == looks && (!looks || c.sessions.until(slot) <= b.sessionDue()), RuleSession, "the session of %s, %s, ends at %d, and is not so waited for", b.ID, state, b.sessionDue())
	c.require(state == holdfast.PlaceAdmitted || b.SessionEnds == 0 && b.IdleEnds == 0, RuleSession, "%s is %s and has a session", b.ID, state)
	c.require(state != holdfast.PlaceOffered || b.Newest != 0, RuleLine, "%s was offered what is not there", b.ID)
	c.require(b.Returns == 0 || c.state.returns.holds(b.Returns) && c.state.returns.at(b.Returns).Buyer == slot, RuleReturns, "%s waits in slot %d, which is another's", b.ID, b.Returns)
}

// checkOrder draws a line's order again.
func (c *checker) checkOrder(e *event) {
	l := e.line
	issued, chain := uint32(0), draw.Start(e.id)
	for i := range uint32(l.headers.len()) {
		h := l.headers.at(i)
		c.require(uint32(h.Base) == issued && h.Count > 0, RuleLine, "%s: header %d has %d places from %d, expected from %d", e.id, i, h.Count, h.Base, issued)
		if !l.frozen || issued < l.cohort {
			chain = draw.Extend(chain, h)
		}
		issued += h.Count
	}
	c.require(issued == l.issued && l.headers.len() <= holdfast.EntersMax, RuleLine, "%s gave out %d places, in its %d headers are %d", e.id, l.issued, l.headers.len(), issued)
	c.require(chain == l.chain && l.cohort <= issued, RuleLine, "%s: another chain follows from the headers of the %d who take part", e.id, l.cohort)
	c.require(l.commitment == draw.Commitment(e.id, l.secret), RuleLine, "%s did not commit to its secret", e.id)
	if l.drawn {
		c.require(l.seed == draw.Seed(l.secret, l.chain, l.cohort, l.roundUsed()), RuleLine, "%s was drawn from another seed", e.id)
	}
	drawn := l.drawn
	c.require((l.state != holdfast.LineDrawn || drawn) && (l.state >= holdfast.LineDrawn || !drawn) && (l.state <= holdfast.LineOpen) == !l.frozen || l.state == holdfast.LineOver,
		RuleLine, "%s has a line that is %s, frozen at %d, drawn at %d", e.id, l.state, l.frozenMs, l.drawnMs)
	c.require(l.served <= l.tail && uint32(l.tail) >= l.issued && (drawn || l.served == 0), RuleLine, "%s has called %d of %d positions, for %d places", e.id, l.served, l.tail, l.issued)
	before := l.pace.lost
	for i, call := range l.pace.calls {
		c.require(call.before > before, RuleLine, "%s: call %d is of the positions before %d, after %d", e.id, i, call.before, before)
		before = call.before
	}
	c.require(before == l.served && len(l.pace.calls) <= callsMax, RuleLine, "%s has called %d, its last call was of %d", e.id, l.served, before)
}

// checkReturns looks that an event's list is that of its records.
func (c *checker) checkReturns(e *event) {
	var want []uint32
	for slot, r := range c.state.returns.all() {
		if r.Event == e.place {
			want = append(want, slot)
			c.require(c.state.buyers.holds(r.Buyer) && c.state.buyers.at(r.Buyer).Returns == slot, RuleReturns, "%s: slot %d waits for a buyer who does not", e.id, slot)
		}
	}
	slices.SortFunc(want, c.byRank)
	c.require(slices.Equal(want, e.line.returns), RuleReturns, "%s: the list is %v, the records say %v", e.id, e.line.returns, want)
}
