package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/rpc/api"
)

func (a *app) clusterCommand() *cobra.Command {
	c := &cobra.Command{Use: "cluster", Short: "See how a cluster is, and move leadership"}
	c.AddCommand(a.clusterStatus(), a.clusterHealth(), a.clusterVerify(), a.clusterTransfer())
	return c
}

// statusPatience is how long one member may take to say how it is. Members are asked at the same time.
const statusPatience = 2 * time.Second

// memberStatus is what one member says of itself, or that it does not answer.
type memberStatus struct {
	address string // client address
	name    string // what others call it, when it does not answer
	id      string
	status  *api.StatusResponse
	err     error
}

// survey asks the endpoints, and every member that one of them knows, for their status. It needs no leader.
func survey(ctx context.Context, c *client.Client, endpoints []string) []memberStatus {
	ctx, cancel := context.WithTimeout(ctx, 2*statusPatience)
	defer cancel()
	var all []memberStatus
	asked := map[string]bool{}
	for ask := endpoints; len(ask) > 0; {
		found := make([]memberStatus, len(ask))
		var wg sync.WaitGroup
		for i, address := range ask {
			asked[address] = true
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, statusPatience)
				defer cancel()
				status, err := c.Status(ctx, address)
				found[i] = memberStatus{address: address, status: status, err: err}
			})
		}
		wg.Wait()
		all, ask = append(all, found...), nil
		for _, m := range all {
			for _, peer := range m.status.GetMembers() {
				if address := peer.GetClientAddress(); address != "" && !asked[address] && !slices.Contains(ask, address) {
					ask = append(ask, address)
				}
			}
		}
	}
	return unique(all)
}

// unique drops members that were asked at two addresses, fills in what others know of the silent ones, and sorts by
// name.
func unique(all []memberStatus) (members []memberStatus) {
	seen := map[string]bool{}
	for _, m := range all {
		if m.status != nil {
			m.id, m.name = m.status.GetId(), m.status.GetName()
			if seen[m.id] {
				continue
			}
			seen[m.id] = true
		}
		members = append(members, m)
	}
	known := map[string]*api.Member{}
	for _, m := range members {
		for _, peer := range m.status.GetMembers() {
			known[peer.GetId()] = peer
		}
	}
	for i := range members {
		if m := &members[i]; m.status == nil {
			for _, peer := range known {
				if peer.GetClientAddress() == m.address {
					m.id, m.name = peer.GetId(), peer.GetName()
				}
			}
			seen[m.id] = true
		}
	}
	// Members that nobody knows how to reach are members all the same.
	for id, peer := range known {
		if !seen[id] {
			members = append(members, memberStatus{address: peer.GetClientAddress(), name: peer.GetName(), id: id, err: errSilent})
		}
	}
	slices.SortFunc(members, func(a, b memberStatus) int {
		return strings.Compare(a.name+"\x00"+a.id+a.address, b.name+"\x00"+b.id+b.address)
	})
	return members
}

var errSilent = &holdfast.Error{Kind: holdfast.Unavailable, Message: "it has not told anybody its client address"}

