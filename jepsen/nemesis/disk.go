//go:build linux

package nemesis

import (
	"errors"
	"math/rand/v2"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// disks are full. Members need file systems of their own, so that only they suffer.
var disks = []Fault{
	{Name: "disk-low", What: "a member has 200 MiB of disk left: it refuses holds and goes on with sales", Missing: needsOwnDisk, Single: true,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) { return fill(f, f.leader(r), 200<<20) }},
	{Name: "disk-full", What: "a member has no byte of disk left", Missing: needsOwnDisk, Single: true,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) { return fill(f, f.any(r), 0) }},
}

func needsOwnDisk(f *Field) error {
	if !f.Cluster.OwnDisks() {
		return errors.New("members have no file systems of their own: that takes root and mkfs.ext4")
	}
	return nil
}

// fill takes a member's disk. A member that must not go on may end.
func fill(f *Field, i int, leave uint64) (func() error, error) {
	f.Cluster.Excuse(i)
	return func() error { return f.Cluster.Unfill(i) }, f.Cluster.Fill(i, leave)
}

// syncs are slow, or fail: strace breaks the system calls of a running member.
var syncs = []Fault{
	{Name: "slow-sync", What: "every sync of one member takes 30 ms more", Missing: needsTracer, Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return trace(f, f.leader(r), "delay_exit=30000")
	}},
	{Name: "failing-sync", What: "a member's syncs fail with EIO: it must stop rather than believe the next one", Missing: needsTracer, Single: true,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) {
			return trace(f, f.any(r), "error=EIO:when=1+3")
		}},
	{Name: "stuck-sync", What: "one sync of the leader takes four seconds: another must lead long before", Missing: needsTracer, Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return trace(f, f.leader(r), "delay_enter=4000000:when=5")
	}},
}

func needsTracer(*Field) error { return cluster.CanTrace() }

func trace(f *Field, i int, inject string) (func() error, error) {
	if !f.Cluster.Running(i) { // what strikes beside it has ended that member, and it syncs nothing
		return nothing, nil
	}
	f.Cluster.Excuse(i)
	t, err := f.Cluster.Trace(i, inject)
	if err != nil {
		return nothing, err
	}
	return func() error {
		t.Stop()
		return nil
	}, nil
}
