package convert

import (
	"fmt"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// OpenBatch checks a batch from outside: whole commands, each valid by itself and of a kind that the shard executes.
// It counts them, and tells whether all of them settle.
func OpenBatch(d *command.Decoder, b *api.Batch) (count int, settles bool, err error) {
	if count, err = d.CheckBatch(b.GetCommands()); err != nil {
		return 0, false, err
	}
	settles = true
	for rest := b.GetCommands(); len(rest) > 0; {
		var cmd []byte
		if cmd, rest, err = command.Split(rest); err != nil {
			return 0, false, err
		}
		kind := command.KindOf(cmd)
		settles = settles && kind.Settles()
		if directory := holdfast.ShardID(b.GetShard()) == holdfast.Directory; kind.Directory() != directory && kind != command.KindMark {
			return 0, false, &holdfast.Error{Kind: holdfast.Invalid, Op: "submit", Field: "shard", Shard: holdfast.ShardID(b.GetShard()),
				Message: fmt.Sprintf("shard %d does not execute a %s", b.GetShard(), kind)}
		}
	}
	return count, settles, nil
}

// Result is the answer to a batch: its results, or the failure.
func Result(b *api.Batch, stamp holdfast.Stamp, results []byte, failure error) *api.BatchResult {
	if failure != nil {
		return &api.BatchResult{Number: b.GetNumber(), Shard: b.GetShard(), Failure: Failure(failure)}
	}
	return &api.BatchResult{Number: b.GetNumber(), Shard: uint32(stamp.Shard), Term: stamp.Term, Index: stamp.Index, Slot: stamp.Slot,
		ClockUs: uint64(stamp.Clock), Results: results}
}
