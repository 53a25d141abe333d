//go:build linux

package nemesis

import (
	"math/rand/v2"
	"os"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// rots damage the files of one member while it is down. It must notice, or stand it: never spread it. When it refuses
// to start, it does what its operator would be told to: it begins anew with an empty disk.
var rots = []Fault{
	{Name: "rot-log", What: "bits of one member's log turn around", Destroys: true, Single: true, Strike: damage("raft.db", flip)},
	{Name: "rot-snapshot", What: "bits of one member's snapshots turn around", Destroys: true, Single: true, Strike: damage("snapshots", flip)},
	{Name: "rot-archive", What: "bits of one member's archive turn around", Destroys: true, Single: true, Strike: damage("archive", flip)},
	{Name: "truncate-log", What: "one member's log loses its end", Destroys: true, Single: true, Strike: damage("raft.db", truncate)},
	{Name: "truncate-snapshot", What: "one member's snapshots lose their end", Destroys: true, Single: true, Strike: damage("snapshots", truncate)},
	{Name: "wiped-disk", What: "one member loses its disk and comes back empty", Destroys: true, Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.any(r)
		f.Cluster.Kill(i)
		err := f.Cluster.Wipe(i)
		return func() error { return f.Cluster.Start(i) }, err
	}},
}

// damage stops a member, changes files, and starts it.
func damage(with string, how func(path string, r *rand.Rand) error) func(f *Field, r *rand.Rand) (func() error, error) {
	return func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.any(r)
		f.Cluster.Kill(i)
		f.Cluster.Excuse(i)
		f.Rotten[i] = f.Rotten[i] || with == "archive"
		heal := func() error { return rise(f, i) }
		paths, err := f.Cluster.Files(i, with)
		if err != nil {
			return heal, err
		}
		for _, path := range paths {
			if err := how(path, r); err != nil {
				return heal, err
			}
		}
		return heal, nil
	}
}

// rise starts a member with damaged files, and with an empty disk when it does not want to, or ends again. It has an excuse, and
// Recover starts it with whoever else has ended: without them nobody might lead, and that would be taken for damage.
func rise(f *Field, i int) error {
	if f.Cluster.Recover(8*time.Second) == nil {
		return nil
	}
	f.Cluster.Kill(i)
	if err := f.Cluster.Wipe(i); err != nil {
		return err
	}
	return f.Cluster.Start(i)
}

// flip turns some bits around.
func flip(path string, r *rand.Rand) error {
	st, err := os.Stat(path)
	if err != nil || st.Size() == 0 {
		return err
	}
	for range 1 + r.IntN(8) {
		if err := cluster.FlipBit(path, r.Int64N(st.Size()), r.IntN(8)); err != nil {
			return err
		}
	}
	return nil
}

// truncate takes away up to a tenth.
func truncate(path string, r *rand.Rand) error {
	st, err := os.Stat(path)
	if err != nil || st.Size() == 0 {
		return err
	}
	return os.Truncate(path, st.Size()-1-r.Int64N(st.Size()/10+1))
}
