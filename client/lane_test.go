package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

// idleLane is a lane whose sender does not run: what is queued stays.
func idleLane(t *testing.T) *lane {
	c, err := New([]string{"127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return newLane(c, 1)
}

func (l *lane) add(t *testing.T, count, bytes int, settles bool) (*call, *holdfast.Error) {
	t.Helper()
	k := l.c.newCall(time.Now().Add(time.Minute))
	k.count, k.settles, k.packed = count, settles, make([]byte, bytes)
	return k, l.enqueue(k)
}

func TestABatchIsBounded(t *testing.T) {
	l, k := idleLane(t), &link{flying: map[uint64]*batch{}}
	for _, q := range []struct{ count, bytes int }{{1000, 60_000}, {1000, 60_000}, {100, 6_000}, {4000, 300_000}, {1, 60}, {1, batchBytesMax}} {
		if _, failure := l.add(t, q.count, q.bytes, false); failure != nil {
			t.Fatal(failure)
		}
	}
	var counts []int
	for l.commands > 0 {
		counts = append(counts, l.take(k).count)
	}
	if want := []int{2000, 100, 4000, 1, 1}; len(counts) != len(want) {
		t.Errorf("batches of %v, want %v", counts, want)
	}
	if l.bytes != 0 || len(k.flying) != 5 {
		t.Errorf("%d bytes are left, %d batches in flight", l.bytes, len(k.flying))
	}
}

// A crowd of new holds may not keep those waiting who want to pay, and the server's share for these is of use only
// to batches of nothing else.
func TestWhatSettlesGoesFirstAndAlone(t *testing.T) {
	l, k := idleLane(t), &link{flying: map[uint64]*batch{}}
	for i := range 6 {
		if _, failure := l.add(t, 1, 60, i%2 == 1); failure != nil {
			t.Fatal(failure)
		}
	}
	for _, settles := range []bool{true, false} {
		b := l.take(k)
		if b.count != 3 {
			t.Errorf("a batch of %d, want 3", b.count)
		}
		for _, k := range b.calls {
			if k.settles != settles {
				t.Errorf("a call that settles (%v) is in the other batch", k.settles)
			}
		}
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	l := idleLane(t)
	for range queueCommandsMax / 4096 {
		if _, failure := l.add(t, 4096, 60, false); failure != nil {
			t.Fatal(failure)
		}
	}
	if _, failure := l.add(t, 1, 60, true); failure == nil || failure.Kind != holdfast.Overloaded {
		t.Errorf("one more gave %v", failure)
	}
}

// Who has given up is neither sent nor kept.
func TestTheAbandonedAreDropped(t *testing.T) {
	l, k := idleLane(t), &link{flying: map[uint64]*batch{}}
	for range 3 {
		gone, _ := l.add(t, 1, 60, false)
		if failure, left := l.abandon(gone, context.Canceled); failure.Kind != holdfast.Unavailable || !left || !errors.Is(failure, context.Canceled) {
			t.Errorf("a call that was not sent ended as %v", failure)
		}
	}
	stays, _ := l.add(t, 1, 60, false)
	l.blame(errClosed) // the leader cannot be reached: a good time to look
	if l.commands != 1 {
		t.Errorf("%d commands are queued, want 1", l.commands)
	}
	last, _ := l.add(t, 1, 60, false)
	l.abandon(last, context.Canceled)
	if b := l.take(k); b.count != 1 || b.calls[0] != stays {
		t.Errorf("the batch has %d commands", b.count)
	}
	if failure, left := l.abandon(stays, context.Canceled); failure.Kind != holdfast.Unknown || !left {
		t.Errorf("a call that was sent ended as %v", failure)
	}
}
