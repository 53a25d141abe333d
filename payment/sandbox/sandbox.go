package sandbox

import (
	"container/heap"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/payment"
)

// Server is a sandbox. It is safe for concurrent use.
type Server struct {
	cfg     Config
	handler http.Handler
	stop    context.CancelFunc
	done    chan struct{} // closed by run when it and all senders are over
	wake    chan struct{} // holds one signal for run

	mu        sync.Mutex // guards all below
	ahead     time.Duration
	books     *books
	keys      *keyStore
	reads     bucket
	writes    bucket
	faults    []*Fault
	tasks     queue[string]    // ids of objects whose time comes
	letters   queue[*delivery] // webhooks to be sent
	endpoints []Endpoint
	sending   int
	counts    Counts
	journal   *journal
}

// Counts says what happened to requests and webhooks.
type Counts struct {
	Requests         uint64 `json:"requests"`
	Limited          uint64 `json:"limited"`  // answered 429
	Replayed         uint64 `json:"replayed"` // answered from the memory of idempotency keys
	Faults           uint64 `json:"faults"`
	WebhooksSent     uint64 `json:"webhooks_sent"` // answered with 2xx
	WebhooksRepeated uint64 `json:"webhooks_repeated"`
	WebhooksLost     uint64 `json:"webhooks_lost"`
	WebhooksWaiting  int    `json:"webhooks_waiting"`
}

// New starts a sandbox, with the books of the journal if there is one. Close stops it.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, done: make(chan struct{}), wake: make(chan struct{}, 1),
		books: newBooks(cfg.Seed), keys: newKeyStore(), endpoints: append([]Endpoint(nil), cfg.Endpoints...),
		reads: bucket{rate: int64(cfg.ReadsPerSecond)}, writes: bucket{rate: int64(cfg.WritesPerSecond)},
	}
	if cfg.Journal != "" {
		var err error
		if s.journal, err = openJournal(cfg.Journal, s); err != nil {
			return nil, err
		}
		s.replan()
	}
	s.handler = s.routes()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.run(ctx)
	return s, nil
}

// Handler serves Stripe's API under /v1/ and the sandbox's own under /sandbox/.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers on the listener until the context ends, then closes both. Requests that hang are cut off after a
// second.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	web := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1) // one value, from the goroutine below
	go func() { failed <- web.Serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if web.Shutdown(end) != nil {
		_ = web.Close() // what still hangs was told to
	}
	<-failed
	return s.Close()
}

// Close stops timers and webhooks, and closes the journal. Requests under way go on; their books are not kept.
func (s *Server) Close() error {
	s.stop()
	<-s.done
	if t, ok := s.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.close()
}

// Keys gives the keys that the sandbox accepts.
func (s *Server) Keys() (secret, publishable payment.Secret) {
	return s.cfg.SecretKey, s.cfg.PublishableKey
}

// Advance moves the sandbox's clock ahead, and does what became due on the way, each at its time.
func (s *Server) Advance(d time.Duration) {
	if d < 0 {
		return
	}
	s.locked(func() {
		goal := s.now().Add(d)
		for len(s.tasks.items) > 0 && s.tasks.items[0].ms <= goal.UnixMilli() {
			if at := time.UnixMilli(s.tasks.items[0].ms); at.After(s.now()) {
				s.ahead += at.Sub(s.now())
			}
			s.settle()
		}
		s.ahead += max(0, goal.Sub(s.now()))
		s.keys.forget(s.now())
		s.journal.add(line{AheadMs: s.aheadMs()})
	})
}

// Now is the sandbox's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// aheadMs is how far the clock is ahead, rounded up.
func (s *Server) aheadMs() int64 { return int64((s.ahead + time.Millisecond - 1) / time.Millisecond) }

// Books exports every payment, in order of creation.
func (s *Server) Books() (entries []Entry) {
	s.locked(func() { entries = s.books.entries() })
	return entries
}

