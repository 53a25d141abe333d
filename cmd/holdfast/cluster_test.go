package main

import (
	"bytes"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// threeMembers are n1, which follows, n2, which leads both shards, and n3, which follows.
func threeMembers() []memberStatus {
	voters := []string{"n1-a", "n2-b", "n3-c"}
	peers := []*api.Member{
		{Id: "n1-a", Name: "n1", RaftAddress: "127.0.0.1:7301", ClientAddress: "127.0.0.1:7401"},
		{Id: "n2-b", Name: "n2", RaftAddress: "127.0.0.1:7302", ClientAddress: "127.0.0.1:7402"},
		{Id: "n3-c", Name: "n3", RaftAddress: "127.0.0.1:7303", ClientAddress: "127.0.0.1:7403"},
	}
	var members []memberStatus
	for i, p := range peers {
		s := &api.StatusResponse{Cluster: "c", Id: p.Id, Name: p.Name, Version: "v1", UptimeMs: 61_000, Ready: true, WallMs: int64(1000 + 2*i), Members: peers, DiskFreeBytes: 3 << 30, LastAppendUs: 1830}
		for shard := range uint32(2) {
			one := &api.ShardStatus{Shard: shard, Role: "follower", Leader: "n2-b", Term: 7, CommitIndex: 100, AppliedIndex: 99, LastContactMs: 12, Voters: voters, Syncs: 5}
			if p.Name == "n2" {
				one.Role, one.CommitIndex, one.AppliedIndex, one.LastContactMs, one.Holds = "leader", 101, 101, 0, 3
			}
			s.Shards = append(s.Shards, one)
		}
		members = append(members, memberStatus{address: p.ClientAddress, status: s})
	}
	return members
}

func TestStatusAndHealthOfAWellCluster(t *testing.T) {
	status := statusOutOf(unique(threeMembers()))
	goldenAnswer(t, "status", status)
	health := healthOf(status)
	goldenAnswer(t, "health", health)
	if health.verdict() != nil {
		t.Error(health.verdict())
	}
}

func TestStatusAndHealthOfAnUnwellCluster(t *testing.T) {
	members := threeMembers()
	members[0].status.DiskLow, members[0].status.Shards[1].Halted = true, "assertion failed: an example"
	members[1].status.LastAppendUs = 1_234_567
	members[2].status, members[2].err = nil, &holdfast.Error{Kind: holdfast.Unavailable, Op: "status", Message: "connection refused"}
	status := statusOutOf(unique(members))
	goldenAnswer(t, "status-unwell", status)
	health := healthOf(status)
	goldenAnswer(t, "health-unwell", health)
	if code := exitCode(health.verdict()); code != exitUnhealthy {
		t.Errorf("exit code %d", code)
	}
}

func TestACandidatesTermUnseatsTheLeader(t *testing.T) {
	members := threeMembers()
	members[2].status.Shards[1].Role, members[2].status.Shards[1].Term = "candidate", 8
	health := healthOf(statusOutOf(unique(members)))
	if health.Serving || exitCode(health.verdict()) != exitUnavailable {
		t.Errorf("%+v", health)
	}
}

func TestAMemberIsCountedOnce(t *testing.T) {
	members := threeMembers()
	twice := members[1]
	twice.address = "localhost:7402"
	silent := members[0]
	silent.status, silent.err = nil, errSilent
	for _, m := range members[1:] {
		m.status.Members[0].ClientAddress = "" // nobody knows where n1 is
	}
	got := unique([]memberStatus{members[2], members[1], twice})
	if len(got) != 3 || got[0].name != "n1" || got[0].status != nil || got[1].name != "n2" || got[2].name != "n3" {
		t.Errorf("%+v", got)
	}
}

func TestHashesMustAllBeKnownAndEqual(t *testing.T) {
	out := hashesOut{Shards: []shardHashesOut{
		{Shard: 0, Index: 5, Equal: true, Members: []memberHashOut{{Member: "n1", Hash: strings.Repeat("ab", 32)}, {Member: "n2", Hash: strings.Repeat("ab", 32)}}},
		{Shard: 1, Index: 9, Members: []memberHashOut{{Member: "n1", Hash: strings.Repeat("cd", 32)}, {Member: "n2", Error: "it does not answer"}}},
	}}
	goldenAnswer(t, "hashes", out)
}

// goldenAnswer compares an answer's JSON and its table.
func goldenAnswer(t *testing.T, name string, v answer) {
	t.Helper()
	var b bytes.Buffer
	if err := printJSON(&b, v); err != nil {
		t.Fatal(err)
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	v.table(w)
	w.Flush()
	golden(t, name, b.String())
}

func TestAMemberThatDoesNotAnswerMakesTheOthersNotUnequal(t *testing.T) {
	var page bytes.Buffer
	hashesOut{Shards: []shardHashesOut{
		{Shard: 1, Members: []memberHashOut{{Member: "n1", Error: "it does not answer"}, {Member: "n2", Hash: "aa"}, {Member: "n3", Hash: "aa"}}},
		{Shard: 2, Members: []memberHashOut{{Member: "n1", Hash: "bb"}, {Member: "n2", Hash: "aa"}}},
	}}.table(&page)
	if first, second, _ := strings.Cut(page.String(), "bb"); strings.Contains(first, "NOT EQUAL") || strings.Count(second, "NOT EQUAL") != 2 {
		t.Errorf("the table says:\n%s", page.String())
	}
}
