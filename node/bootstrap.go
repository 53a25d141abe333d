package node

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// How a cluster begins. A node opens all its groups at once, empty ones too: an empty group follows whoever
// addresses it by its id. As long as the node has no cluster it calls decide after each round of hello:
//
//   - It meets a peer that has a cluster: it belongs to that one. Raft tells it the rest: either it is one of the
//     founders, or each group's leader adds it as a learner.
//   - All expected members have answered, none has a cluster, and all agree on who is expected: exactly one of them,
//     the first by address, founds the cluster. It saves cluster and founders, then writes the configuration into
//     each group that is empty; after a crash in between it goes on, since it finds the founders in node.json.
//
// Only one writes the configuration, although the library allows all to: if a member is wiped while the others
// decide, two of them could write configurations with different ids in it, which Raft would take for the same entry.

// decision is what a node without a cluster does.
type decision struct {
	Cluster  string   // not empty: save it; the node belongs to it now
	Founders []Member // not empty: save them too, and write them into every group
	Waiting  string   // else: for what
}

// decide looks at everybody, ourselves first. It is a pure function, so that all can be held to the same.
func decide(all []Peer, timing Timing) decision {
	self := all[0].Hello
	if d, found := join(self, all[1:]); found {
		return d
	}
	if self.Expect == 0 {
		return decision{Waiting: "for a peer that belongs to a cluster"}
	}
	for _, peer := range all[1:] {
		switch {
		case !peer.Known || peer.Age >= fresh*timing.Hello:
			return decision{Waiting: "for an answer of " + peer.Address}
		case peer.Expect != self.Expect || peer.Shards != self.Shards || !slices.Equal(peer.Peers, self.Peers):
			return decision{Waiting: fmt.Sprintf("for %s to be started with the same peers, shards and bootstrap-expect as this node", peer.Address)}
		}
	}
	if len(all) != self.Expect {
		return decision{Waiting: fmt.Sprintf("for %d members, of which %d are named as peers", self.Expect, len(all))}
	}
	if self.Address != self.Peers[0] {
		return decision{Waiting: "for " + self.Peers[0] + " to found the cluster"}
	}
	var members []Member
	var ids []string
	for _, peer := range all {
		members, ids = append(members, Member{ID: peer.ID, Address: peer.Address}), append(ids, peer.ID)
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		return decision{Waiting: "for the peers to be different nodes: two addresses lead to the same one"}
	}
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return decision{Cluster: "hf-" + hex.EncodeToString(sum[:8]), Founders: members} // ids are random, so this is unique
}

// join looks for a cluster among the peers.
func join(self Hello, others []Peer) (d decision, found bool) {
	for _, peer := range others {
		switch {
		case !peer.Known || peer.Cluster == "":
			continue
		case peer.Shards != self.Shards:
			return decision{Waiting: fmt.Sprintf("to be started with %d shards, as %s", peer.Shards, peer.Address)}, true
		case d.Cluster != "" && d.Cluster != peer.Cluster:
			return decision{Waiting: fmt.Sprintf("for the peers to be of one cluster: they name %s and %s", d.Cluster, peer.Cluster)}, true
		}
		d.Cluster = peer.Cluster
	}
	return d, d.Cluster != ""
}
