package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// claims carries commands to the node's shards.
type claims struct {
	api.UnimplementedClaimsServer
	*Server
}

// waitDefault is how long a batch waits to be packed when its sender does not say.
const waitDefault = 10 * time.Second

// Submit carries one batch and waits for its results.
func (c *claims) Submit(ctx context.Context, b *api.Batch) (*api.BatchResult, error) {
	replies := make(chan node.Reply, 1)
	var d command.Decoder
	if err := c.submit(&d, b, func(r node.Reply) { replies <- r }); err != nil {
		return nil, err
	}
	select {
	case r := <-replies:
		if r.Err != nil {
			return nil, r.Err
		}
		return convert.Result(b, r.Stamp, r.Results, nil), nil
	case <-ctx.Done():
		return nil, &holdfast.Error{Kind: holdfast.Unknown, Shard: holdfast.ShardID(b.GetShard()), Message: "no answer in time", Err: ctx.Err()}
	}
}

// submit checks a batch and hands it to the node. done is called, once and without blocking, unless there is an error.
func (c *claims) submit(d *command.Decoder, b *api.Batch, done func(node.Reply)) error {
	count, settles, err := convert.OpenBatch(d, b)
	if err != nil {
		return err
	}
	wait := waitDefault
	if ms := b.GetTimeoutMs(); ms > 0 {
		wait = min(time.Duration(ms)*time.Millisecond, callMax)
	}
	c.node.Submit(node.Batch{Shard: holdfast.ShardID(b.GetShard()), Commands: b.GetCommands(), Count: count, Settles: settles,
		Deadline: time.Now().Add(wait), Done: done})
	return nil
}

// Stream carries batches as they come. It sends the results; a goroutine of its own receives the batches.
func (c *claims) Stream(stream grpc.BidiStreamingServer[api.Batch, api.BatchResult]) error {
	f := &flow{claims: c, stream: stream, room: make(chan struct{}, batchesMax), results: make(chan *api.BatchResult, batchesMax), received: make(chan error, 1)}
	go func() { f.received <- f.receive() }()
	received, closing := f.received, c.closing.Done()
	var last error
	for {
		select {
		case r := <-f.results:
			if err := stream.Send(r); err != nil {
				return err
			}
			<-f.room
		case last = <-received:
			received = nil
		case <-closing:
			closing, last = nil, errClosing
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		// Whether the client sends no more or the server closes: what was taken in is answered first.
		if (received == nil || closing == nil) && len(f.room) == 0 {
			return last
		}
	}
}

// flow is one stream of batches.
type flow struct {
	*claims
	stream   grpc.BidiStreamingServer[api.Batch, api.BatchResult]
	room     chan struct{}         // one token for each batch that was taken in, until its result is sent
	results  chan *api.BatchResult // as many as there can be tokens, so that who answers never waits
	received chan error            // one: how receiving ended
}

// receive hands batches to the node until the client sends no more, or the stream ends.
func (f *flow) receive() error {
	var d command.Decoder
	for {
		b, err := f.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case f.room <- struct{}{}:
		case <-f.stream.Context().Done():
			return f.stream.Context().Err()
		}
		if f.closing.Err() != nil {
			err = errClosing
		} else {
			err = f.submit(&d, b, func(r node.Reply) { f.results <- convert.Result(b, r.Stamp, r.Results, r.Err) })
		}
		if err != nil {
			f.results <- convert.Result(b, holdfast.Stamp{}, nil, err)
		}
	}
}
