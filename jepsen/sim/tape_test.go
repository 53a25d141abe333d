package sim

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// A leader of term 3 dies with an entry that nobody else has. The one after it, of term 4, has the entry of term 2 that is
// at that index, and makes it the log's: the highest term is not. (Figure 8 of the Raft paper.)
func TestTheLogIsReadBackFromItsEnd(t *testing.T) {
	entry := func(index, term uint64) *raft.Log { return &raft.Log{Index: index, Term: term} }
	tape, shard := newTape(), holdfast.ShardID(1)
	tape.store(shard, 0, []*raft.Log{entry(1, 1), entry(2, 2), entry(3, 2)})
	tape.store(shard, 2, []*raft.Log{entry(3, 3)})
	tape.store(shard, 2, []*raft.Log{entry(4, 4)})
	tape.store(shard, 0, []*raft.Log{entry(3, 2), entry(4, 4)}) // by one that was given a snapshot of what is before
	entries, err := tape.log(shard, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, term := range []uint64{1, 2, 2, 4} {
		if entries[i].Index != uint64(i)+1 || entries[i].Term != term {
			t.Errorf("entry %d is of term %d and not of %d", entries[i].Index, entries[i].Term, term)
		}
	}
}
