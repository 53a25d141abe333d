package node

import (
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/holdfast-db/holdfast"
)

const (
	// PeersMax bounds the members of a cluster. Every shard has a replica on each.
	PeersMax = 9
	// ShardsMax bounds the groups of a process besides the directory: each costs about 40 idle messages a second.
	ShardsMax = 64
	// ordersPerSecondMax fits what Admit carries.
	ordersPerSecondMax = 1_000_000
)

// Config says what a node is. Name, RaftAddress and one of Dir and Disk must be given; the rest has defaults.
type Config struct {
	Name          string   // the operator's name for the node; its id is this and a random part made with its data
	Dir           string   // where everything is kept that must survive the process; used when Disk is nil
	RaftAddress   string   // where the node listens for other nodes, and what it tells them
	ClientAddress string   // where clients reach it; told to peers, who send clients there
	Peers         []string // the Raft addresses of all members, with or without our own

	// BootstrapExpect is how many members form a new cluster: when that many peers have answered and none has
	// state. 0 means never: this node joins a cluster that exists.
	BootstrapExpect int
	// Shards is the number of groups besides the directory, the same on all members. 0 means 1.
	Shards int

	// OrdersPerSecond is how many orders the payment provider takes: each event's line is paced so that it gets no more.
	// 0: no bound. It is the leader's that counts, so all members should have the same.
	OrdersPerSecond float64

	Headroom     uint64 // refuse new holds below this many free bytes of disk; 0: HeadroomDefault
	ArchiveBytes int64  // about how much of each shard's history is kept; 0: 4 GiB
	// SnapshotEntries is after how many entries a shard's snapshot is due at the latest; half as many are kept behind
	// it for followers at the most. 0 means 200,000.
	SnapshotEntries int

	Logger  *slog.Logger // nil discards
	Timing  Timing
	Clock   Clock   // nil: SystemClock
	Network Network // nil: TCP
	Disk    Disk    // nil: the folder Dir
	Version string  // told to operators
}

// withDefaults fills in what may be left out, and puts the peers in order with our own among them.
func (c Config) withDefaults() Config {
	if c.Shards == 0 {
		c.Shards = 1
	}
	if c.SnapshotEntries == 0 {
		c.SnapshotEntries = snapshotEntriesMax
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = SystemClock()
	}
	if c.Network == nil {
		c.Network = TCP()
	}
	c.Timing = c.Timing.withDefaults()
	c.Peers = slices.Clone(c.Peers)
	if !slices.Contains(c.Peers, c.RaftAddress) {
		c.Peers = append(c.Peers, c.RaftAddress)
	}
	slices.Sort(c.Peers)
	c.Peers = slices.Compact(c.Peers)
	return c
}

// check refuses a configuration by the name of the field at fault. It expects the defaults to be filled in.
func (c Config) check() error {
	refuse := func(field, format string, args ...any) error {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "node config", Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if err := checkName(c.Name); err != nil {
		return refuse("name", "%v", err)
	}
	if c.Dir == "" && c.Disk == nil {
		return refuse("dir", "a node needs a folder for its data")
	}
	for _, address := range c.Peers {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return refuse("peers", "%q is not an address like 10.0.0.1:7000: %v", address, err)
		}
		if ip := net.ParseIP(host); host == "" || port == "" || port == "0" || ip != nil && ip.IsUnspecified() {
			return refuse("peers", "%q cannot be dialled by other nodes: give a host and a port", address)
		}
	}
	switch {
	case len(c.Peers) > PeersMax:
		return refuse("peers", "%d members, at most %d", len(c.Peers), PeersMax)
	case c.BootstrapExpect < 0 || c.BootstrapExpect != 0 && c.BootstrapExpect != len(c.Peers):
		// Two halves of a cluster must never form one each, so the peers are the founders, all of them.
		return refuse("bootstrap-expect", "%d, but %d peers are given: a cluster is founded by all of them", c.BootstrapExpect, len(c.Peers))
	case c.SnapshotEntries < 2:
		return refuse("snapshot-entries", "%d is less than 2", c.SnapshotEntries)
	case !(c.OrdersPerSecond >= 0 && c.OrdersPerSecond <= ordersPerSecondMax):
		return refuse("orders-per-second", "%v is not between 0 and %d", c.OrdersPerSecond, ordersPerSecondMax)
	case c.Shards < 1 || c.Shards > ShardsMax:
		return refuse("shards", "%d is not between 1 and %d", c.Shards, ShardsMax)
	}
	return c.Timing.check()
}

// checkName holds names to what is safe in ids, file names, metrics and hints.
func checkName(name string) error {
	if name == "" || len(name) > holdfast.NameBytesMax {
		return fmt.Errorf("%q does not have 1 to %d characters", name, holdfast.NameBytesMax)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return fmt.Errorf("%q may hold a-z, 0-9, - and . only", name)
		}
	}
	return nil
}
