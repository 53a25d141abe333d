package node

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// Status is what a node knows of itself. It needs no leader and asks nobody.
type Status struct {
	Cluster  string // empty: none yet
	Waiting  string // for what, while there is none
	ID, Name string
	Version  string
	Uptime   time.Duration
	Ready    bool
	Wall     time.Time
	Shards   []ShardStatus // the directory is the first
	Members  []MemberStatus

	DiskFreeBytes uint64
	DiskLow       bool
	LastAppend    time.Duration // that the last write to a log took, or takes already
}

// ShardStatus is how a shard is on this node.
type ShardStatus struct {
	Shard  holdfast.ShardID
	Role   string // leader, follower, candidate, halted, stopped; stalled: a leader that let go, since its disk stands still
	Leader string // member id; empty: none known
	Term   uint64

	LastIndex     uint64 // of the log
	CommitIndex   uint64
	AppliedIndex  uint64 // of the machine
	SnapshotIndex uint64
	Snapshotting  bool          // a snapshot is being written, or the log shortened behind it
	LastContact   time.Duration // since this node heard from the leader; 0 on the leader, negative: never
	Clock         holdfast.Clock

	Voters, Learners []string // member ids
	Holds            int      // open, in payment or closing
	Remembered       int      // outcomes
	Halted           string   // why, when the shard stopped on this node
	QueuedCommands   int
	Syncs            uint64 // of the log, since the node was opened
	Entries          uint64 // applied, since the node was opened
	Commands         uint64 // in them
}

// MemberStatus is what a node knows of a member, itself included.
type MemberStatus struct {
	ID, Name      string
	RaftAddress   string
	ClientAddress string
	Reachable     bool
	WallOffset    time.Duration // its wall clock against ours
}

// Routes is where shards are led.
type Routes struct {
	Cluster string
	Node    string // who answers
	Members []MemberStatus
	Shards  []Route // the directory is the first
}

// Route is where one shard is led, as far as this node knows.
type Route struct {
	Shard         holdfast.ShardID
	Leader        string // member id; empty: none known
	LeaderAddress string // for clients
	Term          uint64
	Clock         holdfast.Clock // the hold clock here
}

// Ready reports whether the node is of use: it belongs to a cluster, and every shard has a leader that this node
// hears, or is, and that can serve.
func (n *Node) Ready() bool {
	if n.storage.Identity().Cluster == "" || n.storage.Failed() != nil {
		return false
	}
	for _, s := range n.shards {
		g := s.get()
		if g == nil || g.applier.halted.Load() != nil {
			return false
		}
		_, leader := g.raft.LeaderWithID()
		leads, heard := g.proposer.serves(), g.contact()
		if !leads && (leader == "" || string(leader) == g.id || heard < 0 || heard > 4*n.cfg.Timing.Heartbeat) {
			return false
		}
	}
	return true
}

// Leads reports whether this node leads a shard and serves it.
func (n *Node) Leads(shard holdfast.ShardID) bool {
	g, err := n.group(shard)
	return err == nil && g.proposer.serves()
}

// Status tells what the node knows of itself.
func (n *Node) Status() Status {
	id := n.storage.Identity()
	s := Status{
		Cluster: id.Cluster, ID: id.ID, Name: n.cfg.Name, Version: n.cfg.Version, Ready: n.Ready(),
		Uptime: n.cfg.Clock.Monotonic() - n.began, Wall: n.cfg.Clock.Now(), Members: n.members(),
		DiskFreeBytes: n.storage.Free(), DiskLow: n.storage.Low(), LastAppend: n.lastAppend(),
	}
	n.mu.Lock()
	s.Waiting = n.waiting
	n.mu.Unlock()
	for _, shard := range n.shards {
		if g := shard.get(); g != nil {
			s.Shards = append(s.Shards, g.status())
		} else {
			s.Shards = append(s.Shards, ShardStatus{Shard: shard.id, Role: "stopped"})
		}
	}
	return s
}

func (n *Node) members() (all []MemberStatus) {
	for _, p := range n.peers.All() {
		all = append(all, MemberStatus{
			ID: p.ID, Name: p.Name, RaftAddress: p.Address, ClientAddress: p.ClientAddress,
			Reachable: p.Known && p.Age < fresh*n.cfg.Timing.Hello, WallOffset: p.Offset,
		})
	}
	slices.SortFunc(all, func(a, b MemberStatus) int { return strings.Compare(a.RaftAddress, b.RaftAddress) })
	return all
}

// Routes tells where the shards are led.
func (n *Node) Routes() Routes {
	id := n.storage.Identity()
	r := Routes{Cluster: id.Cluster, Node: id.ID, Members: n.members()}
	for _, s := range n.shards {
		route := Route{Shard: s.id}
		if g := s.get(); g != nil {
			route.Term = g.raft.CurrentTerm()
			_, _ = g.applier.view(func(m machine) { route.Clock = m.Clock() }) // a halted shard has no clock
			route.Leader, route.LeaderAddress = g.leader()
		}
		r.Shards = append(r.Shards, route)
	}
	return r
}

// leader is who leads the group, as far as is known, and where clients find it.
func (g *group) leader() (id, clientAddress string) {
	_, leader := g.raft.LeaderWithID()
	if leader == "" || string(leader) == g.id && g.proposer.hasLetGo() {
		return "", ""
	}
	peer, _ := g.peers.ByID(leader)
	return string(leader), peer.ClientAddress
}

func (g *group) status() ShardStatus {
	s := ShardStatus{
		Shard: g.shard, Role: strings.ToLower(g.raft.State().String()), Term: g.raft.CurrentTerm(),
		LastIndex: g.raft.LastIndex(), CommitIndex: g.raft.CommitIndex(), LastContact: g.contact(), Syncs: g.stores.Syncs(),
	}
	s.Leader, _ = g.leader()
	switch state := g.raft.State(); {
	case state == raft.Shutdown:
		s.Role = "stopped"
	case state == raft.Leader && g.proposer.hasLetGo():
		s.Role = "stalled"
	}
	at, err := g.applier.view(func(m machine) {
		s.Remembered = m.remembered().now
		if seats, ok := m.(inventory); ok {
			s.Holds = seats.Stats().Holds
		}
	})
	if err != nil {
		s.Role, s.Halted = "halted", err.Error()
	}
	s.AppliedIndex, s.Clock = at.Index, at.Clock
	for _, server := range g.servers() {
		if server.Suffrage == raft.Voter {
			s.Voters = append(s.Voters, string(server.ID))
		} else {
			s.Learners = append(s.Learners, string(server.ID))
		}
	}
	s.QueuedCommands, s.Snapshotting = g.proposer.queued(), g.snapshotting.Load()
	g.applier.tally.report(&s)
	return s
}

// servers is the group's latest configuration; empty when it has none.
func (g *group) servers() []raft.Server {
	f := g.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return slices.Clone(f.Configuration().Servers) // the library gives everybody the same
}

func (p *proposer) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.commands
}

func (t *tally) report(s *ShardStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Entries, s.Commands, s.SnapshotIndex = t.total.entries, t.total.commands, t.snapshotAt
}
