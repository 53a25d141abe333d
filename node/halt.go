package node

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-db/holdfast"
)

// A machine panics when what it meets is impossible. Then its shard stops on this node, and no other: the entry and
// the circumstances are saved, the shard is cut off from its peers, and whoever asks for it is told. Nothing is applied
// after it and no snapshot is taken, so a restart meets the entry again: either the program was mended meanwhile, or the
// shard halts again. What an operator does about it stands in docs/operations.md.
//
// The library has no word for this. Its applying goroutine goes on with nothing being applied, instead of standing
// still for good, since otherwise some of its futures would never be answered; it is shut down as soon as all are.

// poison is what halted a shard.
type poison struct {
	index, term uint64
	entry       []byte // nil when it was a snapshot
	cause       any
	stack       []byte
}

// evidenceDir is where it is saved.
const evidenceDir = "halted"

// evidence is the circumstances, as they are saved beside the entry.
type evidence struct {
	Shard   holdfast.ShardID `json:"shard"`
	Index   uint64           `json:"index"`
	Term    uint64           `json:"term"`
	WallMs  int64            `json:"wall_ms"`
	Node    string           `json:"node"`
	Version string           `json:"version"`
	Cause   string           `json:"cause"`
	Stack   string           `json:"stack"`
}

func (p *poison) asError(shard holdfast.ShardID) *holdfast.Error {
	return &holdfast.Error{Kind: holdfast.Halted, Shard: shard,
		Message: fmt.Sprintf("shard %d stopped on this node at entry %d: %v; other nodes may serve it", shard, p.index, p.cause)}
}

// halt stops the group without waiting for anything: it is called by the library's applying goroutine, which the
// library's end waits for.
func (g *group) halt(p *poison) {
	err := g.applier.halted.Load()
	g.log.Error("SHARD HALTED: an assertion failed", "shard", uint32(g.shard), "index", p.index, "term", p.term, "cause", fmt.Sprint(p.cause))
	if err := g.saveEvidence(p); err != nil {
		g.log.Error("the evidence could not be saved", "error", err, "stack", string(p.stack))
	}
	g.proposer.end(err)
	g.feed.close(err)
	g.ending.Go(func() {
		g.transport.Close()
		<-g.opened // Raft applies from the moment on in which it is made
		if g.raft != nil {
			g.stop(g.timing.Election)
		}
	})
}

func (g *group) saveEvidence(p *poison) error {
	dir, err := g.storage.disk.Dir(evidenceDir)
	if err != nil {
		return err
	}
	about, err := json.MarshalIndent(evidence{
		Shard: g.shard, Index: p.index, Term: p.term, WallMs: g.clock.Now().UnixMilli(), Node: g.id, Version: g.version,
		Cause: fmt.Sprint(p.cause), Stack: string(p.stack),
	}, "", "  ")
	if err != nil {
		return err
	}
	name := fmt.Sprintf("shard-%d-%020d", g.shard, p.index)
	return errors.Join(replaceFile(dir, name+".json", append(about, '\n')), replaceFile(dir, name+".entry", p.entry))
}
