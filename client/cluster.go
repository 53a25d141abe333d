package client

import (
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Routes tells who the members are and who leads which shard, as one member knows it.
func (c *Client) Routes(ctx context.Context) (*api.RoutesResponse, error) {
	r := c.reading(ctx, holdfast.Directory, []ReadOption{AllowStale()})
	routes, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.RoutesResponse, error) {
		return api.NewClusterClient(conn).Routes(ctx, &api.RoutesRequest{})
	})
	if failure != nil {
		return nil, named("routes", failure)
	}
	return routes, nil
}

// Status tells what the member at this address knows of itself. It asks once: a member that does not answer is an
// answer too.
func (c *Client) Status(ctx context.Context, address string) (*api.StatusResponse, error) {
	const op = "status"
	conn, failure := c.conn(address)
	if failure != nil {
		return nil, named(op, failure)
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline(ctx))
	defer cancel()
	status, err := api.NewClusterClient(conn).Status(ctx, &api.StatusRequest{})
	if err != nil {
		return nil, named(op, statusOf(err))
	}
	return status, nil
}

// Mark makes every replica of the shard take its state hash at one entry, and gives that entry's stamp.
func (c *Client) Mark(ctx context.Context, shard holdfast.ShardID) (holdfast.Stamp, error) {
	a, err := c.oneAt(ctx, "mark", EventRef{Shard: shard}, &command.Mark{})
	return a.stamp, err
}

// Digest asks the member at this address for its state hash of the shard at a Mark entry. It asks once: a member
// that has not applied the entry yet is Unavailable, one that has forgotten it NotFound.
func (c *Client) Digest(ctx context.Context, address string, shard holdfast.ShardID, index uint64) (hash [32]byte, err error) {
	const op = "digest"
	conn, failure := c.conn(address)
	if failure != nil {
		return hash, named(op, failure)
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline(ctx))
	defer cancel()
	answer, err := api.NewClusterClient(conn).Digest(ctx, &api.DigestRequest{Shard: uint32(shard), Index: index})
	if err != nil {
		return hash, named(op, statusOf(err))
	}
	if copy(hash[:], answer.GetHash()) != len(hash) {
		return hash, &holdfast.Error{Kind: holdfast.Internal, Op: op, Message: "a hash of another size"}
	}
	return hash, nil
}

// Transfer hands leadership of a shard to the member with this name, and returns when that one leads. It asks the shard's
// leader, again while leadership stays and there is time. Claims that are under way wait for a moment; none is lost.
func (c *Client) Transfer(ctx context.Context, shard holdfast.ShardID, to string) error {
	r := c.reading(ctx, shard, nil)
	_, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.TransferResponse, error) {
		return api.NewClusterClient(conn).Transfer(ctx, &api.TransferRequest{Shard: uint32(shard), To: to})
	})
	if failure != nil {
		return named("transfer", failure)
	}
	return nil
}
