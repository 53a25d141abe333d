package rpc

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// members tells about the cluster. It needs no leader.
type members struct {
	api.UnimplementedClusterServer
	*Server
}

// Routes tells where shards are led, as far as this node knows.
func (s *members) Routes(context.Context, *api.RoutesRequest) (*api.RoutesResponse, error) {
	r := s.node.Routes()
	answer := &api.RoutesResponse{Cluster: r.Cluster, Node: r.Node, Members: memberList(r.Members)}
	for _, route := range r.Shards {
		answer.Shards = append(answer.Shards, &api.Route{Shard: uint32(route.Shard), Leader: route.Leader, LeaderAddress: route.LeaderAddress,
			Term: route.Term, ClockUs: uint64(route.Clock)})
	}
	return answer, nil
}

// Status tells what this node knows of itself.
func (s *members) Status(context.Context, *api.StatusRequest) (*api.StatusResponse, error) {
	n := s.node.Status()
	answer := &api.StatusResponse{Cluster: n.Cluster, Waiting: n.Waiting, Id: n.ID, Name: n.Name, Version: n.Version,
		UptimeMs: n.Uptime.Milliseconds(), Ready: n.Ready, WallMs: n.Wall.UnixMilli(), Members: memberList(n.Members),
		DiskFreeBytes: n.DiskFreeBytes, DiskLow: n.DiskLow, LastAppendUs: n.LastAppend.Microseconds()}
	for _, g := range n.Shards {
		answer.Shards = append(answer.Shards, &api.ShardStatus{Shard: uint32(g.Shard), Role: g.Role, Leader: g.Leader, Term: g.Term,
			LastIndex: g.LastIndex, CommitIndex: g.CommitIndex, AppliedIndex: g.AppliedIndex, SnapshotIndex: g.SnapshotIndex, Snapshotting: g.Snapshotting,
			LastContactMs: contactMs(g.LastContact), ClockUs: uint64(g.Clock), Voters: g.Voters, Learners: g.Learners,
			Holds: uint64(g.Holds), Remembered: uint64(g.Remembered), Halted: g.Halted, QueuedCommands: uint64(g.QueuedCommands),
			Syncs: g.Syncs, Entries: g.Entries, Commands: g.Commands})
	}
	return answer, nil
}

// Digest tells this node's state hash of a shard at a Mark entry.
func (s *members) Digest(ctx context.Context, q *api.DigestRequest) (*api.DigestResponse, error) {
	hash, err := s.node.Digest(ctx, holdfast.ShardID(q.GetShard()), q.GetIndex())
	if err != nil {
		return nil, err
	}
	return &api.DigestResponse{Index: q.GetIndex(), Hash: hash[:]}, nil
}

// Transfer hands leadership of a shard that this node leads to another member.
func (s *members) Transfer(ctx context.Context, q *api.TransferRequest) (*api.TransferResponse, error) {
	if q.GetTo() == "" || len(q.GetTo()) > holdfast.NameBytesMax {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "transfer", Field: "to", Message: "the name of a member"}
	}
	if err := s.node.Transfer(ctx, holdfast.ShardID(q.GetShard()), q.GetTo()); err != nil {
		return nil, err
	}
	return &api.TransferResponse{}, nil
}

func memberList(members []node.MemberStatus) []*api.Member {
	var all []*api.Member
	for _, m := range members {
		all = append(all, &api.Member{Id: m.ID, Name: m.Name, RaftAddress: m.RaftAddress, ClientAddress: m.ClientAddress, Reachable: m.Reachable,
			WallOffsetMs: m.WallOffset.Milliseconds()})
	}
	return all
}

// contactMs keeps "never" apart from "less than a millisecond ago".
func contactMs(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}
