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
// others it is a leader that is cut off. It comes back as a follower; or as the leader that it was, when the disk has answered
// and no other member's is faster.

// watchdog watches the appends to one log, of which there is one at a time.
type watchdog struct {
	patience func() time.Duration // for how long an append may take
	tell     func(stalled bool)   // called when one takes longer, and again when it has ended

	mu    sync.Mutex
	began time.Time // of the append under way; zero: there is none
	ended time.Time // of the last one
	took  time.Duration
}

// watch does one append.
func (w *watchdog) watch(write func() error) error {
	began, told := time.Now(), make(chan struct{})
	w.note(began, time.Time{}, 0)
	alarm := time.AfterFunc(w.patience(), func() {
		defer close(told)
		w.tell(true)
	})
	err := write()
	ended := time.Now()
	w.note(time.Time{}, ended, ended.Sub(began))
	if !alarm.Stop() {
		<-told
		w.tell(false)
	}
	return err
}

func (w *watchdog) note(began, ended time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.began = began; began.IsZero() {
		w.ended, w.took = ended, took
	}
}

// last is how long the last append took, and when it ended; or the one that is under way by now, if that is longer already.
func (w *watchdog) last() (ended time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() {
		if now := time.Now(); now.Sub(w.began) > w.took {
			return now, now.Sub(w.began)
		}
	}
	return w.ended, w.took
}

// lastAppend is how long the last append took on this node, to whichever shard's log: they are on one disk.
func (n *Node) lastAppend() (took time.Duration) {
	var latest time.Time
	for _, s := range n.shards {
		if g := s.get(); g != nil {
			if ended, d := g.stores.guarded.appends.last(); ended.After(latest) || ended.Equal(latest) && d > took {
				latest, took = ended, d
			}
		}
	}
	return took
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
	return max(stallElections*g.timing.Election, fasterBy*g.peers.FastestAppend())
}

// stall is told that the log's disk stands still, and then that it has answered.
func (g *group) stall(stalled bool) {
	if g.proposer.stall(stalled) {
		g.log.Warn("the log's disk stands still: leadership is let go", "shard", uint32(g.shard))
	}
	g.poke()
}

// takeUp is the duty of who has let go.
func (g *group) takeUp() {
	if g.proposer.hasLetGo() && (g.raft.State() != raft.Leader || len(g.faster()) == 0) {
		g.proposer.takeUp()
	}
}

// faster are the other voters that said lately that their disk is much faster than ours was.
func (g *group) faster() []raft.Server {
	_, ours := g.stores.guarded.appends.last()
	return slices.DeleteFunc(g.healthy(), func(s raft.Server) bool {
		peer, _ := g.peers.ByID(s.ID)
		return fasterBy*peer.appendTook() > ours
	})
}

// healthy are the other voters that said lately that they are not short of disk space and that their disk is not slow.
func (g *group) healthy() []raft.Server {
	return slices.DeleteFunc(g.successors(), func(s raft.Server) bool {
		peer, known := g.peers.ByID(s.ID)
		return !known || !g.fit(peer)
	})
}

// fit reports whether a peer has answered lately and has a disk with which it can lead.
func (g *group) fit(peer Peer) bool {
	return peer.Age < fresh*g.timing.Hello && !peer.DiskLow && peer.appendTook() < stallElections*g.timing.Election
}