// Counts says what happened so far.
func (s *Server) Counts() (c Counts) {
	s.locked(func() {
		c = s.counts
		c.WebhooksWaiting = len(s.letters.items) + s.sending
	})
	return c
}

// AddEndpoint sends webhooks to one more address from now on.
func (s *Server) AddEndpoint(e Endpoint) error {
	err := refuse("too many webhook endpoints")
	s.locked(func() {
		if len(s.endpoints) < endpointsMax {
			s.endpoints, err = append(s.endpoints, e), nil
		}
	})
	return err
}

// locked runs f with the books up to date with the clock, and writes to the journal what f changed.
func (s *Server) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	f()
	s.journal.flush()
	s.rouse()
}

// rouse tells run that there may be something to do. It never blocks.
func (s *Server) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle does what is due by now.
func (s *Server) settle() {
	for len(s.tasks.items) > 0 && s.tasks.items[0].ms <= s.now().UnixMilli() {
		t := s.tasks.pop()
		s.due(t.what, t.ms)
	}
}

func (s *Server) plan(ms int64, id string) { s.tasks.push(ms, id) }

// replan makes the tasks of books that were read from a journal.
func (s *Server) replan() {
	for _, in := range s.books.order {
		if in.inner.DueMs != 0 {
			s.plan(in.inner.DueMs, in.ID)
		}
		for _, r := range s.books.refundsOf[in.ID] {
			if r.dueMs != 0 {
				s.plan(r.dueMs, r.ID)
			}
		}
	}
}

// run does what becomes due when nobody asks, and sends webhooks.
func (s *Server) run(ctx context.Context) {
	defer close(s.done)
	var senders sync.WaitGroup
	defer senders.Wait()
	for {
		wait := time.Hour
		s.mu.Lock()
		s.settle()
		s.journal.flush()
		now := s.now().UnixMilli()
		for s.sending < sendersMax && len(s.letters.items) > 0 && s.letters.items[0].ms <= now {
			letter := s.letters.pop().what
			s.sending++
			senders.Go(func() { s.send(ctx, letter) })
		}
		if len(s.tasks.items) > 0 {
			wait = min(wait, time.Duration(s.tasks.items[0].ms-now)*time.Millisecond)
		}
		if len(s.letters.items) > 0 && s.sending < sendersMax {
			wait = min(wait, time.Duration(s.letters.items[0].ms-now)*time.Millisecond)
		}
		s.mu.Unlock()
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// queue holds things by the time at which they are due; of one time, in the order in which they came.
type queue[T any] struct {
	items []queued[T]
	seq   uint64
}

type queued[T any] struct {
	ms   int64
	seq  uint64
	what T
}

func (q *queue[T]) push(ms int64, what T) {
	q.seq++
	heap.Push((*queueHeap[T])(&q.items), queued[T]{ms, q.seq, what})
}

func (q *queue[T]) pop() queued[T] { return heap.Pop((*queueHeap[T])(&q.items)).(queued[T]) }

type queueHeap[T any] []queued[T]

func (h queueHeap[T]) Len() int { return len(h) }
func (h queueHeap[T]) Less(i, j int) bool {
	return h[i].ms < h[j].ms || h[i].ms == h[j].ms && h[i].seq < h[j].seq
}
func (h queueHeap[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *queueHeap[T]) Push(x any)   { *h = append(*h, x.(queued[T])) }
func (h *queueHeap[T]) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = queued[T]{}
	*h = (*h)[:len(*h)-1]
	return last
}

// bucket lets so many requests pass in a second, and a second's worth at once.
type bucket struct {
	rate   int64 // requests a second
	debtUs int64 // how far what was let pass is ahead of the time
	lastUs int64
}

func (b *bucket) pass(now time.Time) bool {
	us := now.UnixMicro()
	b.debtUs = max(0, b.debtUs-max(0, us-b.lastUs))
	b.lastUs = us
	if b.debtUs >= int64(time.Second/time.Microsecond) {
		return false
	}
	b.debtUs += int64(time.Second/time.Microsecond) / b.rate
	return true
}

func secretText() string { return rand.Text() }
