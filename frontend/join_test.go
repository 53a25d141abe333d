package frontend

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// blocks is a line that enters blocks when it is told to, and remembers them by id.
type blocks struct {
	mu      sync.Mutex
	next    holdfast.PlaceNumber
	byID    map[holdfast.CommandID]holdfast.PlaceNumber
	sizes   []int
	roots   [][32]byte
	fail    []error // what to answer to the next ones; entered says whether the block was entered all the same
	entered []bool
	gate    chan struct{} // nil: at once
}

func (b *blocks) enter(ctx context.Context, id holdfast.CommandID, count int, root [32]byte) (holdfast.PlaceNumber, error) {
	if b.gate != nil {
		<-b.gate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if id == (holdfast.CommandID{}) {
		id = holdfast.CommandID{byte(len(b.byID) + 1)}
	}
	var failure error
	entered := true
	if len(b.fail) > 0 {
		failure, entered = b.fail[0], b.entered[0]
		b.fail, b.entered = b.fail[1:], b.entered[1:]
		var e *holdfast.Error
		if errors.As(failure, &e) && e.Kind == holdfast.Unknown {
			e.Command = id
		}
	}
	base, known := b.byID[id]
	if entered && !known {
		base = b.next
		b.byID[id] = base
		b.next += holdfast.PlaceNumber(count)
		b.sizes, b.roots = append(b.sizes, count), append(b.roots, root)
	}
	return base, failure
}

func newDoor(t *testing.T, b *blocks) (*door, func()) {
	t.Helper()
	b.byID = map[holdfast.CommandID]holdfast.PlaceNumber{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	return &door{event: 7, enter: b.enter, ctx: ctx, wg: &wg, byKey: map[holdfast.PlaceKey]*joiner{}}, func() { cancel(); wg.Wait() }
}

func key(n int) holdfast.PlaceKey { return holdfast.PlaceKey{byte(n), byte(n >> 8), byte(n >> 16), 1} }

// TestJoinsShareACommandWhileOneIsInFlight: the first goes alone, all others that came meanwhile go together, and each
// has a number of its own and a path that the shard will accept.
func TestJoinsShareACommandWhileOneIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &blocks{gate: make(chan struct{})}
		d, stop := newDoor(t, b)
		defer stop()
		const n = 700
		places := make([]entered, n)
		var wg sync.WaitGroup
		join := func(i int) {
			wg.Go(func() {
				var err error
				if places[i], err = d.join(t.Context(), key(i)); err != nil {
					t.Error(err)
				}
			})
		}
		join(0)
		synctest.Wait()
		for i := 1; i < n; i++ {
			join(i)
		}
		synctest.Wait()
		close(b.gate)
		wg.Wait()
		if len(b.sizes) != 2 || b.sizes[0] != 1 || b.sizes[1] != n-1 {
			t.Fatalf("blocks of %v", b.sizes)
		}
		seen := map[holdfast.PlaceNumber]bool{}
		for i, p := range places {
			if seen[p.number] {
				t.Fatalf("two have number %d", p.number)
			}
			seen[p.number] = true
			block, base := 1, holdfast.PlaceNumber(1)
			if i == 0 {
				block, base = 0, 0
			}
			if p.number-base != holdfast.PlaceNumber(p.index) || !draw.Includes(b.roots[block], uint32(b.sizes[block]), uint32(p.index), draw.Leaf(7, key(i)), p.path) {
				t.Fatalf("%d has number %d, index %d, and a path that proves nothing", i, p.number, p.index)
			}
		}
	})
}

// TestABlockIsEnteredOnceHoweverOftenItsAnswerIsLost: the command is repeated with its own id.
func TestABlockIsEnteredOnceHoweverOftenItsAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := func() error { return &holdfast.Error{Kind: holdfast.Unknown} }
		b := &blocks{fail: []error{lost(), lost(), lost()}, entered: []bool{true, false, false}}
		d, stop := newDoor(t, b)
		defer stop()
		p, err := d.join(t.Context(), key(1))
		if err != nil || p.number != 0 || b.next != 1 {
			t.Fatalf("number %d of %d, %v", p.number, b.next, err)
		}
	})
}

// TestJoiningTwiceIsOnePlace: at once from two tabs, later from the same browser, and after the first one gave up
// waiting.
func TestJoiningTwiceIsOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &blocks{gate: make(chan struct{})}
		d, stop := newDoor(t, b)
		defer stop()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var first, second entered
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.join(impatient, key(1)); holdfast.KindOf(err) != holdfast.Unavailable {
				t.Errorf("who gave up waiting was told %v", err)
			}
		})
		wg.Go(func() { first, _ = d.join(t.Context(), key(1)) })
		synctest.Wait()
		<-impatient.Done()
		synctest.Wait()
		close(b.gate)
		wg.Wait()
		second, err := d.join(t.Context(), key(1))
		if err != nil || first.number != second.number || b.next != 1 || len(b.sizes) != 1 {
			t.Fatalf("places %d and %d, %d in all, %v", first.number, second.number, b.next, err)
		}
		d.forget(key(1))
		if third, _ := d.join(t.Context(), key(1)); third.number != 1 {
			t.Errorf("who left and joins again has place %d", third.number)
		}
	})
}

