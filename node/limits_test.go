package node

import (
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
)

// What happens at the limits that no story reaches.

func TestTooManyStrictReadsAreRefused(t *testing.T) {
	b := newBench(t)
	b.lead(true) // and the barrier is not applied: readers wait
	c := make(chan error, readersMax)
	for range readersMax {
		if err := b.await(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.await(c); !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("one too many: %v", err)
	}
	b.lead(false)
	if len(c) != readersMax {
		t.Errorf("%d of %d readers were answered", len(c), readersMax)
	}
}

// heldCut is a cut that is hashed when the test says so.
type heldCut struct {
	cut
	hash     chan struct{}
	released chan struct{}
}

func (c heldCut) Digest() [32]byte { <-c.hash; return [32]byte{1} }
func (c heldCut) Release()         { c.released <- struct{}{} }

func TestMarksAreLeftOutWhileTooManyAreHashed(t *testing.T) {
	var hashing sync.WaitGroup
	m := marks{busy: &hashing}
	c := heldCut{hash: make(chan struct{}), released: make(chan struct{}, marksMax+2)}
	for i := range uint64(marksMax) {
		m.take(i+1, c)
	}
	m.take(marksMax+1, c)
	if m.at(marksMax+1) != nil || len(c.released) != 1 {
		t.Errorf("one too many was taken, or not let go: %d cuts are released", len(c.released))
	}
	close(c.hash)
	hashing.Wait()
	m.take(marksMax+2, c)
	hashing.Wait()
	if m.at(1) != nil || m.at(marksMax+2) == nil || len(m.taken) != marksMax {
		t.Errorf("the oldest did not make room: %d are kept", len(m.taken))
	}
}

func TestConnectionsBeyondTheLimitAreClosed(t *testing.T) {
	var s connSet
	open := func() (ours net.Conn, ok bool, theirs net.Conn) {
		a, b := net.Pipe()
		t.Cleanup(func() { b.Close() })
		ours, ok = s.add(a, 1)
		return ours, ok, b
	}
	first, ok, _ := open()
	if !ok {
		t.Fatal("the first one was refused")
	}
	_, ok, theirs := open()
	if _, err := theirs.Read(make([]byte, 1)); ok || err == nil {
		t.Error("one too many is open")
	}
	first.Close()
	if _, ok, _ := open(); !ok {
		t.Error("the place that became free is not given to the next")
	}
	s.close()
	if _, ok, _ := open(); ok {
		t.Error("a closed set took a connection")
	}
}

func TestAWatcherThatLostItsPlaceIsWokenByTheNextChange(t *testing.T) {
	f := newFeed()
	f.add(make([]fsm.Change, feedChanges+1))
	_, changed, ok, err := f.since(0, make([]fsm.Change, 1))
	if ok || err != nil {
		t.Fatalf("what is no longer kept was given: %v, %v", ok, err)
	}
	f.add(make([]fsm.Change, 1))
	select {
	case <-changed:
	default:
		t.Error("it sleeps on")
	}
}
