package node

import (
	"testing"
	"time"
)

func TestLoadIsWhatCommandsTakeFromTheQueueToTheirAnswer(t *testing.T) {
	b := newBench(t).serve()
	b.measure()
	offer := func(count int) {
		if err := b.offer(b.batch(count)); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 { // each waits for 4 ms until it is packed, 2 ms on the average, and 6 ms for its answer
		offer(1)
		b.clock.now += 4 * time.Millisecond
		offer(9)
		e := b.pack(1)[0]
		b.clock.now += 6 * time.Millisecond
		b.apply(e)
	}
	if commands, took := b.measure(); commands != 100 || took != 8*time.Millisecond {
		t.Errorf("%d commands took %v, want 100 and 8 ms", commands, took)
	}
	if commands, took := b.measure(); commands != 0 || took != 0 {
		t.Errorf("after a reading %d commands took %v", commands, took)
	}

	offer(1)
	e := b.pack(1)[0]
	b.clock.now += time.Second
	if commands, took := b.measure(); commands != 0 || took != time.Second {
		t.Errorf("while the path stands still %d commands took %v, want none and a second", commands, took)
	}
	b.apply(e)
}