// TestEveryJoinerIsAnswered: a refusal and a failure reach all of the block, and a full queue says when to come again.
func TestEveryJoinerIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		b := &blocks{gate: make(chan struct{}), fail: []error{refused, refused}, entered: []bool{false, false}}
		d, stop := newDoor(t, b)
		defer stop()
		var told, full sync.WaitGroup
		var mu sync.Mutex
		counts := map[string]int{}
		count := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			var e *holdfast.Error
			switch {
			case err == nil:
				counts["placed"]++
			case errors.Is(err, refused):
				counts["refused"]++
			case errors.As(err, &e) && e.Kind == holdfast.Overloaded && e.RetryAfter > 0:
				counts["come again"]++
			default:
				counts[err.Error()]++
			}
		}
		told.Go(func() { _, err := d.join(t.Context(), key(0)); count(err) })
		synctest.Wait()
		for i := 1; i <= queueMax; i++ {
			told.Go(func() { _, err := d.join(t.Context(), key(i)); count(err) })
		}
		synctest.Wait()
		for i := range 10 {
			full.Go(func() { _, err := d.join(t.Context(), key(1<<20+i)); count(err) })
		}
		full.Wait()
		close(b.gate)
		told.Wait()
		if counts["come again"] != 10 || counts["refused"] != 1+blockPlacesLong || counts["placed"] != queueMax-blockPlacesLong || len(counts) != 3 {
			t.Errorf("%v", counts)
		}
	})
}

// TestATrickleOfPeopleDoesNotUseUpTheHeaders: the more of them are used, the longer people are collected; the first one
// after a pause waits for nobody.
func TestATrickleOfPeopleDoesNotUseUpTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &blocks{}
		d, stop := newDoor(t, b)
		defer stop()
		d.used.Store(holdfast.EntersMax / 2)
		began := time.Now()
		if _, err := d.join(t.Context(), key(0)); err != nil || time.Since(began) > 0 {
			t.Errorf("the first waited %v, %v", time.Since(began), err)
		}
		var all sync.WaitGroup
		for i := 1; i <= 30; i++ { // one every 50 ms
			all.Go(func() { _, _ = d.join(t.Context(), key(i)) })
			time.Sleep(50 * time.Millisecond)
		}
		all.Wait()
		if len(b.sizes) > 3 {
			t.Errorf("30 people in a second and a half took blocks of %v", b.sizes)
		}
	})
	for used, last := uint32(0), time.Duration(0); used <= holdfast.EntersMax; used += 64 {
		if gap := gapAt(used); gap < last || gap > joinPatience {
			t.Fatalf("at %d the gap is %v after %v", used, gap, last)
		} else {
			last = gap
		}
	}
}

func TestTheDoorsTreeIsTheDrawsTree(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 8, 13, 1000} {
		leaves := make([]draw.Hash, n)
		for i := range leaves {
			leaves[i] = draw.Leaf(7, key(i))
		}
		tr := newTree(leaves)
		if tr.root() != draw.Root(leaves) {
			t.Fatalf("%d leaves: another root", n)
		}
		for i := range leaves {
			if !draw.Includes(tr.root(), uint32(n), uint32(i), leaves[i], tr.path(i)) {
				t.Fatalf("%d leaves: the path of %d leads elsewhere", n, i)
			}
		}
	}
}

func TestRememberedPlacesAreBounded(t *testing.T) {
	var p recentPlaces
	const size = 4096
	for base := 0; base < recentMax+3*size; base += size {
		block := make([]*joiner, size)
		leaves := make([]draw.Hash, size)
		for i := range block {
			block[i] = &joiner{key: key(base + i)}
		}
		p.add(holdfast.PlaceNumber(base), newTree(leaves), block)
	}
	if len(p.byKey) > recentMax || len(p.byKey) < recentMax-size {
		t.Errorf("%d places are remembered, at most %d", len(p.byKey), recentMax)
	}
	if _, ok := p.find(key(0)); ok {
		t.Error("the oldest is remembered still")
	}
	if got, ok := p.find(key(recentMax + 2*size)); !ok || got.number != recentMax+2*size {
		t.Errorf("the newest is %v %v", got, ok)
	}
}
