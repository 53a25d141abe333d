package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// journal is the file that keeps the books over a restart: one JSON line for every object that changed, the last of
// an object counts. What one request changes, and the answer that its idempotency key remembers, are written by one
// call, so that no death of the process leaves one without the other. Webhooks under way are not in it: a receiver
// that relies on them would be wrong anyhow.
//
// A nil journal writes nothing.
type journal struct {
	file    *os.File
	pending []byte
	broken  error
}

// line is one object; the others are nil.
type line struct {
	Intent  *intent      `json:"intent,omitempty"`
	Inner   *intentInner `json:"inner,omitempty"`
	Charge  *charge      `json:"charge,omitempty"`
	Refund  *refund      `json:"refund,omitempty"`
	DueMs   int64        `json:"due_ms,omitempty"` // of the refund
	Dispute *dispute     `json:"dispute,omitempty"`
	Key     *remembered  `json:"key,omitempty"`
	Serial  uint64       `json:"serial,omitempty"`   // of the last id
	AheadMs int64        `json:"ahead_ms,omitempty"` // of the sandbox's clock, rounded up: it never goes back
}

// openJournal reads the file into the server's books and writes it anew, without what is out of date.
func openJournal(name string, s *Server) (*journal, error) {
	fail := func(err error) (*journal, error) {
		return nil, &errJournal{name, err}
	}
	old, err := os.Open(name)
	if err == nil {
		err = readJournal(old, s)
		old.Close()
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(err)
	}
	file, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	j := &journal{file: file}
	s.journal = j
	for _, in := range s.books.order {
		s.touch(in)
	}
	for _, c := range s.books.charges {
		s.touch(c)
	}
	for _, of := range s.books.refundsOf {
		for _, r := range of {
			s.touch(r)
		}
	}
	for _, d := range s.books.disputes {
		s.touch(d)
	}
	s.keys.forget(s.now())
	for _, k := range s.keys.order {
		j.add(line{Key: k})
	}
	j.add(line{Serial: s.books.serial, AheadMs: s.aheadMs()})
	if err := errors.Join(j.flush(), file.Sync(), os.Rename(name+".new", name)); err != nil {
		return fail(errors.Join(err, file.Close()))
	}
	return j, nil
}

type errJournal struct {
	name string
	err  error
}

func (e *errJournal) Error() string { return fmt.Sprintf("sandbox: journal %s: %v", e.name, e.err) }
func (e *errJournal) Unwrap() error { return e.err }

func readJournal(from io.Reader, s *Server) error {
	r := bufio.NewReaderSize(from, 1<<16)
	for {
		raw, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what stands behind the last newline was never finished
		}
		if err != nil {
			return err
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		s.takeOver(l)
	}
}

// takeOver takes one line over into the books.
func (s *Server) takeOver(l line) {
	b := s.books
	b.serial = max(b.serial, l.Serial)
	s.ahead = max(s.ahead, time.Duration(l.AheadMs)*time.Millisecond)
	switch {
	case l.Intent != nil:
		if l.Inner != nil {
			l.Intent.inner = *l.Inner
		}
		b.putIntent(l.Intent)
	case l.Charge != nil:
		b.charges[l.Charge.ID] = l.Charge
	case l.Refund != nil:
		l.Refund.dueMs = l.DueMs
		b.putRefund(l.Refund)
	case l.Dispute != nil:
		b.putDispute(l.Dispute)
	case l.Key != nil:
		s.keys.put(l.Key)
	}
}

// touch puts objects into the books, and into the journal as they are now. It is called with the lock held.
func (s *Server) touch(objects ...any) {
	for _, o := range objects {
		l := line{Serial: s.books.serial}
		switch o := o.(type) {
		case *intent:
			s.books.putIntent(o)
			l.Intent, l.Inner = o, &o.inner
		case *charge:
			s.books.charges[o.ID] = o
			l.Charge = o
		case *refund:
			s.books.putRefund(o)
			l.Refund, l.DueMs = o, o.dueMs
		case *dispute:
			s.books.putDispute(o)
			l.Dispute = o
		}
		s.journal.add(l)
	}
}

func (j *journal) add(l line) {
	if j == nil {
		return
	}
	raw, err := json.Marshal(l)
	if err != nil {
		panic(err) // the objects are ours
	}
	j.pending = append(append(j.pending, raw...), '\n')
}

// flush writes what was added since the last time. After a failure the sandbox answers nothing any more, since it
// could not keep what it promises.
func (j *journal) flush() error {
	if j == nil {
		return nil
	}
	if len(j.pending) > 0 && j.broken == nil {
		_, j.broken = j.file.Write(j.pending)
	}
	j.pending = j.pending[:0]
	return j.broken
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.flush(), j.file.Close())
}
