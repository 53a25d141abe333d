package node

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A disk that stands still holds Raft's loop up, which then neither steps down nor hands over, while its heartbeats go on
// beside it: followers would wait for as long as the disk does, and nobody could buy. So appends to the log are watched, and
// when one takes too long, who leads lets go: its followers hear nothing from it any more and elect another
// (transport.silent), and it says that it does not serve (proposer.stall). Nothing that Raft promises hangs on it: to the
// others it is a leader that is cut off. When the disk has answered it is a follower, or the leader that it was.
//
// A leader whose disk is slow and answers hands over (giveWay), when it has seen that a follower's is much faster. Where all
// are slow nothing would be won, and much be lost: an election takes several writes.

// watchdog watches the appends to one log, of which there is one at a time.
type watchdog struct {
	patience func() time.Duration     // for how long an append may take
	stall    func(stalled bool)       // called when one takes longer, and again when it has ended
	done     func(took time.Duration) // called after each

	mu    sync.Mutex
	began time.Time // of the append under way; zero: there is none
	last  span      // the last one
}

// unwatched is for logs that nobody leads with.
func unwatched() watchdog {
	return watchdog{patience: func() time.Duration { return time.Hour }, stall: func(bool) {}, done: func(time.Duration) {}}
}

// span is when something happened.
type span struct{ began, ended time.Time }

func (s span) took() time.Duration { return s.ended.Sub(s.began) }

// watch does one append.
func (w *watchdog) watch(write func() error) error {
	w.begin()
	told := make(chan struct{})
	alarm := time.AfterFunc(w.patience(), func() {
		defer close(told)
		w.stall(true)
	})
	err := write()
	took := w.end()
	if !alarm.Stop() {
		<-told
		w.stall(false)
	}
	w.done(took)
	return err
}

func (w *watchdog) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = time.Now()
}

func (w *watchdog) end() (took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.began = span{w.began, time.Now()}, time.Time{}
	return w.last.took()
}

// latest is the last append; or the one that is under way, when it has taken longer already.
func (w *watchdog) latest() span {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() {
		if now := (span{w.began, time.Now()}); now.took() > w.last.took() {
			return now
		}
	}
	return w.last
}

// lastAppend is how long the last append took on this node, to whichever shard's log: they are on one disk.
func (n *Node) lastAppend() time.Duration {
	var latest span
	for _, s := range n.shards {
		if g := s.get(); g != nil {
			if one := g.stores.guarded.appends.latest(); one.ended.After(latest.ended) {
				latest = one
			}
		}
	}
	return latest.took()
}

const (
	// stallElections is for how many elections' time an append may take: having another leader elected costs about as much,
	// so that whatever the disk does, nobody waits for more than twice what was needed.
	stallElections = 2
	// fasterBy is how many times faster another member's disk has to be, or nothing is won.
	fasterBy = 3
)

// patience is for how long an append may take here.
func (g *group) patience() time.Duration {
	return max(stallElections*g.timing.Election, fasterBy*g.transport.acks.fastest())
}

// slow is how long an append takes on a disk with which a member should not lead.
func (g *group) slow() time.Duration { return g.timing.Election }

// stall is told that the log's disk stands still, and then that it has answered.
func (g *group) stall(stalled bool) {
	if g.proposer.stall(stalled) {
		g.log.Warn("the log's disk stands still: leadership is let go", "shard", uint32(g.shard))
	}
}

// appended is told how long an append took. After a slow one, or one for which we have let go, the duties have something to do.
func (g *group) appended(took time.Duration) {
	if took >= g.slow() {
		g.poke()
	}
}

// takeUp is the duty of who has let go; it waits until the disk has answered.
func (g *group) takeUp() {
	if g.proposer.hasLetGo() {
		g.proposer.takeUp()
	}
}

// faster are the other voters that were sent entries since our last append began, and appended them much faster than we did; none
// while our disk is not slow.
func (g *group) faster() []raft.Server {
	ours := g.stores.guarded.appends.latest()
	if ours.took() < g.slow() {
		return nil
	}
	return slices.DeleteFunc(g.healthy(), func(s raft.Server) bool {
		theirs := g.transport.acks.of(s.ID)
		return !theirs.began.After(ours.began) || fasterBy*theirs.took() > ours.took()
	})
}

// healthy are the other voters that can lead.
func (g *group) healthy() []raft.Server {
	return slices.DeleteFunc(g.successors(), func(s raft.Server) bool {
		peer, known := g.peers.ByID(s.ID)
		return !known || !g.fit(peer)
	})
}

// fit reports whether a member has answered lately, follows us, has room on its disk, and did not append slowly when it was last
// asked to.
func (g *group) fit(peer Peer) bool {
	id := raft.ServerID(peer.ID)
	return peer.Age < fresh*g.timing.Hello && g.follows(id) && !peer.DiskLow && g.transport.acks.of(id).took() < g.slow()
}

// follows reports whether our log flows to a member: it has taken an append lately, and even idle leaders send one every one to
// two Commits. Who has come back can answer hello and be sent nothing for ten seconds more, since the library backs off from
// a follower that failed: it would not take leadership in time, and claims would wait for nothing.
func (g *group) follows(id raft.ServerID) bool {
	return time.Since(g.transport.acks.flowed(id)) < g.timing.Election+2*g.timing.Commit
}

// acks are what followers have answered to appends, as seen from here. The zero value is ready, and safe for concurrent use.
type acks struct {
	mu   sync.Mutex
	last map[raft.ServerID]ack
}

type ack struct {
	entries span      // how long the last append of entries took; zero: there was none
	flowed  time.Time // when the last append was taken, with entries or without
}

// note notes what one has answered to an append that was sent at some time. Heartbeats go another way than entries, and past
// the disk.
func (a *acks) note(id raft.ServerID, sent time.Time, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	heartbeat := len(args.Entries) == 0 && args.PrevLogEntry == 0 && args.LeaderCommitIndex == 0 // as the library tells them
	if heartbeat || !resp.Success {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[raft.ServerID]ack{}
	}
	one := a.last[id]
	if one.flowed = time.Now(); len(args.Entries) > 0 {
		one.entries = span{sent, one.flowed}
	}
	a.last[id] = one
}

// of is the last append of entries to one; the zero value when it has acknowledged none.
func (a *acks) of(id raft.ServerID) span {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[id].entries
}

// flowed is when one has last taken an append; the zero value: never.
func (a *acks) flowed(id raft.ServerID) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[id].flowed
}

// fastest is the shortest append of entries; 0 when there is none.
func (a *acks) fastest() (d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.last {
		if took := one.entries.took(); took > 0 && (d == 0 || took < d) {
			d = took
		}
	}
	return d
}
