package client

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
)

// newID makes an id that is valid until the given instant. The random part has to be unique, not secret: a hold's
// id opens nothing without its buyer's. The runtime's generator is ChaCha8, seeded by the system.
func newID(validUntil holdfast.Clock) holdfast.CommandID {
	var random [10]byte
	binary.LittleEndian.PutUint64(random[:], rand.Uint64())
	binary.LittleEndian.PutUint16(random[8:], uint16(rand.Uint32()))
	return holdfast.NewCommandID(validUntil, random)
}

// saw notes an instant of the shard's clock that was told now.
func (l *lane) saw(clock holdfast.Clock) { l.clock.Saw(clock, time.Since(l.epoch)) }

// validUntil gives the validity of commands made now. When the shard's clock was not seen lately it asks for it
// first, until the deadline.
func (l *lane) validUntil(ctx context.Context, deadline time.Time) (holdfast.Clock, *holdfast.Error) {
	for wait := (retry.Backoff{}); ; {
		if until, fresh := l.clock.ValidUntil(time.Since(l.epoch)); fresh {
			return until, nil
		}
		failure := l.c.routes.learn(ctx, deadline)
		if _, fresh := l.clock.ValidUntil(time.Since(l.epoch)); fresh {
			continue
		}
		if failure == nil {
			failure = &holdfast.Error{Kind: holdfast.Unavailable, Shard: l.shard, Message: "no member knows the shard; nothing was attempted"}
		}
		if !l.c.sleep(ctx, &wait, deadline, 0) {
			return 0, failure
		}
	}
}
