package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
)

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR|FILE",
		Short: "Replay the archived log of a node, offline, and check every invariant",
		Long: `Replay the archived log of a node, offline, and check every invariant on the way: one owner a seat, units that add up,
holds that end in time, commands that are executed once. DIR is a node's folder, or one shard's archive in it; FILE is one
file of an archive. Nothing is changed, no node is needed, and a copy will do.`,
		Example: `  holdfast verify /var/lib/holdfast
  holdfast verify /var/lib/holdfast/shard-1/archive`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.verify(args[0]) },
	}
}

// verify replays every archive that the path stands for.
func (a *app) verify(path string) error {
	archives := []string{path}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		found, err := node.Archives(path)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			archives = found
		}
	}
	out, failed := verifyOut{OK: true, Archives: []archiveOut{}}, 0
	for _, archive := range archives {
		report, err := node.Verify(archive, func(r node.VerifyReport) {
			if a.format != formatJSON {
				a.progress("%s: %d commands up to entry %d", archive, r.Commands, r.Index)
			}
		})
		var broken *node.VerifyError
		if err != nil && !errors.As(err, &broken) {
			return err
		}
		one := archiveOutOf(archive, report)
		if broken != nil {
			one.Broken, out.OK = broken.Error(), false
			failed++
		}
		out.Archives = append(out.Archives, one)
	}
	if err := a.print(out); err != nil {
		return err
	}
	if failed > 0 {
		return &checkFailed{fmt.Sprintf("%d of %d archives break a rule or are damaged", failed, len(archives))}
	}
	return nil
}

type verifyOut struct {
	OK       bool         `json:"ok"`
	Archives []archiveOut `json:"archives"`
}

type archiveOut struct {
	Path      string           `json:"path"`
	Shard     holdfast.ShardID `json:"shard"`
	Files     int              `json:"files"`
	From      uint64           `json:"from_index"`
	Index     uint64           `json:"index"`
	Entries   uint64           `json:"entries"`
	Commands  uint64           `json:"commands"`
	Sold      uint64           `json:"sold"`
	Checks    int              `json:"checks"`
	Bases     int              `json:"bases_compared"`
	Gaps      []gapOut         `json:"gaps,omitempty"`
	TornBytes int64            `json:"torn_bytes,omitempty"`
	Digest    string           `json:"digest"`
	Broken    string           `json:"broken,omitempty"`
}

type gapOut struct {
	After uint64 `json:"after"`
	From  uint64 `json:"from"`
}

func archiveOutOf(path string, r node.VerifyReport) archiveOut {
	out := archiveOut{Path: path, Shard: r.Shard, Files: r.Segments, From: r.From, Index: r.Index, Entries: r.Entries, Commands: r.Commands,
		Sold: r.Sold, Checks: r.Checks, Bases: r.Bases, TornBytes: r.TornTail, Digest: hex.EncodeToString(r.Digest[:])}
	for _, g := range r.Gaps {
		out.Gaps = append(out.Gaps, gapOut{g.After, g.From})
	}
	return out
}

func (o verifyOut) table(w io.Writer) {
	row(w, "SHARD", "ENTRIES", "COMMANDS", "FROM", "TO", "SOLD", "CHECKS", "DIGEST", "RESULT")
	for _, r := range o.Archives {
		result := "holds"
		if r.Broken != "" {
			result = "BROKEN: " + r.Broken
		} else if len(r.Gaps) > 0 {
			result = fmt.Sprintf("holds, with %d gaps", len(r.Gaps))
		}
		row(w, r.Shard, r.Entries, r.Commands, r.From, r.Index, r.Sold, r.Checks, r.Digest[:16], result)
	}
}
