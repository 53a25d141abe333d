package node

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// A full disk must refuse holds before it stops Raft: a node that cannot save its term has to end. So below
// the headroom the node is low, and refuses new holds while it still lets buyers pay and give back. What is written
// then is small. Should it run on towards the wall all the same, the ballast is given back, as room in which an
// operator finds time to act.
const (
	// HeadroomDefault is the free space below which new holds are refused.
	HeadroomDefault = 256 << 20
	// The ballast is this part of the headroom, and given back when less than half of itself is free.
	ballastPart = 4

	headroomEvery = time.Second
)

// headroom watches the free space.
type headroom struct {
	disk    Disk
	bytes   uint64
	log     *slog.Logger
	ballast bool // set aside now; the watching goroutine's

	low  atomic.Bool
	free atomic.Uint64
	stop chan struct{} // closed by close
	done chan struct{} // closed by the watching goroutine
}

func watchHeadroom(disk Disk, bytes uint64, log *slog.Logger) (*headroom, error) {
	if bytes == 0 {
		bytes = HeadroomDefault
	}
	h := &headroom{disk: disk, bytes: bytes, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	free, err := disk.Free()
	if err != nil {
		return nil, err
	}
	h.ballast = free <= h.makeAbove() // where there is no room for a new one, one from before may still be there
	if err := h.look(); err != nil {
		return nil, err
	}
	go h.watch()
	return h, nil
}

func (h *headroom) watch() {
	defer close(h.done)
	ticker := time.NewTicker(headroomEvery)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
			if err := h.look(); err != nil {
				h.log.Error("cannot tell how much disk space is left", "error", err)
			}
		}
	}
}

// look reads the free space and acts on it. Low ends a quarter above where it begins, so that it does not flap.
func (h *headroom) look() error {
	free, err := h.disk.Free()
	if err != nil {
		return err
	}
	ballast := h.bytes / ballastPart
	switch {
	case h.ballast && free < ballast/2:
		h.log.Error("disk nearly full: the ballast is given back", "free_bytes", free)
		h.ballast = false
		err = h.disk.Reserve(0)
	case !h.ballast && free > h.makeAbove():
		err = h.disk.Reserve(ballast)
		h.ballast = err == nil
	}
	h.free.Store(free)
	low := free < h.bytes || h.low.Load() && free < h.bytes+h.bytes/4
	if was := h.low.Swap(low); was != low {
		h.log.Warn("disk headroom", "low", low, "free_bytes", free, "headroom_bytes", h.bytes)
	}
	return err
}

// makeAbove is the free space above which a ballast is made: making it must not make the node low.
func (h *headroom) makeAbove() uint64 { return h.bytes + 2*(h.bytes/ballastPart) }

func (h *headroom) isLow() bool       { return h.low.Load() }
func (h *headroom) freeBytes() uint64 { return h.free.Load() }

// close stops watching. The ballast stays.
func (h *headroom) close() {
	close(h.stop)
	<-h.done
}
