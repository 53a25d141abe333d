package sim

import (
	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/payment"
)

// Sabotage replaces parts of the system with broken ones, so that one can see whether the checks notice. The zero
// value breaks nothing.
type Sabotage struct {
	// Submit is what clients call in place of Cluster.Submit.
	Submit func(c *Cluster, i int, b node.Batch) node.Reply
	// Stale says of a node that it answers strict reads without asking the log.
	Stale func(n *node.Node) bool
	// FreshIDs: a client that does not know what became of a command makes it anew, under another id.
	FreshIDs bool
	// Clock is what a node gets in place of its clock.
	Clock func(node.Clock) node.Clock
	// Forget: once the sale is open, disks answer that they have synced, and have not.
	Forget bool
	// Alter changes an entry that a node reads back from its disk.
	Alter func(node string, l *raft.Log)
	// Provider is what frontends get in place of the payment provider.
	Provider func(payment.Provider) payment.Provider
	// Forgetful: receipts are acknowledged and not sent.
	Forgetful bool
	// Hurried: visitors are told a place before it is committed.
	Hurried bool
}
