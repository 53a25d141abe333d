package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unsafe"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// TestCheckSeesEveryPlantedFaultInALine breaks one thing at a time in a line that has something of everything.
func TestCheckSeesEveryPlantedFaultInALine(t *testing.T) {
	for name, c := range map[string]struct {
		rule  string
		plant func(m *Machine, l *line, slots []uint32)
	}{
		"a place too many is counted":     {RuleLine, func(m *Machine, l *line, slots []uint32) { l.issued++ }},
		"a state is miscounted":           {RuleLine, func(m *Machine, l *line, slots []uint32) { l.counts[holdfast.PlaceLeft]++ }},
		"those who look are miscounted":   {RuleLine, func(m *Machine, l *line, slots []uint32) { l.looking++ }},
		"more came than there are places": {RuleLine, func(m *Machine, l *line, slots []uint32) { l.forgotten += 1000 }},
		"a header is another":             {RuleLine, func(m *Machine, l *line, slots []uint32) { l.headers.edit(0).Root[3]++ }},
		"a header begins elsewhere":       {RuleLine, func(m *Machine, l *line, slots []uint32) { l.headers.edit(1).Base++ }},
		"the chain is another":            {RuleLine, func(m *Machine, l *line, slots []uint32) { l.chain[0]++ }},
		"more take part than were there":  {RuleLine, func(m *Machine, l *line, slots []uint32) { l.cohort = l.issued + 1 }},
		"the secret is another":           {RuleLine, func(m *Machine, l *line, slots []uint32) { l.secret[0]++ }},
		"the commitment is another":       {RuleLine, func(m *Machine, l *line, slots []uint32) { l.commitment[0]++ }},
		"the seed is another":             {RuleLine, func(m *Machine, l *line, slots []uint32) { l.seed[0]++ }},
		"it is open, and drawn":           {RuleLine, func(m *Machine, l *line, slots []uint32) { l.state = holdfast.LineOpen }},
		"more are called than there are":  {RuleLine, func(m *Machine, l *line, slots []uint32) { l.served = l.tail + 1 }},
		"a call is forgotten":             {RuleLine, func(m *Machine, l *line, slots []uint32) { l.pace.calls = nil; l.pace.lost = 0 }},
		"a place is another's too": {RuleLine, func(m *Machine, l *line, slots []uint32) {
			m.state.buyers.edit(slots[0]).Number = m.state.buyers.at(slots[1]).Number
		}},
		"a place was never given out":        {RuleLine, func(m *Machine, l *line, slots []uint32) { m.state.buyers.edit(slots[0]).Number = 10_000 }},
		"somebody stands behind the tail":    {RuleLine, func(m *Machine, l *line, slots []uint32) { m.state.buyers.edit(slots[2]).Position = l.tail }},
		"a place is in a state without name": {RuleLine, func(m *Machine, l *line, slots []uint32) { m.state.buyers.edit(slots[2]).State = 99 }},
		"an offer has no hold": {RuleLine, func(m *Machine, l *line, slots []uint32) {
			m.state.buyers.edit(slots[2]).State = uint8(holdfast.PlaceOffered) + 1
		}},
		"a change is told to nobody":       {RuleLine, func(m *Machine, l *line, slots []uint32) { l.touched = true }},
		"a session is not waited for":      {RuleSession, func(m *Machine, l *line, slots []uint32) { m.sessions.drop(slots[0]) }},
		"a session is waited for too long": {RuleSession, func(m *Machine, l *line, slots []uint32) { m.state.buyers.edit(slots[0]).IdleEnds-- }},
		"a session is overdue":             {RuleOverdue, func(m *Machine, l *line, slots []uint32) { m.state.buyers.edit(slots[0]).IdleEnds = m.Clock() }},
		"who holds is waited for":          {RuleSession, func(m *Machine, l *line, slots []uint32) { m.sessions.add(slots[1], m.Clock()+1) }},
		"who waits has a session":          {RuleSession, func(m *Machine, l *line, slots []uint32) { m.state.buyers.edit(slots[2]).SessionEnds = 1 }},
		"the list is another":              {RuleReturns, func(m *Machine, l *line, slots []uint32) { l.returns[0], l.returns[1] = l.returns[1], l.returns[0] }},
		"somebody is not on the list":      {RuleReturns, func(m *Machine, l *line, slots []uint32) { l.returns = l.returns[:1] }},
		"somebody waits who is not waited for": {RuleReturns, func(m *Machine, l *line, slots []uint32) {
			m.state.buyers.edit(slots[0]).Returns = m.state.buyers.at(slots[2]).Returns
		}},
		"nobody is asked for a session": {RuleEvent, func(m *Machine, l *line, slots []uint32) { m.event(theEvent).lined = false }},
	} {
		t.Run(name, func(t *testing.T) {
			q, slots := aMuddledLine(t)
			c.plant(q.m, q.m.event(theEvent).line, slots)
			var rules []string
			for _, v := range q.m.Check() {
				if v.Rule == c.rule {
					return
				}
				rules = append(rules, v.String())
			}
			t.Errorf("Check does not say %q, but %q", c.rule, rules)
		})
	}
}

