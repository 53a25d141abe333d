package node

// decision is what a node without a cluster should do.
type decision struct {
	Found   []Member // not nil: write this configuration into every group; we are the one who does it
	Cluster string   // not empty: the cluster that we now belong to; save it
	Waiting string   // otherwise what we wait for, for the operator
}

// decide is called with our own hello and the peers', until it has given a cluster. To found one, all expected
// members must have answered, none may have state, and all must agree on peers, number and shards. Then exactly one
// of them, the first by address, writes the configuration; the others get it from Raft. Two that both wrote one
// could write different ones, if a third was wiped in between.
func decide(self Hello, all []Peer) decision { return decision{} }
