package node

import (
	"errors"
	"io/fs"
	"sync"
)

// latch stops a node at the first doubt about its disk. After a failed sync Linux drops the pages and answers the
// next sync with success: going on would acknowledge what is lost. So the first error is final for every store of
// the node; the owner ends the process, and the restart reads what is really there.
type latch struct {
	fatal func(error) // called once, from a goroutine of its own

	mu  sync.Mutex
	err error
}

// fail records err, the first one only, and gives what must be answered.
func (l *latch) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		go l.fatal(err)
	}
	return l.err
}

// failed is the error that stopped the node, or nil.
func (l *latch) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// run does something to the disk unless the node has stopped, and stops it if that fails.
func (l *latch) run(f func() error) error {
	if err := l.failed(); err != nil {
		return err
	}
	if err := f(); err != nil {
		return l.fail(err)
	}
	return nil
}

// latchedDir latches every failure to change something. Failures to read are answered only: their callers know
// whether a missing file is a doubt.
type latchedDir struct {
	Dir
	latch *latch
}

func (d latchedDir) Append(name string) (f File, err error) {
	err = d.latch.run(func() error { f, err = d.Dir.Append(name); return err })
	return latchedFile{f, d.latch}, err
}

func (d latchedDir) Rename(from, to string) error {
	return d.latch.run(func() error { return d.Dir.Rename(from, to) })
}

// Remove answers, and does not latch, that the file is not there: two snapshots may end at once.
func (d latchedDir) Remove(name string) error {
	if err := d.latch.failed(); err != nil {
		return err
	}
	err := d.Dir.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.latch.fail(err)
}

func (d latchedDir) Sync() error { return d.latch.run(d.Dir.Sync) }

type latchedFile struct {
	File
	latch *latch
}

func (f latchedFile) Write(b []byte) (n int, err error) {
	err = f.latch.run(func() error { n, err = f.File.Write(b); return err })
	return n, err
}

func (f latchedFile) Truncate(size int64) error {
	return f.latch.run(func() error { return f.File.Truncate(size) })
}

func (f latchedFile) Sync() error { return f.latch.run(f.File.Sync) }
