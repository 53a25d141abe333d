//go:build linux

package nemesis

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// transfers move leadership as operators do: by command, from a leader that is well.
var transfers = []Fault{
	{Name: "transfer", What: "leadership is handed over by command", Single: true, Lasts: time.Second, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return nothing, transfer(f, cluster.Shard, f.follower(r))
	}},
	{Name: "transfer-storm", What: "leadership of every shard is handed over by command, to somebody else ten times a second", Lasts: 4 * time.Second,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) {
			return again(100*time.Millisecond, func() error {
				return errors.Join(transfer(f, cluster.Shard, f.any(r)), transfer(f, holdfast.Directory, f.any(r)))
			}, nothing)
		}},
}

// transferPatience is how long an operator waits.
const transferPatience = 2 * time.Second

// transfer asks for one move. With another fault at work it may not come about, and says so.
func transfer(f *Field, shard holdfast.ShardID, to int) error {
	ctx, cancel := context.WithTimeout(context.Background(), transferPatience)
	defer cancel()
	err := f.Cluster.Client().Transfer(ctx, shard, cluster.Name(to))
	switch holdfast.KindOf(err) {
	case holdfast.Unavailable, holdfast.NotLeader, holdfast.Unknown, holdfast.Overloaded, holdfast.Halted:
		return nil
	case holdfast.NotFound, holdfast.Invalid: // who came back with an empty disk learns only, or is not met yet
		if !f.Cluster.Running(to) || !f.Cluster.Whole() {
			return nil
		}
	}
	return err
}
