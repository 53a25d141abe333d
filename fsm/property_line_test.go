package fsm_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// What the property tests draw of lines: a dozen people, times so short that turns, sessions and offers end, and
// proofs that are mostly right.

var peopleNames = []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11"}

// drawLineRules draws rules of a line, or none.
func drawLineRules(t *rapid.T) (l command.LineRules) {
	if often(t, "no line", 1, 2) {
		return l
	}
	last := int64(0)
	instant := func(what string) int64 { // never before the one that it follows
		ms := one[int64](t, what, 0, 0, 1, 700, 1500)
		if ms == 0 {
			return 0
		}
		last = max(last, storyBegins+ms)
		return last
	}
	l = command.LineRules{Enabled: true, OpensMs: instant("opens"), DrawMs: instant("draw"), SaleMs: instant("sale"),
		CeilingMax: one[uint32](t, "ceiling", 0, 1, 3, 100), RateMax: one[uint32](t, "rate", 0, 0, 1, 10),
		SessionMs: one[uint32](t, "session", 0, 1500, 60_000), IdleMs: one[uint32](t, "idle", 0, 700, 20_000),
		CallMs: one[uint32](t, "call", 0, 600, 30_000), OfferMs: one[uint32](t, "offer", 0, 900, 30_000), Who: one(t, "who", command.Anonymous, command.ByLink)}
	if often(t, "beacon", 1, 3) {
		l.Beacon = chainOf(one[uint32](t, "period", 100, 900))
		l.FallbackMs = one[uint32](t, "fallback", 0, 1, 500)
	}
	return l
}

// fast begins a line at once, so that most runs get to what comes after the draw.
func (d *driver) fast(t *rapid.T, id holdfast.EventID) {
	if !d.model.events[id].spec.Line.Enabled || often(t, "slow", 1, 4) {
		return
	}
	d.apply(t, 0, 1, func() command.Command {
		return &command.OpenLine{Header: d.header(id), Secret: holdfast.LineSecret{1}}
	})
	for range 3 {
		d.apply(t, 1000, 1, func() command.Command { return d.enter(t, id) })
		d.apply(t, 1000, 1, func() command.Command { return d.lineCommand(t, id, "draw") })
	}
}

// enter draws an Enter of some of the people.
func (d *driver) enter(t *rapid.T, id holdfast.EventID) command.Command {
	var tree []holdfast.PlaceKey
	for range between(t, "joiners", 1, 6) {
		tree = append(tree, keyOf(one(t, "joiner", peopleNames...)))
	}
	root := draw.Root(leavesOf(id, tree))
	d.model.trees[root] = tree
	return &command.Enter{Header: d.header(id), Count: uint16(len(tree)), Root: root}
}

// proof draws a proof of somebody's place, mostly one that is right.
func (d *driver) proof(t *rapid.T, id holdfast.EventID) command.Proof {
	p := command.Proof{Key: keyOf(one(t, "person", peopleNames...)), Number: holdfast.PlaceNumber(uniform(20).Draw(t, "number"))}
	e := d.model.events[id]
	if e == nil || e.line == nil {
		return p
	}
	proofs := proofsOf(d.model, e)
	if len(proofs) == 0 {
		return p
	}
	p = proofs[uniform(len(proofs)).Draw(t, "place")]
	if often(t, "wrong", 1, 20) {
		switch word(t, "wrong", "key number path") {
		case "key":
			p.Key = keyOf("nobody")
		case "number":
			p.Number++
		case "path":
			p.Path = append(slices.Clone(p.Path), [32]byte{1})
		}
	}
	return p
}

// proofsOf lists the proofs of all places.
func proofsOf(m *model, e *modelEvent) (proofs []command.Proof) {
	for _, enter := range e.line.enters {
		for i, key := range m.trees[enter.root] {
			proofs = append(proofs, command.Proof{Number: holdfast.PlaceNumber(enter.base) + holdfast.PlaceNumber(i), Key: key, Path: pathIn(e.id, m.trees[enter.root], i)})
		}
	}
	return proofs
}

