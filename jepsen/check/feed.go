package check

import (
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Feeds checks what watchers were told: revisions never go back, and at a revision there is one house only, whoever
// tells of it: any watcher, any read, strict or stale, the end. So a change that is left out, told twice or in another
// order shows. Several changes of one unit may be told as one. Every watcher must have come to the end.
func Feeds(h *history.History) (found []Violation) {
	grows := slices.ContainsFunc(h.Operations, func(o history.Operation) bool { return o.Put != nil && len(o.Put.Grown) > 0 })
	f := feeds{grows: grows, units: len(h.Final.Seats), seed: maphash.MakeSeed(), houses: map[holdfast.Revision]uint64{}, watchers: map[int]*feed{}}
	f.saw("the end", h.Final.Revision, h.Final.Seats)
	for i := range h.Changes {
		f.take(&h.Changes[i])
	}
	for _, s := range h.Sights {
		f.saw(fmt.Sprintf("a read of client %d (stale: %v)", s.Client, s.Stale), s.Revision, s.States)
	}
	for number, w := range f.watchers {
		if w.revision < h.Final.Revision { // holds may have lapsed since
			f.found = append(f.found, Violation{"feed", fmt.Sprintf("watcher %d came to revision %d, the end is at %d", number, w.revision, h.Final.Revision)})
		}
	}
	return f.found
}

type feeds struct {
	seed     maphash.Seed
	houses   map[holdfast.Revision]uint64 // a hash of the only house there is at a revision
	watchers map[int]*feed
	found    []Violation
	// grows says that units are added meanwhile: watchers are not told, so to them such a unit is as it was made, free, until
	// they are told of it.
	grows bool
	units int // in the end
}

// feed is what one watcher has put together.
type feed struct {
	revision holdfast.Revision
	states   []holdfast.SeatState
}

func (f *feeds) wrong(format string, args ...any) {
	f.found = append(f.found, Violation{"feed", fmt.Sprintf(format, args...)})
}

func (f *feeds) take(c *history.Change) {
	w := f.watchers[c.Watcher]
	if w == nil {
		w = &feed{}
		f.watchers[c.Watcher] = w
	}
	if c.Anew { // perhaps from a member that is behind
		*w = feed{}
	}
	if w.states == nil && !c.Cut {
		f.wrong("watcher %d was not told how things are before it was told of changes", c.Watcher)
		return
	}
	who := fmt.Sprintf("watcher %d", c.Watcher)
	if c.Cut {
		w.states = slices.Clone(c.States)
	}
	switch {
	case c.Revision < w.revision:
		f.wrong("%s was at revision %d and was told of %d", who, w.revision, c.Revision)
	case !c.Cut && c.Revision-w.revision < holdfast.Revision(len(c.Seats)):
		f.wrong("%s went from revision %d to %d by %d changes", who, w.revision, c.Revision, len(c.Seats))
	}
	if !c.Cut {
		for i, s := range c.Seats {
			if more := int(s) + 1 - len(w.states); f.grows && more > 0 && int(s) < f.units {
				w.states = append(w.states, make([]holdfast.SeatState, more)...)
			}
			if int(s) < len(w.states) {
				w.states[s] = c.States[i]
			}
		}
	}
	w.revision = c.Revision
	f.saw(who, c.Revision, w.states)
}

// saw holds a house against what others saw at the same revision.
func (f *feeds) saw(who string, at holdfast.Revision, states []holdfast.SeatState) {
	if at == 0 {
		return // nobody looked
	}
	for f.grows && len(states) > 0 && states[len(states)-1] == holdfast.Free {
		states = states[:len(states)-1]
	}
	bytes := make([]byte, len(states))
	for i, s := range states {
		bytes[i] = byte(s)
	}
	sum := maphash.Bytes(f.seed, bytes)
	if before, known := f.houses[at]; known && before != sum {
		f.wrong("%s has other seats at revision %d than others have", who, at)
		return
	}
	f.houses[at] = sum
}
