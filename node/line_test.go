package node_test

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
	"github.com/holdfast-db/holdfast/node"
)

// crowd is people in the line of an event, who come when they are called, hold two places after a while, and buy them.
type crowd struct {
	*cluster
	t      *testing.T
	event  holdfast.EventID
	shard  holdfast.ShardID
	people []person
	called []sample
}

// sample is how far the line had come at an instant.
type sample struct {
	at     time.Time
	served int
}

type person struct {
	number holdfast.PlaceNumber
	key    holdfast.PlaceKey
	path   [][32]byte
	shows  bool

	at   holdfast.Position
	step int       // what was done: 1 came, 2 bought
	next time.Time // when to do the next
}

// lineLook is how long somebody looks for seats.
const lineLook = 5 * time.Second

// newCrowd makes an event with a line whose times are so long from now.
func newCrowd(t *testing.T, c *cluster, places uint32, rules command.LineRules, opens, draws, sale time.Duration) *crowd {
	t.Helper()
	at := func(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }
	rules.Enabled, rules.OpensMs, rules.DrawMs, rules.SaleMs = true, at(opens), at(draws), at(sale)
	assign := &command.AssignEvent{Spec: command.EventSpec{
		Name: "one", Title: "one", Currency: "eur", Tiers: []command.Tier{{Name: "all", PriceMinor: 5000}},
		Sections: []command.Section{{Name: "floor", Places: places}}, Line: rules,
	}}
	assign.ID = c.id(holdfast.Directory)
	r, _ := c.do(holdfast.Directory, assign)
	cr := &crowd{cluster: c, t: t, event: r[0].Event, shard: r[0].Shard}
	c.await("the event exists", func() bool { _, ok := cr.line(); return ok })
	return cr
}

// line is the line as the leader has it.
func (c *crowd) line() (v fsm.LineView, ok bool) {
	if i := c.leader(c.shard); i >= 0 {
		_, _ = c.nodes[i].Read(c.t.Context(), c.shard, true, func(m *fsm.Machine) { v, ok = m.Line(c.event) })
	}
	return v, ok
}

func (c *crowd) sale() (s holdfast.SaleState) {
	if i := c.leader(c.shard); i >= 0 {
		_, _ = c.nodes[i].Read(c.t.Context(), c.shard, true, func(m *fsm.Machine) { e, _ := m.Event(c.event); s = e.Sale })
	}
	return s
}

func (c *crowd) one(cmd command.Command) command.Result {
	c.t.Helper()
	cmd.Head().ID, cmd.Head().Event = c.id(c.shard), c.event
	r, _ := c.do(c.shard, cmd)
	return r[0]
}

// join puts so many people into the line.
func (c *crowd) join(count int) {
	c.t.Helper()
	from := len(c.people)
	leaves := make([]draw.Hash, count)
	for i := range count {
		p := person{key: sha256.Sum256(binary.LittleEndian.AppendUint32(nil, uint32(from+i))), shows: (from+i)%10 != 0}
		leaves[i] = draw.Leaf(c.event, p.key)
		c.people = append(c.people, p)
	}
	r := c.one(&command.Enter{Count: uint16(count), Root: draw.Root(leaves)})
	if r.Outcome != holdfast.OK {
		c.t.Fatal(r.Outcome)
	}
	for i := range count {
		p := &c.people[from+i]
		p.number, p.path = r.Place+holdfast.PlaceNumber(i), draw.Path(leaves, i)
	}
}

func (p *person) proof() command.Proof {
	return command.Proof{Number: p.number, Key: p.key, Path: p.path}
}

func (p *person) buyer() holdfast.BuyerID { return p.key.Buyer() }

// live lets time pass until all is sold, or so many seconds are over.
func (c *crowd) live(seconds int) (v fsm.LineView) {
	c.t.Helper()
	for range seconds {
		time.Sleep(time.Second)
		line, ok := c.line()
		if !ok { // no leader: nobody can do anything
			continue
		}
		v = line
		c.called = append(c.called, sample{time.Now(), int(v.Served)})
		if v.State != holdfast.LineDrawn {
			continue
		}
		for i := range c.people {
			p := &c.people[i]
			if p.at = draw.Position(v.Seed, v.Cohort, p.number, p.key); p.shows && p.at < v.Served && !time.Now().Before(p.next) {
				c.act(p)
			}
		}
		if v.Units[holdfast.Free]+v.Units[holdfast.Held]+v.Units[holdfast.Paying] == 0 {
			return v
		}
	}
	return v
}

