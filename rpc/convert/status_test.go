package convert

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

func TestEveryKindHasACode(t *testing.T) {
	for _, kind := range holdfast.Kinds() {
		code, ok := codesByKind[kind]
		if err := Status(&holdfast.Error{Kind: kind}); !ok || status.Code(err) != code {
			t.Errorf("%s is %v", kind, err)
		}
	}
	if len(codesByKind) != len(holdfast.Kinds()) {
		t.Errorf("%d codes for %d kinds", len(codesByKind), len(holdfast.Kinds()))
	}
	for err, code := range map[error]codes.Code{
		nil: codes.OK, context.Canceled: codes.Canceled, context.DeadlineExceeded: codes.DeadlineExceeded, errors.New("else"): codes.Internal,
	} {
		if got := status.Code(Status(err)); got != code {
			t.Errorf("%v is %v, want %v", err, got, code)
		}
	}
}

func TestAMessageSaysWhatTheErrorSays(t *testing.T) {
	e := &holdfast.Error{Kind: holdfast.Unavailable, Op: "read", Message: "no quorum", Err: errors.New("cut off"), RetryAfter: 1500 * time.Microsecond}
	f := Failure(e)
	if f.GetMessage() != "read: no quorum: cut off" || f.GetRetryAfterMs() != 2 || holdfast.Kind(f.GetKind()) != holdfast.Unavailable {
		t.Errorf("the failure is %v", f)
	}
}

func TestABatchSettlesWhenAllOfItDoes(t *testing.T) {
	release := (&command.Release{}).Append(nil)
	both := (&command.Extend{}).Append(append([]byte(nil), release...))
	var d command.Decoder
	for _, c := range []struct {
		commands []byte
		count    int
		settles  bool
	}{{release, 1, true}, {both, 2, false}} {
		count, settles, err := OpenBatch(&d, &api.Batch{Shard: 1, Commands: c.commands})
		if err != nil || count != c.count || settles != c.settles {
			t.Errorf("%d commands, settling %v, %v; want %d, %v", count, settles, err, c.count, c.settles)
		}
	}
}