// aMuddledLine has somebody who looks, somebody who holds the last seats, and two who wait for them to come back, of
// whom the first's record is the third slot.
func aMuddledLine(t testing.TB) (*queue, []uint32) {
	t.Helper()
	q := newQueue(t, command.LineRules{IdleMs: 60_000, OfferMs: 5_000}, 8)
	q.must(holdfast.OK, &command.Admit{Count: 2})
	q.redeem(holdfast.OK, 0)
	q.redeem(holdfast.OK, 1)
	q.blockAllBut(1, 2)
	q.must(holdfast.OK, holdBy(lineKey(1), 1, 2))
	for _, i := range []int{3, 5} {
		q.must(holdfast.OK, &command.JoinReturns{Proof: q.proof(i), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2})
	}
	q.must(holdfast.OK, &command.LeaveLine{Proof: q.proof(7)})
	e := q.m.event(theEvent)
	return q, []uint32{q.m.findBuyer(e, lineKey(0).Buyer()), q.m.findBuyer(e, lineKey(1).Buyer()), q.m.findBuyer(e, lineKey(3).Buyer())}
}

// TestAVisitorCostsACacheLine: who waits costs nothing, who turned up one record.
func TestAVisitorCostsACacheLine(t *testing.T) {
	equal(t, "bytes of a visitor", unsafe.Sizeof(buyerRecord{}), 64)
	equal(t, "bytes of a header", unsafe.Sizeof(draw.Header{}), 40)
	q := newQueue(t, command.LineRules{}, 0)
	buyers := q.m.state.buyers.live()
	q.must(holdfast.OK, &command.Enter{Count: holdfast.EnterPlacesMax, Root: [32]byte{1}})
	equal(t, "records for 4096 people who wait", q.m.state.buyers.live()-buyers, 0)
	equal(t, "places", q.line().Issued, holdfast.EnterPlacesMax)
}

// TestAPlaceCanBeAskedForUntilADayAfterTheSale and is then forgotten, which the counters say.
func TestAPlaceCanBeAskedForUntilADayAfterTheSale(t *testing.T) {
	q, _ := aMuddledLine(t)
	q.must(holdfast.OK, &command.LeaveReturns{Buyer: lineKey(3).Buyer()})
	q.must(holdfast.OK, &command.LeaveReturns{Buyer: lineKey(5).Buyer()})
	q.wait(400_000) // holds and sessions are over
	q.must(holdfast.OK, &command.SetSale{State: holdfast.SaleClosed})
	closed := q.m.WallMs()
	at := func(wallMs int64) {
		q.index++
		q.m.Apply(q.index, command.FinishEntry(command.BeginEntry(nil), 0, wallMs, 0), &q.out)
		q.sound()
	}
	at(closed + keepMs - 1)
	equal(t, "a place just before", q.place(7).State, holdfast.PlaceLeft)
	equal(t, "another", q.place(0).State, holdfast.PlaceLapsed)
	at(closed + keepMs)
	equal(t, "records a day after", q.m.state.buyers.live(), 0)
	v := q.line()
	equal(t, "places forgotten", v.Counts[holdfast.PlaceForgotten], 5)
	sum := uint32(0)
	for _, n := range v.Counts {
		sum += n
	}
	equal(t, "places", sum, v.Issued)
}

