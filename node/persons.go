package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/holdfast-db/holdfast"
)

// persons keeps the keys to personal data beside the log: see keyring for why that needs no consensus, and keyFiles for
// the disk. One goroutine makes every change, so that what comes at the same time shares a sync.
type persons struct {
	ring  *keyring
	files *keyFiles // the changing goroutine's
	log   *slog.Logger
	low   func() bool // so little space is left that nothing new is taken
	latch *latch      // stops the node at the first doubt about the disk

	work    chan personsWork
	stopped chan struct{} // closed when no change is made any more
}

// personsWork is one change. It is answered once, on a channel with room for the answer.
type personsWork struct {
	key    *holdfast.PersonKey // one that must be kept, or refused
	forget []holdfast.HoldID
	taught []holdfast.PersonKey // what another member has acknowledged: taken in as far as it is news
	done   chan error
}

const (
	personsQueue = 256 // changes that wait; callers wait when it is full
	// ForgetMax bounds the holds that one call forgets.
	ForgetMax = 1024
)

// openPersons reads the keyring of a node's storage. Its goroutine ends with life.
func openPersons(s *storage, log *slog.Logger) (*persons, error) {
	dir, err := s.disk.Dir(personsDir)
	if err != nil {
		return nil, err
	}
	p := &persons{ring: newKeyring(), log: log, low: s.Low, latch: s.latch, work: make(chan personsWork, personsQueue), stopped: make(chan struct{})}
	if p.files, err = openKeyFiles(latchedDir{dir, s.latch}, p.ring); err != nil {
		return nil, fmt.Errorf("open the keyring: %w", err)
	}
	return p, nil
}

// run is the changing goroutine.
func (p *persons) run(life context.Context) {
	defer close(p.stopped)
	for {
		select {
		case <-life.Done():
			return
		case w := <-p.work:
			batch := []personsWork{w}
			for len(batch) < personsQueue && len(p.work) > 0 {
				batch = append(batch, <-p.work)
			}
			p.change(batch)
		}
	}
}

// do has a change made and waits for it.
func (p *persons) do(ctx context.Context, w personsWork) error {
	closing := &holdfast.Error{Kind: holdfast.Unavailable, Message: "the node is being stopped; asking again does no harm"}
	w.done = make(chan error, 1)
	select {
	case p.work <- w:
	case <-ctx.Done():
		return &holdfast.Error{Kind: holdfast.Overloaded, Message: "the keyring has too much to do; nothing was attempted", Err: ctx.Err()}
	case <-p.stopped:
		return closing
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return &holdfast.Error{Kind: holdfast.Unavailable, Message: "the keyring did not answer in time; asking again does no harm", Err: ctx.Err()}
	case <-p.stopped:
		return closing
	}
}

// change makes changes and answers them. Who is forgotten goes first: a key that comes with it is refused.
func (p *persons) change(batch []personsWork) {
	failure := p.forgetAll(batch)
	answers := make([]error, len(batch))
	var fresh []holdfast.PersonKey
	pending := map[holdfast.HoldID]int{} // keys of this batch that the ring does not know yet
	for i, w := range batch {
		if w.key != nil {
			answers[i] = p.refuse(w.key, pending[w.key.Hold], &fresh)
			pending[w.key.Hold]++
		}
		for j := range w.taught {
			// What others acknowledged is kept beyond the limit of a hold, or members would differ for good.
			if f := p.ring.judge(&w.taught[j]); f == unknownKey || f == tooMany {
				fresh = append(fresh, w.taught[j])
			}
		}
	}
	if failure == nil && len(fresh) > 0 {
		failure = p.addAll(fresh)
	}
	for i, w := range batch {
		if answers[i] == nil {
			answers[i] = failure
		}
		w.done <- answers[i]
	}
}

// refuse says why a key is not kept, or puts a new one among the fresh.
func (p *persons) refuse(k *holdfast.PersonKey, pending int, fresh *[]holdfast.PersonKey) error {
	switch f := p.ring.judge(k); {
	case f == forgottenID:
		return errForgotten
	case f == sameKey:
		return nil
	case f == otherKey:
		return invalid("key", "another key is kept under its name")
	case f == tooMany || pending >= keysPerHoldMax:
		return &holdfast.Error{Kind: holdfast.Denied, Message: fmt.Sprintf("the hold has %d keys already, which is as many as it may", keysPerHoldMax)}
	case f == keyringFull:
		return &holdfast.Error{Kind: holdfast.Overloaded, Message: fmt.Sprintf("the keyring is full with %d keys: forget buyers of past events", keysMax)}
	case p.low():
		return &holdfast.Error{Kind: holdfast.Overloaded, Message: "the disk is nearly full; nothing was kept"}
	}
	*fresh = append(*fresh, *k)
	return nil
}