// act lets somebody who was called take the next step.
func (c *crowd) act(p *person) {
	c.t.Helper()
	switch p.step {
	case 0:
		if r := c.one(&command.Redeem{Proof: p.proof()}); r.Outcome == holdfast.OK {
			p.step, p.next = 1, time.Now().Add(lineLook)
		} else if r.Outcome != holdfast.SessionsFull {
			c.t.Fatalf("somebody who stands at %d of %d is told %s", p.at, r.Served, r.Outcome)
		}
	case 1:
		want := &command.Hold{Buyer: p.buyer(), Wants: []command.Want{{Kind: command.WantGeneral, Count: 2}}}
		r := c.one(want)
		switch r.Outcome {
		case holdfast.OK:
			// Sold by invoice: how long it takes to pay is not what is tested.
			p.step = 2
			if r = c.one(&command.Sell{Hold: r.Hold, As: command.SaleInvoiced, Amount: r.Amount}); r.Outcome != holdfast.OK {
				c.t.Fatal(r.Outcome)
			}
		case holdfast.NotEnough, holdfast.SoldOut:
			p.next = time.Now().Add(5 * time.Second)
		default:
			c.t.Fatalf("a hold after a session: %s", r.Outcome)
		}
	}
}

// fastest gives how many were called in a second, from one sample to another: at most, and on the average.
func (c *crowd) fastest(from, to int) (most, mean float64) {
	rate := func(a, b sample) float64 { return float64(b.served-a.served) / b.at.Sub(a.at).Seconds() }
	for i := from; i < to; i++ {
		most = max(most, rate(c.called[i], c.called[i+1]))
	}
	return most, rate(c.called[from], c.called[to])
}

// inOrder looks that nobody came before whoever stands further ahead was called.
func (c *crowd) inOrder(v fsm.LineView) {
	c.t.Helper()
	for i := range c.people {
		if p := &c.people[i]; p.step > 0 && p.at >= v.Served {
			c.t.Errorf("who stands at %d came, and %d were called", p.at, v.Served)
		}
	}
}

func TestALineOpensFreezesAndIsDrawnAndTheSaleOpensByThemselves(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		cr := newCrowd(t, c, 100, command.LineRules{CeilingMax: 100}, 2*time.Minute, 3*time.Minute, 4*time.Minute)
		began := time.Now()
		until := func(d time.Duration) { time.Sleep(time.Until(began.Add(d))) }
		state := func(what string, want holdfast.LineState, committed bool, sale holdfast.SaleState) {
			t.Helper()
			v, _ := cr.line()
			if v.State != want || (v.Commitment != [32]byte{}) != committed || cr.sale() != sale {
				t.Errorf("%s: the line is %s, committed %x, the sale %s; want %s, %v, %s", what, v.State, v.Commitment[:4], cr.sale(), want, committed, sale)
			}
		}
		until(50 * time.Second)
		state("long before", holdfast.LineClosed, false, holdfast.SaleDraft)
		until(65 * time.Second)
		state("a minute before it opens", holdfast.LineClosed, true, holdfast.SaleDraft)
		if r := cr.one(&command.Enter{Count: 1, Root: [32]byte{1}}); r.Outcome != holdfast.LineNotOpen {
			t.Errorf("somebody joined a line that is not open: %s", r.Outcome)
		}
		until(2*time.Minute - 10*time.Millisecond)
		state("just before it opens", holdfast.LineClosed, true, holdfast.SaleDraft)
		until(2*time.Minute + 50*time.Millisecond)
		state("just after it opens", holdfast.LineOpen, true, holdfast.SaleDraft)
		cr.join(80)
		until(3*time.Minute + 50*time.Millisecond)
		v, _ := cr.line()
		if v.State < holdfast.LineFrozen || v.Cohort != 80 {
			t.Errorf("just after the cut-off it is %s with %d", v.State, v.Cohort)
		}
		until(3*time.Minute + 2*time.Second)
		state("soon after the cut-off", holdfast.LineDrawn, true, holdfast.SaleDraft)
		until(4*time.Minute + 50*time.Millisecond)
		state("just after the sale opens", holdfast.LineDrawn, true, holdfast.SaleOpen)
		if v = cr.live(300); v.Units[holdfast.Sold] != 100 {
			t.Errorf("%v of 100 were sold to a crowd that wants 160", v.Units)
		}
		cr.inOrder(v)
	})
}

func TestALeadersDeathNeitherLetsACrowdInNorStopsTheLine(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		cr := newCrowd(t, c, 3000, command.LineRules{CeilingMax: 120}, time.Second, 3*time.Second, 4*time.Second)
		time.Sleep(2 * time.Second)
		for range 8 {
			cr.join(250)
		}
		cr.live(80) // until the ceiling is in use
		from := len(cr.called) - 1
		c.kill(c.awaitLeader(cr.shard))
		v := cr.live(20)
		most, mean := cr.fastest(from-20, from)
		nextMost, nextMean := cr.fastest(from, len(cr.called)-1)
		if nextMost > most*1.5 || nextMean > mean*1.25 || nextMean < mean*0.6 {
			t.Errorf("%.1f were called in a second before, %.1f at most; %.1f and %.1f after the leader's death", mean, most, nextMean, nextMost)
		}
		if v = cr.live(400); v.Units[holdfast.Sold] != 3000 {
			t.Errorf("the sale did not end: %v", v.Units)
		}
		cr.inOrder(v)
		cr.checkReplicas(cr.shard)
	})
}