// TestTheSecretIsInNoViewBeforeTheDraw looks for its bytes in everything that can be asked.
func TestTheSecretIsInNoViewBeforeTheDraw(t *testing.T) {
	secret := holdfast.LineSecret{}
	copy(secret[:], "a very secret secret, thirty-two")
	q := &queue{shard: newSale(t)}
	spec := hall()
	spec.Line.Enabled = true
	q.must(holdfast.OK, &command.PutEvent{Expect: 1, Spec: spec})
	r := q.must(holdfast.OK, &command.OpenLine{Secret: secret})
	q.join(3)
	cut := q.m.Cut()
	defer cut.Release()
	record, _ := cut.DrawRecord(theEvent)
	view, _ := q.m.Event(theEvent)
	place := q.place(1)
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	line := q.line()
	told := fmt.Sprintf("%s %v %x %+v %x %+v %v %+v %+v", text, r, q.out.Results, line, line.Seed, view, record.Headers, place, q.m.Changes())
	for _, form := range []string{string(secret[:8]), fmt.Sprintf("%x", secret[:8]), fmt.Sprint(secret[:8])[1:]} {
		if bytes.Contains([]byte(told), []byte(form)) {
			t.Errorf("the secret shows as %q in %s", form, told)
		}
	}
	q.must(holdfast.OK, &command.Draw{})
	after := q.m.Cut()
	defer after.Release()
	if record, _ = after.DrawRecord(theEvent); draw.Commitment(theEvent, holdfast.LineSecret(record.Secret)) != q.line().Commitment {
		t.Error("the record of the draw does not reveal it")
	}
}

// TestALineSurvivesASnapshot with everything that is in it, and goes on as the one that was not saved.
func TestALineSurvivesASnapshot(t *testing.T) {
	q, _ := aMuddledLine(t)
	m := restored(t, snapshot(t, q.m))
	if !bytes.Equal(snapshot(t, m), snapshot(t, q.m)) {
		t.Fatal("it is written otherwise")
	}
	for _, v := range m.Check() {
		t.Error(v)
	}
	for range 800 { // the hold lapses, its seats are offered twice, the session ends
		q.entry(500)
		m.Apply(q.index, q.packed, &command.Output{})
	}
	if !bytes.Equal(snapshot(t, m), snapshot(t, q.m)) {
		t.Error("it went on otherwise")
	}
	equal(t, "what became of the first who was offered the seats", q.place(3).State, holdfast.PlaceLapsed)
	equal(t, "what became of who idled", q.place(0).State, holdfast.PlaceLapsed)
}

// TestACutOfALineStands while the line goes on.
func TestACutOfALineStands(t *testing.T) {
	q, _ := aMuddledLine(t)
	cut := q.m.Cut()
	defer cut.Release()
	before := cut.Digest()
	q.join(100)
	q.must(holdfast.OK, &command.Admit{Count: 50})
	q.redeem(holdfast.OK, 0)
	q.wait(100_000)
	if cut.Digest() != before {
		t.Error("a cut changed")
	}
}

// TestAnOfferIsNoCommandsHold: whoever guesses the id of the next offer cannot take it first.
func TestAnOfferIsNoCommandsHold(t *testing.T) {
	q, _ := aMuddledLine(t)
	next := offerID(theEvent, q.m.event(theEvent).line.offers+1)
	guess := holdBy(lineKey(0), 3)
	guess.ID = holdfast.CommandID(next)
	q.must(holdfast.CommandTooFar, guess)
	q.wait(301_000)
	if h, ok := q.m.Hold(next); !ok || h.Buyer != lineKey(3).Buyer() {
		t.Errorf("the offer is %+v: %t", h, ok)
	}
}

// TestASaleAndALineGoByTheWallClockAlone: nothing is sent, and yet it opens, freezes, and sells in time.
func TestASaleAndALineGoByTheWallClockAlone(t *testing.T) {
	s := newShard(t)
	spec := hall()
	spec.Line = command.LineRules{Enabled: true, OpensMs: 20_000, DrawMs: 30_000, SaleMs: 40_000}
	s.must(holdfast.OK, &command.PutEvent{Spec: spec}) // each entry is a second later on the wall clock
	equal(t, "the next instant", s.m.WakeMs(), 40_000)
	s.must(holdfast.OK, &command.OpenLine{Secret: holdfast.LineSecret{1}})
	equal(t, "the next instant", s.m.WakeMs(), 20_000)
	for s.m.WallMs() < 45_000 {
		at := s.m.WallMs()
		line, _ := s.m.Line(theEvent)
		view, _ := s.m.Event(theEvent)
		want := holdfast.LineClosed
		if at >= 20_000 {
			want = holdfast.LineOpen
		}
		if at >= 30_000 {
			want = holdfast.LineFrozen
			equal(t, "when it was frozen", line.FrozenMs, 30_000)
		}
		equal(t, fmt.Sprint("the line at ", at), line.State, want)
		equal(t, fmt.Sprint("the sale at ", at), view.Sale == holdfast.SaleOpen, at >= 40_000)
		s.entry(0)
	}
	equal(t, "what is still to come", s.m.WakeMs(), 0)
}

