package node

import (
	"time"

	"github.com/hashicorp/raft"
)

// Hello is what nodes tell each other once a second.
type Hello struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Cluster       string   `json:"cluster"` // empty until it has one: then it has no state
	Address       string   `json:"address"`
	ClientAddress string   `json:"client_address"`
	Version       string   `json:"version"`
	Shards        int      `json:"shards"`
	Expect        int      `json:"expect"`
	Peers         []string `json:"peers"`
	WallMs        int64    `json:"wall_ms"`
}

// Peer is what is known of one address.
type Peer struct {
	Hello
	Known  bool          // it has answered since we started; else only Address is set
	Age    time.Duration // since the last answer
	Offset time.Duration // its wall clock minus ours, to within half of RTT
	RTT    time.Duration
}

// peers knows the other members by asking them. Safe for concurrent use.
type peers struct{}

// newPeers starts asking; Close stops it.
func newPeers(self func() Hello, addresses []string, m *mux, clock Clock, timing Timing) *peers {
	return &peers{}
}

// All is the table, by address, our own first.
func (p *peers) All() []Peer { return nil }

// ByID finds who last said to be id.
func (p *peers) ByID(id raft.ServerID) (Peer, bool) { return Peer{}, false }

// Skew is how far our wall clock is from the median of all; doubt is true when that is more than SkewMax and at
// least two peers have answered lately.
func (p *peers) Skew() (skew time.Duration, doubt bool) { return 0, false }

func (p *peers) Close() error { return nil }
