package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// transfer is an operator's wish that another member leads a shard. The goroutine of the duties carries it out, so that it
// does not meet a move of its own.
type transfer struct {
	ctx  context.Context // the operator's patience
	to   raft.Server
	done chan error // capacity 1
}

// Transfer hands leadership of a shard to the member with this name and waits until that one leads. This node must lead
// the shard; where the member does already there is nothing to do. An error says that leadership stayed, or where it is.
// Leaders are spread by themselves: a while later the shard goes back to the member that it prefers.
func (n *Node) Transfer(ctx context.Context, shard holdfast.ShardID, to string) error {
	g, err := n.group(shard)
	if err != nil {
		return err
	}
	if !g.proposer.serves() {
		return g.proposer.notLeading()
	}
	server, err := g.voter(to)
	if err != nil || string(server.ID) == g.id {
		return err
	}
	t := transfer{ctx: ctx, to: server, done: make(chan error, 1)}
	select {
	case g.transfers <- t:
	case <-ctx.Done():
		return g.stayed(fmt.Sprintf("the shard's leader is busy; %s was not asked", to), ctx.Err())
	case <-g.stopped:
		return g.proposer.notLeading()
	}
	select {
	case err := <-t.done:
		if err != nil {
			return g.stayed(fmt.Sprintf("leadership stayed: %s did not take it in time", to), err)
		}
	case <-ctx.Done():
		return g.stayed(fmt.Sprintf("it is not known whether %s has taken the leadership: see cluster status", to), ctx.Err())
	case <-g.stopped:
		return g.proposer.notLeading()
	}
	return g.arrived(ctx, server)
}

func (g *group) stayed(message string, err error) error {
	return &holdfast.Error{Kind: holdfast.Unavailable, Shard: g.shard, RetryAfter: electedAfter, Message: message, Err: err}
}

// voter finds the voting member with a name that has answered lately; ourselves too.
func (g *group) voter(name string) (raft.Server, error) {
	refuse := func(kind holdfast.Kind, format string, args ...any) (raft.Server, error) {
		return raft.Server{}, &holdfast.Error{Kind: kind, Shard: g.shard, Message: fmt.Sprintf(format, args...)}
	}
	servers := g.servers()
	for _, peer := range g.peers.All() {
		if !peer.Known || peer.Name != name {
			continue
		}
		at := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == peer.ID })
		switch {
		case at < 0:
			return refuse(holdfast.Invalid, "%s has no copy of the shard", name)
		case servers[at].Suffrage != raft.Voter:
			return refuse(holdfast.Invalid, "%s does not vote: it learns only", name)
		case peer.ID == g.id:
			return servers[at], nil
		case peer.Age >= fresh*g.timing.Hello:
			continue // another with this name may answer
		case !g.follows(servers[at].ID):
			return refuse(holdfast.Unavailable, "%s does not follow the leader yet: it has come back just now, or is cut off; leadership stayed", name)
		}
		return servers[at], nil
	}
	// Who leads since it was started may not have met a member that the group has.
	if slices.ContainsFunc(servers, func(s raft.Server) bool { return nameOf(string(s.ID)) == name }) {
		return refuse(holdfast.Unavailable, "%s does not answer; leadership stayed", name)
	}
	return refuse(holdfast.NotFound, "the shard's leader knows no member %q", name)
}

// arrived waits until it is known who leads after us.
func (g *group) arrived(ctx context.Context, to raft.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 4*g.timing.Election) // an election may fail once
	defer cancel()
	ticker := time.NewTicker(g.timing.Heartbeat / 10)
	defer ticker.Stop()
	for {
		_, id := g.raft.LeaderWithID()
		switch {
		case id == to.ID:
			return nil
		case id != "" && string(id) != g.id:
			return g.stayed(fmt.Sprintf("leadership left, and went to %s", id), nil)
		case g.raft.State() == raft.Leader: // the proposer may not have heard yet that it left
			return g.stayed("leadership left, and came back", nil)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return g.stayed("leadership left, and nobody is known to lead yet", ctx.Err())
		}
	}
}

// carryOut hands leadership over as an operator wishes.
func (g *group) carryOut(ctx context.Context, t transfer, now time.Duration) {
	if t.ctx.Err() != nil {
		t.done <- t.ctx.Err() // nobody waits
		return
	}
	g.log.Info("an operator moves the leadership", "shard", uint32(g.shard), "to", string(t.to.ID))
	g.duties.transfer = max(now, 1)
	t.done <- g.handOver(ctx, t.to)
}