// TestAPausedLineCostsNobodyTheTurn, nor a session.
func TestAPausedLineCostsNobodyTheTurn(t *testing.T) {
	q := newQueue(t, command.LineRules{CallMs: 10_000, IdleMs: 10_000, SessionMs: 20_000}, 5)
	q.must(holdfast.OK, &command.Admit{Count: 2})
	q.redeem(holdfast.OK, 0)
	q.wait(5_000)
	q.must(holdfast.OK, &command.SetSale{State: holdfast.SalePaused})
	q.wait(100_000)
	equal(t, "who has a session", q.place(0).State, holdfast.PlaceAdmitted)
	equal(t, "who was called", q.place(1).State, holdfast.PlaceCalled)
	q.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	q.must(holdfast.OK, holdBy(lineKey(0), 1))
	q.wait(4_000)
	q.redeem(holdfast.OK, 1)
}

// TestNobodyIsCalledWhenNothingIsLeft: sold out is sold out the first time.
func TestNobodyIsCalledWhenNothingIsLeft(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 20)
	q.blockAllBut(1, 2)
	q.must(holdfast.OK, &command.Admit{Count: 20})
	equal(t, "called for two seats, of which one takes two", q.line().Served, 1)
	q.redeem(holdfast.OK, 0)
	q.must(holdfast.OK, holdBy(lineKey(0), 1, 2))
	q.must(holdfast.OK, &command.Admit{Count: 20})
	equal(t, "called while all seats are in others' hands", q.line().Served, 1)
	q.wait(301_000) // the hold lapses: two seats are free, and nobody looks
	q.must(holdfast.OK, &command.Admit{Count: 0})
	equal(t, "called though the leader asked for none", q.line().Served, 2)
}

func BenchmarkApplyRedeem(b *testing.B) {
	const people = 1000
	var keys []holdfast.PlaceKey
	var leaves []draw.Hash
	for i := range people {
		keys = append(keys, lineKey(i))
		leaves = append(leaves, draw.Leaf(theEvent, keys[i]))
	}
	var entry []byte
	for b.Loop() {
		b.StopTimer()
		s := newSale(b, func(spec *command.EventSpec) {
			spec.Line = command.LineRules{Enabled: true, CeilingMax: command.CeilingMax}
			spec.Sections[2].Places = 100_000
		})
		s.must(holdfast.OK, &command.OpenLine{Secret: holdfast.LineSecret{1}})
		s.must(holdfast.OK, &command.Draw{})
		s.must(holdfast.OK, &command.Enter{Count: people, Root: draw.Root(leaves)})
		s.must(holdfast.OK, &command.Admit{Count: people})
		entry = command.BeginEntry(entry)
		for i := range people {
			c := &command.Redeem{Header: command.Header{ID: s.newID(1000), Event: theEvent}, Proof: command.Proof{Number: holdfast.PlaceNumber(i), Key: keys[i], Path: draw.Path(leaves, i)}}
			entry = c.Append(entry)
		}
		entry = command.FinishEntry(entry, 0, 0, people)
		b.StartTimer()
		s.m.Apply(s.index+1, entry, &command.Output{})
		b.StopTimer()
		if v, _ := s.m.Line(theEvent); v.Sessions != people {
			b.Fatalf("%+v", v)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/people, "ns/command")
}

// TestALineThatContradictsItselfIsRefusedOrStops changes every byte of the parts that a line is in, under checksums
// that are right: what is restored nevertheless may stop at an assertion, and must not run into anything else.
func TestALineThatContradictsItselfIsRefusedOrStops(t *testing.T) {
	q, _ := aMuddledLine(t)
	whole := snapshot(t, q.m)
	for part, frame := range framesOf(whole) {
		if part == 0 || frame[0] != partLine && frame[0] != partReturns && frame[0] != partBuyers {
			continue
		}
		for at := frameHeadBytes; at < len(frame)-frameSumBytes; at++ {
			for _, x := range []byte{1, 0x80, 0xFF} {
				frames := framesOf(bytes.Clone(whole))
				frames[part][at] ^= x
				tryToRestore(t, withSums(frames))
			}
		}
	}
}