// lineCommand draws a command of the line.
func (d *driver) lineCommand(t *rapid.T, id holdfast.EventID, kind string) command.Command {
	h, e := d.header(id), d.model.events[id]
	switch kind {
	case "open-line":
		return &command.OpenLine{Header: h, Secret: holdfast.LineSecret{one[byte](t, "secret", 1, 1, 1, 2)}}
	case "enter":
		return d.enter(t, id)
	case "draw":
		c := &command.Draw{Header: h}
		if rules := e.lineRules(); rules.Beacon.Kind != holdfast.BeaconNone && e.line != nil && often(t, "a round", 7, 8) {
			c.Beacon = beaconRound(rules.Beacon.RoundAfter(e.line.frozenMs) + one[uint64](t, "too many", 0, 0, 0, 1))
		}
		return c
	case "redeem":
		return &command.Redeem{Header: h, Proof: d.proof(t, id)}
	case "admit":
		return &command.Admit{Header: h, Count: one[uint32](t, "count", 0, 1, 2, 9), Target: uint32(between(t, "target", 0, 9)), BusyPermille: 300, ProviderPerMinute: 5}
	case "set-line":
		c := &command.SetLine{Header: h, Change: one(t, "change", command.LinePause, command.LineResume, command.LineResume, command.LineResume, command.LineCeiling, command.LineRate, command.LineFreeze)}
		if often(t, "over", 1, 40) {
			c.Change = command.LineClose
		}
		if c.Change == command.LineCeiling || c.Change == command.LineRate {
			c.Value = one[uint32](t, "value", 0, 1, 2, 50)
		}
		return c
	case "leave":
		return &command.LeaveLine{Header: h, Proof: d.proof(t, id)}
	case "returns":
		c := &command.JoinReturns{Header: h, Proof: d.proof(t, id), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: uint8(between(t, "count", 1, 6))}
		if often(t, "in a section", 1, 2) {
			c.Section = holdfast.SectionIndex(between(t, "section", 0, len(e.spec.Sections)))
		}
		if often(t, "of a tier", 1, 4) {
			c.Tier = drawTier(t, &e.spec)
		}
		return c
	default:
		return &command.LeaveReturns{Header: h, Buyer: keyOf(one(t, "person", peopleNames...)).Buyer()}
	}
}

// visitorOf draws a buyer for a claim: in an event with a line mostly somebody who has a session.
func (d *driver) visitorOf(t *rapid.T, e *modelEvent) holdfast.BuyerID {
	if e == nil || e.line == nil || often(t, "a stranger", 1, 20) {
		return d.buyer(t)
	}
	var admitted []holdfast.BuyerID
	for _, name := range peopleNames {
		if v := e.line.visitors[keyOf(name).Buyer()]; v != nil && v.state == holdfast.PlaceAdmitted {
			admitted = append(admitted, keyOf(name).Buyer())
		}
	}
	if len(admitted) == 0 || often(t, "anybody", 1, 10) {
		return keyOf(one(t, "person", peopleNames...)).Buyer()
	}
	return one(t, "visitor", admitted...)
}

// observeLine asks a machine everything about an event's line.
func (d *driver) observeLine(t *rapid.T, m *fsm.Machine, e *modelEvent) {
	got, ok := m.Line(e.id)
	if ok != e.spec.Line.Enabled {
		t.Fatalf("%s has a line: %t", e.id, ok)
	}
	if !ok {
		return
	}
	if want := d.model.lineView(e); got != want {
		t.Fatalf("the line of %s:\n got %+v\nwant %+v", e.id, got, want)
	}
	if e.line == nil {
		return
	}
	sum := uint32(0)
	for _, n := range got.Counts {
		sum += n
	}
	if sum != got.Issued {
		t.Fatalf("%s gave out %d places; what became of them adds up to %d", e.id, got.Issued, sum)
	}
	for _, p := range proofsOf(d.model, e) {
		place, ok := m.Place(e.id, p.Number, p.Key, p.Path)
		if want := d.model.place(e, &p); !ok || place != want {
			t.Fatalf("place %d of %s: %t\n got %+v\nwant %+v", p.Number, e.id, ok, place, want)
		}
		v := e.line.visitors[p.Key.Buyer()]
		visitor, ok := m.Visitor(e.id, p.Key.Buyer())
		if ok != (v != nil) || ok && (visitor.State != place.State || visitor.Units != uint32(d.model.unitsOf(e, p.Key.Buyer())) || visitor.Returns != (v.waits != nil) ||
			len(visitor.Holds) != len(d.model.liveHolds(e, p.Key.Buyer()))) {
			t.Fatalf("the visitor of place %d of %s: %t, %+v", p.Number, e.id, ok, visitor)
		}
	}
	d.observeRecord(t, m, e)
}

// observeRecord looks that the record of a draw proves it, and before it tells no secret.
func (d *driver) observeRecord(t *rapid.T, m *fsm.Machine, e *modelEvent) {
	cut := m.Cut()
	defer cut.Release()
	r, ok := cut.DrawRecord(e.id)
	if !ok || r.Drawn != e.line.drawn {
		t.Fatalf("%s has a record: %t, %+v", e.id, ok, r)
	}
	if !r.Drawn {
		if r.Secret != (draw.Revealed{}) || r.Seed != [32]byte{} {
			t.Fatalf("%s tells its secret before the draw", e.id)
		}
		return
	}
	if err := draw.Verify(r); err != nil {
		t.Fatalf("the record of %s: %v", e.id, err)
	}
}