// TestALineGoesOnUnderEachLeader: however short they reign, and whatever came before, each calls somebody within two seconds.
func TestALineGoesOnUnderEachLeader(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		cr := newCrowd(t, c, 1000, command.LineRules{CeilingMax: 40}, time.Second, 3*time.Second, 4*time.Second)
		time.Sleep(2 * time.Second)
		cr.join(400)
		cr.live(5)
		for reign := range 10 {
			dead := c.awaitLeader(cr.shard)
			c.kill(dead)
			c.awaitLeader(cr.shard)
			before, _ := cr.line()
			if v := cr.live(2); v.Served <= before.Served {
				t.Errorf("leader %d called nobody in two seconds: %d of %d", reign+1, v.Served, v.Tail)
			}
			c.open(dead)
			cr.live(1)
		}
		v, _ := cr.line()
		cr.inOrder(v)
		cr.checkReplicas(cr.shard)
	})
}

func TestPlacesAndSessionsSurviveARestartOfAllNodes(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		cr := newCrowd(t, c, 1000, command.LineRules{CeilingMax: 40}, time.Second, 3*time.Second, 4*time.Second)
		time.Sleep(2 * time.Second)
		cr.join(200)
		cr.live(10)
		for range 10 { // there are seconds in which everybody who was let in has left
			if slices.ContainsFunc(cr.people, func(p person) bool { return p.step == 1 }) {
				break
			}
			cr.live(1)
		}
		var inside, waiting *person
		v, _ := cr.line()
		for i := range cr.people {
			switch p := &cr.people[i]; {
			case p.step == 1:
				inside = p
			case p.at > v.Served+50:
				waiting = p
			}
		}
		if inside == nil || waiting == nil {
			t.Fatalf("nobody is inside, or nobody waits: %+v", v)
		}
		place := func(p *person) (view fsm.PlaceView) {
			i := c.awaitLeader(cr.shard)
			_, _ = c.nodes[i].Read(t.Context(), cr.shard, false, func(m *fsm.Machine) { view, _ = m.Place(cr.event, p.number, p.key, p.path) })
			return view
		}
		session, place1 := place(inside), place(waiting)
		for i := range c.nodes {
			c.kill(i)
		}
		time.Sleep(time.Minute) // of which nobody's session knows
		c.openAll()
		c.awaitReady()
		if now := place(inside); now.State != holdfast.PlaceAdmitted || now.Until != session.Until {
			t.Errorf("the session was %+v and is %+v", session, now)
		}
		if now := place(waiting); now.Position != place1.Position || now.Number != place1.Number {
			t.Errorf("the place was %+v and is %+v", place1, now)
		}
		if r := cr.one(&command.Hold{Buyer: inside.buyer(), Wants: []command.Want{{Kind: command.WantGeneral, Count: 2}}}); r.Outcome != holdfast.OK {
			t.Errorf("a hold in the session: %s", r.Outcome)
		}
		inside.step = 2
		if r := cr.one(&command.Hold{Buyer: waiting.buyer(), Wants: []command.Want{{Kind: command.WantGeneral, Count: 2}}}); r.Outcome != holdfast.SessionRequired {
			t.Errorf("a hold of somebody who waits: %s", r.Outcome)
		}
		from := len(cr.called)
		if cr.live(10); cr.called[len(cr.called)-1].served <= cr.called[from-1].served {
			t.Error("nobody was called after the restart")
		}
		cr.checkReplicas(cr.shard)
	})
}

func TestALeaderDrawsWithoutTheBeaconWhenItIsTooLate(t *testing.T) {
	inCluster(t, 1, node.Config{}, func(t *testing.T, c *cluster) {
		beacon := holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte{1}, GenesisMs: time.Now().UnixMilli(), PeriodMs: 10_000}
		cr := newCrowd(t, c, 100, command.LineRules{Beacon: beacon, FallbackMs: 20_000}, time.Second, 5*time.Second, 6*time.Second)
		time.Sleep(2 * time.Second)
		cr.join(10)
		time.Sleep(15 * time.Second) // the round after the cut-off is due, and nobody brings it
		if v, _ := cr.line(); v.State != holdfast.LineFrozen || v.Round == 0 {
			t.Errorf("before the time for the fallback it is %s, waiting for round %d", v.State, v.Round)
		}
		time.Sleep(20 * time.Second)
		if v, _ := cr.line(); v.State != holdfast.LineDrawn || !v.Fallback || v.DrawnMs < v.FallbackAt {
			t.Errorf("after it: %s at %d, and the fallback is for %d", v.State, v.DrawnMs, v.FallbackAt)
		}
	})
}
