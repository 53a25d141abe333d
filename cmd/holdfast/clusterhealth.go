package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
)

// trailsMax is how far a replica may be behind and still count as one that could take over in a moment: less than a
// second of entries under full load.
const trailsMax = 500

// appendMax is how long a write to a log may take: after twice an election's time whoever leads lets go.
const appendMax = 600 * time.Millisecond

func (a *app) clusterHealth() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Tell whether the cluster is well, and how many members it can lose",
		Long: `Tell whether the cluster is well, and how many members it can lose and still sell. Exit code 0: all is well; 3: it
sells, but something is wrong; 6: some shard has no leader, so it does not sell.`,
		Example: `  holdfast cluster health -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			status := statusOutOf(survey(cmd.Context(), c, a.endpoints))
			out := healthOf(status)
			if err := a.print(out); err != nil {
				return err
			}
			if err := status.unreachable(); err != nil {
				return err
			}
			return out.verdict()
		},
	}
}

type healthOut struct {
	Healthy          bool             `json:"healthy"`
	Serving          bool             `json:"serving"`           // every shard has a leader
	FailureTolerance int              `json:"failure_tolerance"` // members that can fail, whichever they are, and every shard still decides
	Members          int              `json:"members"`
	Reachable        int              `json:"reachable"`
	Shards           []shardHealthOut `json:"shards"`
	Problems         []string         `json:"problems"`
}

type shardHealthOut struct {
	Shard            holdfast.ShardID `json:"shard"`
	Leader           string           `json:"leader"`
	Voters           int              `json:"voters"`
	HealthyVoters    int              `json:"healthy_voters"`
	FailureTolerance int              `json:"failure_tolerance"`
}

// healthOf judges a cluster by its members' status.
func healthOf(s statusOut) healthOut {
	out := healthOut{Serving: len(s.Shards) > 0, Members: len(s.Members), Shards: []shardHealthOut{}, Problems: []string{}}
	problem := func(format string, args ...any) { out.Problems = append(out.Problems, fmt.Sprintf(format, args...)) }
	for _, m := range s.Members {
		name := m.Name
		if name == "" {
			name = m.ClientAddress
		}
		if !m.Reachable {
			problem("%s does not answer", name)
			continue
		}
		if !m.Ready {
			problem("%s is not ready", name)
		}
		if m.DiskLow {
			problem("%s is short of disk space", name)
		}
		if m.lastAppend() > appendMax {
			problem("%s has a slow disk: its last write to a log took %v", name, m.lastAppend().Round(time.Millisecond))
		}
		out.Reachable++
	}
	for i, shard := range s.Shards {
		one := shardHealthOut{Shard: shard.Shard, Leader: shard.Leader, Voters: shard.Voters}
		for _, r := range shard.Replicas {
			switch {
			case r.Halted != "":
				problem("shard %s is halted on %s: %s", shard.Shard, r.Member, r.Halted)
			case r.Trails > trailsMax:
				problem("shard %s on %s is %d entries behind", shard.Shard, r.Member, r.Trails)
			case r.Voter:
				one.HealthyVoters++
			}
		}
		if shard.Leader == "" {
			out.Serving = false
			problem("shard %s has no leader", shard.Shard)
		}
		one.FailureTolerance = max(one.HealthyVoters-(shard.Voters/2+1), 0)
		if i == 0 || one.FailureTolerance < out.FailureTolerance {
			out.FailureTolerance = one.FailureTolerance
		}
		out.Shards = append(out.Shards, one)
	}
	out.Healthy = out.Serving && len(out.Problems) == 0
	return out
}

func (o healthOut) verdict() error {
	switch {
	case !o.Serving:
		return &holdfast.Error{Kind: holdfast.Unavailable, Op: "cluster health", Message: "some shard has no leader: nothing can be sold there"}
	case !o.Healthy:
		return &checkFailed{"the cluster sells, and is not well"}
	}
	return nil
}

func (o healthOut) table(w io.Writer) {
	row(w, "Healthy:", yesNo(o.Healthy))
	row(w, "Failure tolerance:", fmt.Sprintf("%d of %d members", o.FailureTolerance, o.Members))
	row(w, "Answering:", fmt.Sprintf("%d of %d members", o.Reachable, o.Members))
	row(w)
	row(w, "SHARD", "LEADER", "VOTERS", "HEALTHY", "FAILURE TOLERANCE")
	for _, s := range o.Shards {
		leader := s.Leader
		if leader == "" {
			leader = "none"
		}
		row(w, s.Shard, leader, s.Voters, s.HealthyVoters, s.FailureTolerance)
	}
	for _, p := range o.Problems {
		row(w, "! "+p)
	}
}
