package client

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

func TestEveryKindHasItsRule(t *testing.T) {
	for _, kind := range holdfast.Kinds() {
		if _, ok := retries[kind]; !ok {
			t.Errorf("what follows from %s is in no table", kind)
		}
	}
	if len(retries) != len(holdfast.Kinds()) {
		t.Errorf("%d rules for %d kinds", len(retries), len(holdfast.Kinds()))
	}
}

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

func TestPausesGrowAndStayBounded(t *testing.T) {
	var b backoff
	for range 20 {
		if d := b.next(); d < pauseFirst/2 || d >= pauseLongest {
			t.Errorf("a pause of %v", d)
		}
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

func TestResultsAreCutForTheirCalls(t *testing.T) {
	var packed []byte
	for i := range 5 {
		r := command.Result{Outcome: holdfast.OK, Event: holdfast.EventID(i)}
		packed = r.Append(packed)
	}
	first, rest := cut(packed, 2)
	second, rest := cut(rest, 3)
	if len(first)+len(second) != len(packed) || len(rest) != 0 {
		t.Errorf("%d and %d bytes of %d, %d left", len(first), len(second), len(packed), len(rest))
	}
	if too, _ := cut(packed, 6); too != nil {
		t.Error("six results were cut from five")
	}
	if short, _ := cut(packed[:len(packed)-1], 5); short != nil {
		t.Error("a result that is cut off was taken")
	}
}
