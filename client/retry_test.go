package client

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// What a server says reaches the caller as it was said, by a status and by a stream's message.
func TestFailuresTravelWhole(t *testing.T) {
	for _, kind := range holdfast.Kinds() {
		said := &holdfast.Error{Kind: kind, Message: "why", Field: "wants", Shard: 7, Leader: "127.0.0.1:7", RetryAfter: 250 * time.Millisecond}
		for way, heard := range map[string]*holdfast.Error{"status": statusOf(convert.Status(said)), "message": failureOf(convert.Failure(said))} {
			if *heard != *said {
				t.Errorf("as a %s %+v became %+v", way, said, heard)
			}
		}
	}
	for code, kind := range kindsByCode {
		if e := statusOf(status.Error(code, "not ours")); e.Kind != kind {
			t.Errorf("%v is %s, want %s", code, e.Kind, kind)
		}
	}
	if e := statusOf(status.Error(codes.DataLoss, "not ours")); e.Kind != holdfast.Internal {
		t.Errorf("a code without a rule is %s", e.Kind)
	}
	if e := statusOf(convert.Status(context.DeadlineExceeded)); e.Kind != holdfast.Unavailable {
		t.Errorf("a deadline on the server is %s", e.Kind)
	}
}

func TestAQueueKeepsItsOrder(t *testing.T) {
	var q queue
	next, want := 0, 0
	for round := range 200 {
		for range round % 7 {
			q.push(&call{count: next})
			next++
		}
		for q.len() > round%5 {
			if k := q.pop(); k.count != want {
				t.Fatalf("got %d, want %d", k.count, want)
			}
			want++
		}
	}
}
