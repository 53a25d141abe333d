package exact

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm"
)

// world is one play of a plan.
type world struct {
	plan  Plan
	plant Plant
	ctx   context.Context

	now    time.Duration // since the beginning
	queue  agenda
	serial uint64
	fibers []*fiber
	active int // buyers that have not come to their end

	net     network
	shard   *shard
	bank    *bank
	workers []*worker
	edges   []*caller
	stats   settle.Stats
	books   books

	times map[uint64]uint64 // how often chance was asked about a thing

	hash    uint64 // of the trace
	lines   []string
	telling bool // the trace is kept for people
	counts  Counts
	failed  *Violation
}

// Counts are what a play consisted of.
type Counts struct {
	Events   int // of the agenda
	Entries  int
	Commands int
	Calls    int // to the bank
	Faults   int // steps of the plan that are not buyers
	Sold     int // orders
}

// Violation is a promise that was not kept.
type Violation struct {
	Check  string        `json:"check"`
	Detail string        `json:"detail"`
	At     time.Duration `json:"at"`
}

func (v Violation) String() string {
	return fmt.Sprintf("%s after %.3fs: %s", v.Check, v.At.Seconds(), v.Detail)
}

// fail notes the first violation; the play ends with it.
func (w *world) fail(check, format string, args ...any) {
	if w.failed == nil {
		w.failed = &Violation{Check: check, Detail: fmt.Sprintf(format, args...), At: w.now}
		w.say("VIOLATED", check, 0, 0)
	}
}

// crash notes a panic of the product's code.
func (w *world) crash(r any) {
	if a, ok := r.(*fsm.AssertionError); ok {
		w.fail("assertion", "%s", a.Message)
		return
	}
	panic(r)
}

// event is something that happens at an instant. Of those at one instant the one that was planned first comes first.
type event struct {
	at     time.Duration
	serial uint64
	do     func()
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].serial < a[j].serial
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)   { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = event{}
	*a = (*a)[:last]
	return e
}

// after plans something.
func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.queue, event{w.now + max(d, 0), w.serial, do})
}

// run lets time pass until then, or until something is violated.
func (w *world) run(until time.Duration) {
	for w.failed == nil && len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.counts.Events++
		e.do()
	}
	if w.failed == nil {
		w.now = max(w.now, until)
	}
}

// close ends every fiber that still waits.
func (w *world) close() {
	for _, f := range w.fibers {
		f.kill()
	}
}

// The trace is a hash over everything that happens, in order (FNV-1a). It is told in words only to whoever asks.

const (
	hashBasis = 14695981039346656037
	hashPrime = 1099511628211
)

func (w *world) mix(x uint64) {
	for range 8 {
		w.hash = (w.hash ^ x&0xFF) * hashPrime
		x >>= 8
	}
}

func (w *world) mixBytes(b []byte) {
	for _, c := range b {
		w.hash = (w.hash ^ uint64(c)) * hashPrime
	}
}

// say notes in the trace what happened, to whom, and two numbers about it.
func (w *world) say(what, who string, a, b uint64) {
	w.mix(uint64(w.now))
	for _, s := range [2]string{what, who} {
		for i := range len(s) {
			w.hash = (w.hash ^ uint64(s[i])) * hashPrime
		}
	}
	w.mix(a)
	w.mix(b)
	if w.telling {
		w.lines = append(w.lines, fmt.Sprintf("%10.6f  %-28s %-14s %d %d", w.now.Seconds(), what, who, a, b))
	}
}

// dice gives a source of chance of its own to whoever is named by the numbers.
func dice(seed, a uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, a)) }

// fold gives a hold's random part, by which chance about it goes: it stays what it is when other steps are taken out of a plan.
func fold(id holdfast.HoldID) uint64 { return binary.LittleEndian.Uint64(id[6:]) }

// chance gives whoever does something about a thing for the first time, the second time and so on a source of its own.
func (w *world) chance(about uint64) *rand.Rand {
	w.times[about]++
	return dice(w.plan.Seed+w.times[about], about)
}

// network is what happens to messages between clients and members.
type network struct {
	lostAnswers, lostRequests, doubled, slow window
}

// window is a fault that lasts for a while.
type window struct {
	until time.Duration
	size  int
}

func (v window) open(now time.Duration) bool { return now < v.until }

// strikes decides whether a fault of so many of 100 strikes now.
func (v window) strikes(now time.Duration, r *rand.Rand) bool {
	return v.open(now) && r.IntN(100) < v.size
}

// travel is how long a message takes.
func (w *world) travel(r *rand.Rand) time.Duration {
	d := 200*time.Microsecond + time.Duration(r.IntN(1800))*time.Microsecond
	if w.net.slow.open(w.now) {
		d += time.Duration(r.IntN(w.net.slow.size*1000+1)) * time.Microsecond
	}
	return d
}

const (
	theShard    holdfast.ShardID = 1
	theEvent    holdfast.EventID = 1
	theAccount                   = "acct_exact"
	clusterName                  = "exact"
	theCurrency                  = holdfast.Currency("eur")
)

// wallStart is the true wall clock at the beginning.
var wallStart = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// wall is the true wall clock.
func (w *world) wall() time.Time { return wallStart.Add(w.now) }

// Sum adds up the traces of many plays, in their order.
type Sum struct{ w world }

// NewSum is nothing added up.
func NewSum() *Sum { return &Sum{world{hash: hashBasis}} }

// Add adds a trace.
func (s *Sum) Add(hash uint64) { s.w.mix(hash) }

func (s *Sum) String() string { return fmt.Sprintf("%016x", s.w.hash) }
