package node

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/directory"
)

// The duties of a shard's leader besides claims: it creates the events that are assigned to the shard, looks after their
// waiting lines (line.go), takes in nodes that are new, and hands leadership on to where it belongs. One goroutine does them, one after the other.

// duties is what that goroutine remembers.
type duties struct {
	created  int           // of the directory's assignments, in order: they need not be looked at again
	serving  time.Duration // Monotonic: since when we serve; 0: we do not
	transfer time.Duration // Monotonic: of the last attempt to hand over
	lines    lines
}

// assignedValidity is how long a command of ours may take to be packed.
const assignedValidity = 10 * time.Second

// serve is the goroutine of the duties.
func (g *group) serve(ctx context.Context) {
	ticker, second := time.NewTicker(g.timing.Hello), time.NewTicker(time.Second)
	defer ticker.Stop()
	defer second.Stop()
	for {
		round, pace := false, false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			round = true
		case <-second.C:
			pace = true
		case <-g.nudge:
		case t := <-g.transfers:
			g.carryOut(ctx, t, g.clock.Monotonic())
		}
		g.unstick()
		g.giveWay(ctx, g.clock.Monotonic())
		g.takeUp()
		if !g.proposer.serves() {
			g.duties.serving, g.duties.lines = 0, lines{}
			continue
		}
		now := g.clock.Monotonic()
		if g.duties.serving == 0 {
			g.duties.serving = max(now, 1)
		}
		g.createAssigned(ctx)
		if pace {
			g.keepLines(now)
		}
		if round {
			g.takeIn(ctx)
			g.spread(ctx, now)
		}
	}
}

// unstick watches for hashicorp/raft#696: an attempt to hand over that never ends leaves a mark behind with which
// the library refuses every proposal, for as long as this process leads. Opening the group anew removes it.
func (g *group) unstick() {
	if g.proposer.stuck() > 2*g.timing.Election {
		g.restart("the library is stuck in a transfer of leadership")
	}
}

// createAssigned proposes the events that the directory assigned to this shard and that it does not have. Whoever
// asked for them may do the same: it is idempotent.
func (g *group) createAssigned(ctx context.Context) {
	dir, assigned := g.atlas(), []directory.Assignment(nil)
	if g.shard == holdfast.Directory || dir == nil {
		return
	}
	if _, err := dir.applier.view(func(m machine) { assigned = m.(atlas).Assignments() }); err != nil {
		return
	}
	for ; g.duties.created < len(assigned); g.duties.created++ {
		a := assigned[g.duties.created]
		if a.Shard != g.shard {
			continue
		}
		found, clock := false, holdfast.Clock(0)
		if _, err := g.applier.view(func(m machine) {
			_, found = m.(inventory).Event(a.Event)
			clock = m.Clock()
		}); err != nil {
			return
		}
		if found {
			continue
		}
		if err := g.create(ctx, a, clock); err != nil {
			g.log.Warn("an assigned event is not created yet", "shard", uint32(g.shard), "event", a.Event.String(), "error", err)
			return
		}
	}
}

func (g *group) create(ctx context.Context, a directory.Assignment, clock holdfast.Clock) error {
	c := command.PutEvent{Spec: *a.Spec}
	c.ID, c.Event = newID(clock), a.Event
	reply := make(chan Reply, 1)
	err := g.submit(Batch{Shard: g.shard, Commands: c.Append(nil), Count: 1, Done: func(r Reply) { reply <- r }})
	if err != nil {
		return err
	}
	select {
	case r := <-reply:
		if r.Err != nil {
			return r.Err
		}
		var result command.Result
		if _, err := command.DecodeResult(r.Results, &result); err != nil {
			return err
		}
		// The event exists now, or somebody was quicker and has changed it since: both is well.
		if o := result.Outcome; o != holdfast.OK && o != holdfast.EventChanged && o != holdfast.EventConflict {
			return o
		}
		g.log.Info("created the event", "shard", uint32(g.shard), "event", a.Event.String(), "name", a.Spec.Name)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeIn adds a node as a learner that belongs to the cluster and that the group does not know: a new one, or one that
// came back without its data. The latter is a new node to Raft, since what it once acknowledged is gone. An operator
// makes it a voter, and removes the old one.
func (g *group) takeIn(ctx context.Context) {
	servers, cluster := g.servers(), g.storage.Identity().Cluster
	for _, peer := range g.peers.All()[1:] {
		known := slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == peer.ID })
		if known || !peer.Known || peer.Age > fresh*g.timing.Hello || peer.Cluster != cluster || len(servers) == 0 {
			continue
		}
		g.log.Info("a node joins as a learner", "shard", uint32(g.shard), "id", peer.ID, "address", peer.Address)
		// No two servers may have the same address in a configuration, and the old one still has it.
		at := raft.ServerAddress(peer.Address + addressMark + peer.ID)
		if err := g.wait(ctx, g.raft.AddNonvoter(raft.ServerID(peer.ID), at, 0, 0)); err != nil {
			g.log.Warn("the node could not be added", "shard", uint32(g.shard), "id", peer.ID, "error", err)
		}
		return // one change at a time
	}
}

