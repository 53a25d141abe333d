package node

import (
	"io"
	"time"
)

// pace lets work that nobody waits for take a part of the processor and of the disk only: writing a snapshot, and
// shortening the log behind it. After each piece it rests for a multiple of what the piece took, so that where the
// disk is slow, or shared by many, it takes its time, too.
type pace struct {
	unhurried func() bool // false: somebody waits for it now
	resumed   time.Time
}

const (
	restTimes = 3 // of a piece's time: the others have three quarters
	restMax   = 50 * time.Millisecond

	// paceBytes is a piece of a snapshot: some hundred µs of encoding and writing.
	paceBytes = 256 << 10
)

func newPace(unhurried func() bool) *pace { return &pace{unhurried: unhurried, resumed: time.Now()} }

// rest is called after a piece.
func (p *pace) rest() {
	if p.unhurried() {
		time.Sleep(min(restTimes*time.Since(p.resumed), restMax))
	}
	p.resumed = time.Now()
}

// unhurriedWriter rests after each paceBytes.
type unhurriedWriter struct {
	to    io.Writer
	pace  *pace
	piece int
}

func (w *unhurriedWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if w.piece += n; err == nil && w.piece >= paceBytes {
		w.piece = 0
		w.pace.rest()
	}
	return n, err
}
