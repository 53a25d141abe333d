package fsm

import (
	"bytes"
	"slices"

	"github.com/holdfast-db/holdfast"
)

// wheel says which holds are due: a hashed timing wheel (Varghese and Lauck, 1987). A hold waits in the bucket of
// its time, which is one of 32,768 buckets of 8 ms: a turn takes four and a half minutes. A hold that is due in a
// later turn is passed over: with a million holds of ten minutes that is some 8,000 looks a second. Adding and
// dropping cost the same however many wait.
//
// It can be worked out from the holds, so it is in no snapshot. The links of a bucket's list are kept here, by the
// slot of the hold, not in the records: moving a deadline then writes to no page that a cut shares.
//
// The zero value is empty, and ready from the hold clock's beginning on.
type wheel struct {
	buckets []uint32         // the first slot of each bucket's list; made at the first add
	links   pages[wheelLink] // by slot
	passed  holdfast.Clock   // nothing that is waiting is due before the bucket of this instant
	waiting int
	late    []lateHold // scratch of due
}

type wheelLink struct {
	at         holdfast.Clock
	next, prev uint32 // slots; 0: none
	waits      bool
}

type lateHold struct {
	at   holdfast.Clock
	id   holdfast.HoldID
	slot uint32
}

const (
	bucketMicros = 1 << 13
	bucketsMax   = 1 << 15
)

// A turn is longer than any step of the clock, or a bucket would be looked at twice for one step.
const _ = uint(bucketMicros*bucketsMax - 2*holdfast.StepMax/1000)

func bucketOf(at holdfast.Clock) uint32 { return uint32(at / bucketMicros % bucketsMax) }

// add makes the hold in a slot wait for an instant, which is after the clock of the last due.
func (w *wheel) add(slot uint32, at holdfast.Clock) {
	if w.buckets == nil {
		w.buckets = make([]uint32, bucketsMax)
	}
	if int(slot) >= w.links.len() {
		w.links.grow(int(slot) + 1)
	}
	if at < w.passed || w.links.at(slot).waits || slot == 0 {
		fail("the hold in slot %d cannot wait for %d", slot, at)
	}
	first := &w.buckets[bucketOf(at)]
	*w.links.edit(slot) = wheelLink{at: at, next: *first, waits: true}
	if *first != 0 {
		w.links.edit(*first).prev = slot
	}
	*first = slot
	w.waiting++
}

// drop makes the hold in a slot wait no longer.
func (w *wheel) drop(slot uint32) {
	if !w.waits(slot) {
		fail("the hold in slot %d leaves the wheel and is not in it", slot)
	}
	l := *w.links.at(slot)
	if l.next != 0 {
		w.links.edit(l.next).prev = l.prev
	}
	if l.prev != 0 {
		w.links.edit(l.prev).next = l.next
	} else {
		w.buckets[bucketOf(l.at)] = l.next
	}
	*w.links.edit(slot) = wheelLink{}
	w.waiting--
}

// due appends to slots the holds whose instant has come by clock, in order of instant and then of id, which idOf
// gives. They stay in the wheel until the caller drops them: before the next due, and before the clock goes on.
func (w *wheel) due(clock holdfast.Clock, slots []uint32, idOf func(slot uint32) holdfast.HoldID) []uint32 {
	from, to := w.passed/bucketMicros, clock/bucketMicros
	w.passed = max(w.passed, clock)
	if w.waiting == 0 {
		return slots
	}
	w.late = w.late[:0]
	for b := max(from, to-min(to, bucketsMax-1)); b <= to; b++ {
		for slot := w.buckets[b%bucketsMax]; slot != 0; {
			l := w.links.at(slot)
			if l.at <= clock {
				w.late = append(w.late, lateHold{at: l.at, id: idOf(slot), slot: slot})
			}
			slot = l.next
		}
	}
	slices.SortFunc(w.late, func(a, b lateHold) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	for i := range w.late {
		slots = append(slots, w.late[i].slot)
	}
	return slots
}

// waits reports whether the hold in a slot waits, and until says for what.
func (w *wheel) waits(slot uint32) bool {
	return int(slot) < w.links.len() && w.links.at(slot).waits
}

// until gives the instant that the hold in a slot waits for.
func (w *wheel) until(slot uint32) holdfast.Clock { return w.links.at(slot).at }

// len gives the number of holds that wait.
func (w *wheel) len() int { return w.waiting }