// errForgotten is told about the keys of a hold that was forgotten.
var errForgotten = &holdfast.Error{Kind: holdfast.Denied, Message: "nothing was kept", Err: holdfast.ErrForgotten}

func (p *persons) addAll(fresh []holdfast.PersonKey) error {
	segment, err := p.files.addKeys(fresh)
	if err != nil {
		return p.failed(err)
	}
	for i := range fresh {
		if p.ring.judge(&fresh[i]) != sameKey { // the same may come twice in a batch
			p.ring.add(&fresh[i], segment)
		}
	}
	return nil
}

// forgetAll forgets whom the batch names, and returns when nothing of their keys is in any file.
func (p *persons) forgetAll(batch []personsWork) error {
	var news []holdfast.HoldID
	seen := map[holdfast.HoldID]bool{}
	for _, w := range batch {
		for _, hold := range w.forget {
			if !seen[hold] && !p.ring.isForgotten(hold) {
				seen[hold] = true
				news = append(news, hold)
			}
		}
	}
	if len(news) == 0 {
		return nil
	}
	if n := p.ring.status().Forgotten + len(news); n > forgottenMax {
		return &holdfast.Error{Kind: holdfast.Overloaded, Message: fmt.Sprintf("%d holds are forgotten, which is as many as are remembered", n-len(news))}
	}
	if err := p.files.addForgotten(news); err != nil {
		return p.failed(err)
	}
	void := map[uint32]bool{}
	for _, hold := range news {
		for _, segment := range p.ring.forget(hold) {
			void[segment] = true
		}
	}
	for segment := range void {
		if err := p.files.rewrite(segment, p.ring); err != nil {
			return p.failed(err)
		}
	}
	p.log.Info("persons were forgotten", "holds", len(news), "segments", len(void))
	return nil
}

// failed is the answer when the disk does not do as it should. The node stops: a hold that is forgotten in memory, and
// perhaps not on disk, would be confirmed when it is asked for again.
func (p *persons) failed(err error) error {
	p.log.Error("the keyring cannot be changed", "error", err)
	return &holdfast.Error{Kind: holdfast.Unavailable, Message: "this member's keyring cannot be changed", Err: p.latch.fail(err)}
}

// close closes the files after run has ended.
func (p *persons) close() error { return p.files.Close() }

// PutPersonKey keeps a key on this member: it is on disk when there is no error. A hold that was forgotten is an error
// that wraps holdfast.ErrForgotten.
func (n *Node) PutPersonKey(ctx context.Context, k holdfast.PersonKey) error {
	if k.Hold.IsZero() {
		return invalid("hold", "a key needs the hold that it is for")
	}
	return n.persons.do(ctx, personsWork{key: &k})
}

// PersonKey gives a key that this member has.
func (n *Node) PersonKey(hold holdfast.HoldID, salt [holdfast.PersonSaltBytes]byte) (holdfast.PersonKey, error) {
	k, f := n.persons.ring.get(hold, salt)
	switch f {
	case sameKey:
		return k, nil
	case forgottenID:
		return k, errForgotten
	}
	return k, &holdfast.Error{Kind: holdfast.NotFound, Message: "this member has no such key"}
}

// ForgetPersons destroys this member's keys of the holds, and refuses all that come later. Without an error they are on
// disk no more. Members tell each other, so that all come to do the same; only asking each of them tells that they have.
func (n *Node) ForgetPersons(ctx context.Context, holds []holdfast.HoldID) error {
	if len(holds) > ForgetMax {
		return invalid("holds", "%d holds, at most %d at once", len(holds), ForgetMax)
	}
	for _, hold := range holds {
		if hold.IsZero() {
			return invalid("holds", "one of them names no hold")
		}
	}
	return n.persons.do(ctx, personsWork{forget: holds})
}

// PersonHolds gives holds of an event that have keys here, from a place on, and where to go on; 0: there are no more.
func (n *Node) PersonHolds(event holdfast.EventID, from uint32) ([]holdfast.HoldID, uint32) {
	holds, next := n.persons.ring.holds(event, int32(min(from, keysMax+slotsPerPage)))
	return holds, uint32(next)
}

// Persons tells of this member's keyring.
func (n *Node) Persons() PersonsStatus { return n.persons.ring.status() }

// errLessonLong ends a lesson that claims more than one may have.
var errLessonLong = errors.New("the lesson is too long")