// spread hands leadership to the member that the shard prefers, so that leaders are spread evenly; and to any other
// when our wall clock is in doubt. Both not before things have been stable for a while.
func (g *group) spread(ctx context.Context, now time.Duration) {
	d := &g.duties
	if now-d.serving < g.timing.Transfer || d.transfer != 0 && now-d.transfer < g.timing.Transfer {
		return
	}
	doubt := g.peers.Doubt()
	preferred, ok := g.preferred()
	if doubt == nil && (!ok || string(preferred.ID) == g.id) {
		return
	}
	d.transfer = max(now, 1)
	var err error
	if doubt != nil {
		g.log.Warn("leadership is given away", "shard", uint32(g.shard), "reason", doubt)
		err = g.handOver(ctx, g.successors()...)
	} else {
		g.log.Info("leadership goes to the preferred member", "shard", uint32(g.shard), "to", string(preferred.ID))
		err = g.handOver(ctx, preferred)
	}
	if err != nil {
		g.log.Warn("leadership stayed", "shard", uint32(g.shard), "error", err)
	}
}

// giveWay hands leadership to who can lead better: our disk is nearly full, so that we have to refuse holds, or it is slow.
func (g *group) giveWay(ctx context.Context, now time.Duration) {
	d := &g.duties
	if g.raft.State() != raft.Leader || d.transfer != 0 && now-d.transfer < g.timing.Hello {
		return
	}
	others, why := g.faster(), "this node's disk is slow"
	if g.storage.Low() {
		others, why = g.healthy(), "this node is short of disk space"
	}
	if len(others) == 0 {
		return
	}
	d.transfer = max(now, 1)
	g.log.Warn("leadership is given away", "shard", uint32(g.shard), "reason", why)
	if err := g.handOver(ctx, others...); err != nil {
		g.log.Warn("leadership stayed", "shard", uint32(g.shard), "error", err)
	}
}

// preferred is the voter that should lead: each shard's is another one. ok is false while it cannot.
func (g *group) preferred() (s raft.Server, ok bool) {
	voters := slices.DeleteFunc(g.servers(), func(s raft.Server) bool { return s.Suffrage != raft.Voter })
	if len(voters) == 0 {
		return s, false
	}
	slices.SortFunc(voters, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	s = voters[int(g.shard)%len(voters)]
	if string(s.ID) == g.id {
		return s, true
	}
	peer, known := g.peers.ByID(s.ID)
	return s, known && g.fit(peer)
}

// errNobodyFollows is why nobody was asked to lead.
var errNobodyFollows = errors.New("no other member follows")

// handOver moves leadership to the first of the voters that takes it. Meanwhile nothing is packed, so that nothing is
// refused: what is queued waits, and goes on here if leadership stays.
func (g *group) handOver(ctx context.Context, to ...raft.Server) (err error) {
	to = slices.DeleteFunc(slices.Clone(to), func(s raft.Server) bool { return !g.follows(s.ID) })
	if len(to) == 0 {
		return errNobodyFollows
	}
	empty := g.proposer.pause()
	defer g.proposer.resume()
	if err := pause(ctx, g.timing.Election, empty); err != nil {
		return err
	}
	for _, server := range to {
		if err = g.wait(ctx, g.raft.LeadershipTransferToServer(server.ID, server.Address)); err == nil || g.raft.State() != raft.Leader {
			return nil
		}
	}
	// If we still lead, an entry must pass, or unstick learns that none does.
	_ = g.proposer.await(make(chan error, 1))
	return err
}

// successors are the other voters, those that we heard from last before the others.
func (g *group) successors() (voters []raft.Server) {
	age := map[raft.ServerID]time.Duration{}
	for _, s := range g.servers() {
		if s.Suffrage != raft.Voter || string(s.ID) == g.id {
			continue
		}
		voters, age[s.ID] = append(voters, s), time.Duration(math.MaxInt64)
		if peer, known := g.peers.ByID(s.ID); known {
			age[s.ID] = peer.Age
		}
	}
	slices.SortFunc(voters, func(a, b raft.Server) int { return cmp.Compare(age[a.ID], age[b.ID]) })
	return voters
}

// wait waits for the library until ctx ends. A future that is given up is answered later, if Raft lives on: see stop.
func (g *group) wait(ctx context.Context, f raft.Future) error {
	result, answered := make(chan error, 1), make(chan struct{})
	g.asked.add(answered)
	go func() {
		defer close(answered)
		result <- f.Error()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asked are the futures that somebody waits for, or has waited for.
type asked struct {
	mu      sync.Mutex
	answers []<-chan struct{} // closed when a future is answered
}

func (a *asked) add(answered <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = slices.DeleteFunc(a.answers, func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	})
	a.answers = append(a.answers, answered)
}

// settle waits until all are answered, or for so long.
func (a *asked) settle(patience time.Duration) {
	a.mu.Lock()
	answers := slices.Clone(a.answers)
	a.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, answered := range answers {
		select {
		case <-answered:
		case <-timer.C:
			return
		}
	}
}
