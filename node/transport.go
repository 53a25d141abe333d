package node

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// muxConfig is what a mux needs.
type muxConfig struct {
	Network Network
	Address string // to listen on, and what peers are told
	ID      string // who we are: a connection that is meant for another id is refused
	Timing  Timing
	Log     *slog.Logger
	Hello   func() Hello                  // what to answer to hello
	Veto    func() error                  // not nil: fail outgoing votes and pre-votes with it
	Locate  func(id raft.ServerID) string // a peer's present address; "" when unknown
}

// mux carries all groups over one listener.
type mux struct{}

func newMux(cfg muxConfig) (*mux, error) { return nil, errUnbuilt }

// Transport makes the transport of one shard. Closing it ends that shard's connections and no others.
func (m *mux) Transport(shard holdfast.ShardID) (*transport, error) { return nil, errUnbuilt }

// Hello asks the node at address who it is. rtt is how long the answer took.
func (m *mux) Hello(address string) (h Hello, rtt time.Duration, err error) {
	return Hello{}, 0, errUnbuilt
}

// Close stops listening, ends every connection and waits.
func (m *mux) Close() error { return nil }

// transport is the stock raft.NetworkTransport over the mux, with the target's id in every dial.
type transport struct{ *raft.NetworkTransport }
