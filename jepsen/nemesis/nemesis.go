//go:build linux

// Package nemesis is what is done to a cluster while clients use it. A fault is a value; each file has one kind of them.
// To add one, write it and put it into All. A fault strikes, lasts, and is healed; nobody needs to tell it how the
// cluster promised to stand it: the checkers judge by what clients saw.
package nemesis

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// Fault is one kind of trouble.
type Fault struct {
	Name string
	What string // in a few words, for people
	// Missing says why it cannot be injected here; nil, or a nil answer: it can.
	Missing func(*Field) error
	// Strike begins it. What it gives ends it again, and must leave nothing behind; after that the cluster must become
	// well by itself.
	Strike func(f *Field, r *rand.Rand) (heal func() error, err error)
	// Lasts is how long it goes on: from half of this to all of it. 0: Lasts.
	Lasts time.Duration
	// Single: it strikes one member, and the others must go on.
	Single bool
	// Destroys: what one member had may be lost. If it is, the member comes back as one that learns, since there is no
	// command yet that makes it a voter: then the run goes on with a new cluster, lest a minority become a majority.
	Destroys bool
	// Alone: it goes on only while the cluster is well, so nothing else strikes at the same time.
	Alone bool
}

// Lasts is how long faults last that do not say it.
const Lasts = 2 * time.Second

// All are the faults.
func All() []Fault {
	return slices.Concat(kills, pauses, partitions, links, clocks, disks, syncs, rots, voters, powers, restarts, transfers, snapshots, shops)
}

// Field is what faults are let loose on.
type Field struct {
	Cluster *cluster.Cluster
	Shop    *cluster.Shop // nil: no workload needs one
	// Rotten are members whose archives were damaged: an audit may say so.
	Rotten map[int]bool
}

func (f *Field) others(i int) (others []int) {
	for j := range f.Cluster.Members() {
		if j != i {
			others = append(others, j)
		}
	}
	return others
}

// leader is who leads, or anybody when nobody does.
func (f *Field) leader(r *rand.Rand) int {
	if i := f.Cluster.Leader(); i >= 0 {
		return i
	}
	return f.any(r)
}

func (f *Field) follower(r *rand.Rand) int {
	others := f.others(f.leader(r))
	return others[r.IntN(len(others))]
}

func (f *Field) any(r *rand.Rand) int { return r.IntN(f.Cluster.Members()) }

func (f *Field) everybody() (all []int) {
	for i := range f.Cluster.Members() {
		all = append(all, i)
	}
	return all
}

// mixed is all members in some order.
func (f *Field) mixed(r *rand.Rand) []int { return r.Perm(f.Cluster.Members()) }

func nothing() error { return nil }
