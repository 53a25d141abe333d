package client

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// routes is what the client knows of who leads which shard, and whom to ask. Any member answers with what it
// knows; the highest term wins. Safe for concurrent use.
type routes struct {
	c         *Client
	endpoints []string

	mu      sync.Mutex
	cluster string   // of the first answer; answers of another cluster are refused
	members []string // client addresses of the members that are known, and then the endpoints
	leaders map[holdfast.ShardID]retry.Leader
	asking  map[string]bool // addresses that have not answered yet
	latest  *round          // nil before the first
	turn    int             // whose turn it is to be asked what any member may answer
}

// round is one time of asking every member for routes.
type round struct {
	began    time.Time
	waiting  int             // members that have not answered
	answered chan struct{}   // closed by the first answer, or by the last failure
	failure  *holdfast.Error // before the first answer: the latest failure
	done     bool            // answered is closed
}

const (
	// refreshEvery spaces rounds, so that many callers in trouble ask as often as one.
	refreshEvery = 10 * time.Millisecond
	// askTimeout bounds one question: a member that does not answer for so long is of no use now.
	askTimeout = time.Second
	// membersMax bounds whom a round asks. A cluster has a handful.
	membersMax = 32
)

func (r *routes) init(c *Client, endpoints []string) {
	r.c, r.endpoints = c, endpoints
	r.members = append([]string(nil), endpoints...)
	r.leaders, r.asking = map[holdfast.ShardID]retry.Leader{}, map[string]bool{}
}

// leader gives the address of the shard's leader, as far as is known.
func (r *routes) leader(shard holdfast.ShardID) (address string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	address = r.leaders[shard].Address
	return address, address != ""
}

// shards gives the shards that sell and whose leader is known, in order.
func (r *routes) shards() (all []holdfast.ShardID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard := range r.leaders {
		if shard != holdfast.Directory {
			all = append(all, shard)
		}
	}
	slices.Sort(all)
	return all
}

// any gives the members' addresses in turn: those that answer stale reads and watches.
func (r *routes) any() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	return r.members[r.turn%len(r.members)]
}

// hint takes a member's word for who leads the shard. It has no term: any later round corrects it.
func (r *routes) hint(shard holdfast.ShardID, address string) {
	r.mu.Lock()
	known := r.leaders[shard]
	r.leaders[shard] = known.Hinted(address)
	r.mu.Unlock()
	if known.Address != address {
		r.c.follow(shard)
	}
}

// refresh begins a round of questions unless one began just now, and gives the round. It does not block.
func (r *routes) refresh() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest != nil && (!r.latest.done || time.Since(r.latest.began) < refreshEvery) {
		return r.latest
	}
	n := &round{began: time.Now(), answered: make(chan struct{})}
	for _, address := range r.members {
		if !r.asking[address] && r.c.start(func() { r.ask(n, address) }) {
			r.asking[address] = true
			n.waiting++
		}
	}
	if n.waiting == 0 {
		// Everybody is being asked already, or the client is closed.
		n.failure, n.done = &holdfast.Error{Kind: holdfast.Unavailable, Message: "no member answers"}, true
		close(n.answered)
	}
	r.latest = n
	return n
}

// learn begins a round, or joins the one under way, and waits for its first answer.
func (r *routes) learn(ctx context.Context, deadline time.Time) *holdfast.Error {
	n := r.refresh()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-n.answered:
	case <-ctx.Done():
		return retry.Stopped(ctx.Err(), nil)
	case <-timer.C:
		return retry.Stopped(context.DeadlineExceeded, nil)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return n.failure
}

func (r *routes) ask(n *round, address string) {
	ctx, cancel := context.WithTimeout(r.c.ctx, askTimeout)
	defer cancel()
	answer, failure := fetchRoutes(ctx, r.c, address)

	r.mu.Lock()
	var moved []holdfast.ShardID
	if failure == nil {
		moved, failure = r.merge(address, answer)
	}
	delete(r.asking, address)
	n.waiting--
	if !n.done {
		n.failure = failure
		if failure == nil || n.waiting == 0 {
			n.done = true
			close(n.answered)
		}
	}
	r.mu.Unlock()
	for _, shard := range moved {
		r.c.follow(shard)
	}
}

func fetchRoutes(ctx context.Context, c *Client, address string) (*api.RoutesResponse, *holdfast.Error) {
	conn, failure := c.conn(address)
	if failure != nil {
		return nil, failure
	}
	answer, err := api.NewClusterClient(conn).Routes(ctx, &api.RoutesRequest{}, grpc.WaitForReady(false))
	if err != nil {
		failure = statusOf(err)
		failure.Message = address + ": " + failure.Message
		return nil, failure
	}
	return answer, nil
}

// merge takes a member's answer in and gives the shards whose known leader changed. r.mu is held.
func (r *routes) merge(from string, answer *api.RoutesResponse) (moved []holdfast.ShardID, failure *holdfast.Error) {
	if r.cluster == "" {
		r.cluster = answer.GetCluster()
	}
	if answer.GetCluster() != r.cluster {
		return nil, &holdfast.Error{Kind: holdfast.Unavailable,
			Message: from + " belongs to cluster " + answer.GetCluster() + ", and this client is of " + r.cluster + ": make a new client"}
	}
	for _, route := range answer.GetShards() {
		shard, known := holdfast.ShardID(route.GetShard()), r.leaders[holdfast.ShardID(route.GetShard())]
		if l, failure := r.c.lane(shard); failure == nil {
			l.saw(holdfast.Clock(route.GetClockUs()))
		}
		now := known.Heard(route.GetLeaderAddress(), route.GetTerm())
		r.leaders[shard] = now
		if now.Address != known.Address {
			moved = append(moved, shard)
		}
	}
	r.remember(answer.GetMembers())
	return moved, nil
}

// remember replaces the members, endpoints last: they may be names that lead to any member. r.mu is held.
func (r *routes) remember(members []*api.Member) {
	known := map[string]bool{"": true}
	r.members = r.members[:0]
	add := func(address string) {
		if !known[address] && len(r.members) < membersMax {
			known[address] = true
			r.members = append(r.members, address)
		}
	}
	for _, m := range members {
		add(m.GetClientAddress())
	}
	for _, address := range r.endpoints {
		add(address)
	}
}

// follow tells the shard's lane that another member leads it now.
func (c *Client) follow(shard holdfast.ShardID) {
	address, _ := c.routes.leader(shard)
	c.log.Info("shard is led elsewhere", "shard", shard, "leader", address)
	if l, ok := (*c.lanes.Load())[shard]; ok {
		l.follow(address)
	}
}
