package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

func (a *app) clusterVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare the members' states, by their hashes at one log index",
		Long: `Compare the members' states. Each shard is given a mark in its log, at which every member takes the SHA-256 of its whole
state. Exit code 3: hashes differ, or a member cannot tell its own.`,
		Example: `  holdfast cluster verify -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			status := statusOutOf(survey(cmd.Context(), c, a.endpoints))
			if err := status.unreachable(); err != nil {
				return err
			}
			out, err := compareStates(cmd.Context(), c, status, a.timeout)
			if err != nil {
				return err
			}
			if err := a.print(out); err != nil {
				return err
			}
			if !out.Equal {
				return &checkFailed{"the members' states are not known to be equal"}
			}
			return nil
		},
	}
}

type hashesOut struct {
	Equal  bool             `json:"equal"`
	Shards []shardHashesOut `json:"shards"`
}

type shardHashesOut struct {
	Shard   holdfast.ShardID `json:"shard"`
	Index   uint64           `json:"index"`
	Equal   bool             `json:"equal"`
	Members []memberHashOut  `json:"members"`
}

type memberHashOut struct {
	Member string `json:"member"`
	Hash   string `json:"hash,omitempty"`
	Error  string `json:"error,omitempty"`
}

// compareStates marks every shard and asks every member for its hash at the mark, for as long as patience.
func compareStates(ctx context.Context, c *client.Client, status statusOut, patience time.Duration) (hashesOut, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out := hashesOut{Equal: true}
	for _, shard := range status.Shards {
		stamp, err := c.Mark(ctx, shard.Shard)
		if err != nil {
			return hashesOut{}, err
		}
		one := shardHashesOut{Shard: shard.Shard, Index: stamp.Index, Equal: true, Members: make([]memberHashOut, len(status.Members))}
		var wg sync.WaitGroup
		for i, m := range status.Members {
			wg.Go(func() { one.Members[i] = hashAt(ctx, c, m, stamp) })
		}
		wg.Wait()
		for _, m := range one.Members {
			one.Equal = one.Equal && m.Hash != "" && m.Hash == one.Members[0].Hash
		}
		out.Equal = out.Equal && one.Equal
		out.Shards = append(out.Shards, one)
	}
	return out, nil
}

// hashRetry is how long to wait for a member that has not applied the mark yet, or not hashed a large state.
const hashRetry = 50 * time.Millisecond

func hashAt(ctx context.Context, c *client.Client, m memberOut, at holdfast.Stamp) memberHashOut {
	out := memberHashOut{Member: m.Name}
	if !m.Reachable {
		out.Error = "it does not answer"
		return out
	}
	for {
		hash, err := c.Digest(ctx, m.ClientAddress, at.Shard, at.Index)
		if err == nil {
			out.Hash = hex.EncodeToString(hash[:])
			return out
		}
		out.Error = err.Error()
		if kind := holdfast.KindOf(err); kind != holdfast.Unavailable && kind != holdfast.Overloaded {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-time.After(hashRetry):
		}
	}
}

// differ reports whether two members told different hashes. One that told none is not known to be equal, but does
// not make the others unequal.
func (s shardHashesOut) differ() bool {
	told := ""
	for _, m := range s.Members {
		if m.Hash != "" && told != "" && m.Hash != told {
			return true
		}
		told = cmp.Or(m.Hash, told)
	}
	return false
}

func (o hashesOut) table(w io.Writer) {
	row(w, "SHARD", "INDEX", "MEMBER", "HASH", "RESULT")
	for _, s := range o.Shards {
		differ := s.differ()
		for _, m := range s.Members {
			result := "equal"
			switch {
			case m.Hash == "":
				result = m.Error
			case differ:
				result = "NOT EQUAL"
			case !s.Equal:
				result = "equal as far as told"
			}
			row(w, s.Shard, s.Index, m.Member, m.Hash[:min(16, len(m.Hash))], result)
		}
	}
}
