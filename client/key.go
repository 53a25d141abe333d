package client

import (
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// PutKey gives a frontend's public key out, or another life to one that is out already: an end that is past takes it
// back. Giving the same again changes nothing, so after holdfast.Unknown it is simply given again.
func (c *Client) PutKey(ctx context.Context, key holdfast.FrontendKey) error {
	_, err := c.oneAt(ctx, "put key", EventRef{}, &command.PutKey{Key: key})
	return err
}

// Keys reads the public keys of frontends. It may have some that have expired since the last was given out.
func (c *Client) Keys(ctx context.Context, opts ...ReadOption) ([]holdfast.FrontendKey, error) {
	r := c.reading(ctx, holdfast.Directory, opts)
	a, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.KeysResponse, error) {
		return api.NewLineClient(conn).Keys(ctx, &api.KeysRequest{Consistency: r.consistency()})
	})
	if failure != nil {
		return nil, named("get keys", failure)
	}
	keys := make([]holdfast.FrontendKey, 0, len(a.GetKeys()))
	for _, k := range a.GetKeys() {
		key := holdfast.FrontendKey{Frontend: k.GetFrontend(), NotBeforeMs: k.GetNotBeforeMs(), NotAfterMs: k.GetNotAfterMs()}
		copy(key.Public[:], k.GetPublic())
		keys = append(keys, key)
	}
	return keys, nil
}