func (a *app) clusterStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show members and shards on one screen; works without a leader",
		Example: `  holdfast cluster status --endpoints 127.0.0.1:7401
  holdfast cluster status -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			out := statusOutOf(survey(cmd.Context(), c, a.endpoints))
			if err := a.print(out); err != nil {
				return err
			}
			return out.unreachable()
		},
	}
}

type statusOut struct {
	Cluster string           `json:"cluster"`
	Members []memberOut      `json:"members"`
	Shards  []shardStatusOut `json:"shards"`
}

type memberOut struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	ClientAddress string `json:"client_address"`
	Reachable     bool   `json:"reachable"`
	Ready         bool   `json:"ready"`
	Version       string `json:"version,omitempty"`
	UptimeMs      int64  `json:"uptime_ms,omitempty"`
	DiskFreeBytes uint64 `json:"disk_free_bytes,omitempty"`
	DiskLow       bool   `json:"disk_low,omitempty"`
	LastAppendUs  int64  `json:"last_append_us,omitempty"` // that the last write to a log took, or takes already
	WallOffsetMs  int64  `json:"wall_offset_ms"`           // against the median of the members that answered
	Error         string `json:"error,omitempty"`
}

func (m memberOut) lastAppend() time.Duration {
	return time.Duration(m.LastAppendUs) * time.Microsecond
}

type shardStatusOut struct {
	Shard    holdfast.ShardID `json:"shard"`
	Leader   string           `json:"leader"` // name; empty: none
	Term     uint64           `json:"term"`
	Commit   uint64           `json:"commit_index"`
	Voters   int              `json:"voters"`
	Learners int              `json:"learners"`
	Holds    uint64           `json:"holds"`
	Replicas []replicaOut     `json:"replicas"`
}

type replicaOut struct {
	Member        string `json:"member"`
	Role          string `json:"role"`
	Voter         bool   `json:"voter"`
	Applied       uint64 `json:"applied_index"`
	Trails        uint64 `json:"trails"` // entries that the leader has committed and this has not applied
	LastContactMs int64  `json:"last_contact_ms"`
	Queued        uint64 `json:"queued_commands"`
	Snapshot      uint64 `json:"snapshot_index"`
	Syncs         uint64 `json:"syncs"`
	Halted        string `json:"halted,omitempty"`
}

func statusOutOf(members []memberStatus) statusOut {
	out := statusOut{Members: []memberOut{}, Shards: []shardStatusOut{}}
	median := medianWall(members)
	for _, m := range members {
		one := memberOut{ID: m.id, Name: m.name, ClientAddress: m.address}
		if s := m.status; s != nil {
			out.Cluster = s.GetCluster()
			one.Reachable, one.Ready, one.Version, one.UptimeMs = true, s.GetReady(), s.GetVersion(), s.GetUptimeMs()
			one.DiskFreeBytes, one.DiskLow, one.LastAppendUs, one.WallOffsetMs = s.GetDiskFreeBytes(), s.GetDiskLow(), s.GetLastAppendUs(), s.GetWallMs()-median
		} else {
			one.Error = m.err.Error()
		}
		out.Members = append(out.Members, one)
		for _, s := range m.status.GetShards() {
			out.add(m, s)
		}
	}
	slices.SortFunc(out.Shards, func(a, b shardStatusOut) int { return int(a.Shard) - int(b.Shard) })
	for i := range out.Shards {
		for j := range out.Shards[i].Replicas {
			r := &out.Shards[i].Replicas[j]
			r.Trails = max(out.Shards[i].Commit, r.Applied) - r.Applied
		}
	}
	return out
}

// add takes in one member's replica of a shard. The word of the highest term counts.
func (o *statusOut) add(m memberStatus, s *api.ShardStatus) {
	id := holdfast.ShardID(s.GetShard())
	i := slices.IndexFunc(o.Shards, func(have shardStatusOut) bool { return have.Shard == id })
	if i < 0 {
		i = len(o.Shards)
		o.Shards = append(o.Shards, shardStatusOut{Shard: id})
	}
	shard := &o.Shards[i]
	leads := s.GetRole() == "leader"
	if s.GetTerm() > shard.Term {
		shard.Term, shard.Leader = s.GetTerm(), ""
	}
	if leads && s.GetTerm() == shard.Term {
		shard.Leader, shard.Holds = m.name, s.GetHolds()
	}
	shard.Commit = max(shard.Commit, s.GetCommitIndex())
	shard.Voters = max(shard.Voters, len(s.GetVoters()))
	shard.Learners = max(shard.Learners, len(s.GetLearners()))
	shard.Replicas = append(shard.Replicas, replicaOut{Member: m.name, Role: s.GetRole(), Voter: slices.Contains(s.GetVoters(), m.id),
		Applied: s.GetAppliedIndex(), LastContactMs: s.GetLastContactMs(), Queued: s.GetQueuedCommands(), Snapshot: s.GetSnapshotIndex(),
		Syncs: s.GetSyncs(), Halted: s.GetHalted()})
}

// medianWall is the median of the members' wall clocks. They were read within statusPatience of each other, on
// loopback and in one room within milliseconds.
func medianWall(members []memberStatus) int64 {
	var walls []int64
	for _, m := range members {
		if m.status != nil {
			walls = append(walls, m.status.GetWallMs())
		}
	}
	if len(walls) == 0 {
		return 0
	}
	slices.Sort(walls)
	return walls[(len(walls)-1)/2]
}

// unreachable is the error when nobody answered.
func (o statusOut) unreachable() error {
	for _, m := range o.Members {
		if m.Reachable {
			return nil
		}
	}
	return &holdfast.Error{Kind: holdfast.Unavailable, Op: "cluster", Message: "no member answers"}
}

func (o statusOut) table(w io.Writer) {
	row(w, "MEMBER", "CLIENT ADDRESS", "READY", "LEADS", "UPTIME", "DISK FREE", "DISK WRITE", "CLOCK", "VERSION")
	for _, m := range o.Members {
		if !m.Reachable {
			row(w, m.Name, m.ClientAddress, "does not answer")
			continue
		}
		var leads []string
		for _, s := range o.Shards {
			if s.Leader == m.Name {
				leads = append(leads, s.Shard.String())
			}
		}
		disk := fmt.Sprintf("%.1f GiB", float64(m.DiskFreeBytes)/(1<<30))
		if m.DiskLow {
			disk += " LOW"
		}
		row(w, m.Name, m.ClientAddress, yesNo(m.Ready), strings.Join(leads, ","), (time.Duration(m.UptimeMs) * time.Millisecond).Round(time.Second),
			disk, m.lastAppend().Round(10*time.Microsecond), fmt.Sprintf("%+dms", m.WallOffsetMs), m.Version)
	}
	row(w)
	row(w, "SHARD", "MEMBER", "ROLE", "VOTER", "TERM", "APPLIED", "TRAILS", "LAST CONTACT", "QUEUED")
	for _, s := range o.Shards {
		for _, r := range s.Replicas {
			contact := fmt.Sprintf("%dms", r.LastContactMs)
			if r.LastContactMs < 0 {
				contact = "never"
			} else if r.Role == "leader" {
				contact = "-"
			}
			role := r.Role
			if r.Halted != "" {
				role = "HALTED: " + r.Halted
			}
			row(w, s.Shard, r.Member, role, yesNo(r.Voter), s.Term, r.Applied, r.Trails, contact, r.Queued)
		}
	}
}
