package fsm

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// pages is a growing array of fixed-size items that can be cut: frozen in time for a reader on another goroutine,
// while its owner goes on writing. Whatever a snapshot holds, and grows, lives in one.
//
// The items lie in pages of about 4 KiB, and 64 pages hang on a leaf. A cut copies the list of leaves: 8 bytes for a
// quarter of a MiB. From then on the owner copies a leaf (2 KiB) and a page (4 KiB, about half a microsecond) before
// it writes to them for the first time, once for each cut, and never after the cut was released.
//
// T must have no pointers: then the garbage collector does not look into pages, whatever their number. Indexes are
// 32 bits wide like the slots that records keep of each other.
//
// The zero value is empty and ready. The owner alone may call edit, grow, cut and discard, one at a time; at and
// len may be called from anywhere on a frozen view until its lease is released.
type pages[T any] struct {
	leaves []*leaf[T]
	count  uint32 // items
	shift  uint8  // a page has 1<<shift items

	frozen  bool        // this is a cut's view
	cuts    uint64      // cuts taken so far
	sharers []sharer    // cuts that may not have been released, oldest first
	spare   *spareds[T] // where pages come from and go to; nil: the garbage collector
}

// leaf holds a run of pages. The numbers say how many cuts had been taken when the leaf, or the page, was made: a
// cut with a higher number shares it.
type leaf[T any] struct {
	made  uint64
	pages [leafPages]page[T]
}

type page[T any] struct {
	made  uint64
	items []T // as many as are in use, with room for a page
}

// sharer is a cut that shares pages.
type sharer struct {
	number uint64 // of the cut: 1 for the first
	lease  *lease
}

// lease is what a cut holds on the pages that it shares. One lease spans all pages of one cut of the machine. It
// is released on the goroutine of whoever read the cut; the owner learns it when it next writes.
type lease struct{ released atomic.Bool }

const (
	pageBytes = 4 << 10
	leafPages = 64
)

// len gives the number of items.
func (p *pages[T]) len() int { return int(p.count) }

// at gives item i to read. It is valid until the next edit or grow. An item that does not exist is a bug, and panics
// by Go's own check: this is the innermost step of everything, and short enough to be inlined.
func (p *pages[T]) at(i uint32) *T {
	k := i >> p.shift
	return &p.leaves[k/leafPages].pages[k%leafPages].items[i&(1<<p.shift-1)]
}

// edit gives item i to read and write. It is valid until the next grow or cut. Pointers from at are stale after it.
func (p *pages[T]) edit(i uint32) *T {
	k := i >> p.shift
	if p.sharers != nil || p.frozen {
		p.own(k)
	}
	return &p.leaves[k/leafPages].pages[k%leafPages].items[i&(1<<p.shift-1)]
}

// grow appends zero items up to n in all.
func (p *pages[T]) grow(n int) {
	if n < int(p.count) || uint64(n) >= 1<<32 {
		fail("pages of %d items grow to %d", p.count, n)
	}
	if p.leaves == nil {
		p.shift = pageShift[T]()
	}
	for int(p.count) < n {
		k := p.count >> p.shift
		if k/leafPages == uint32(len(p.leaves)) {
			p.leaves = append(p.leaves, &leaf[T]{made: p.cuts})
		}
		p.own(k)
		pg := &p.leaves[k/leafPages].pages[k%leafPages]
		if pg.items == nil {
			*pg = page[T]{made: p.cuts, items: p.fresh()}
		}
		pg.items = pg.items[:min(1<<p.shift, n-int(k)<<p.shift)]
		p.count = k<<p.shift + uint32(len(pg.items))
	}
}

// cut gives a frozen view of the items as they are, which the lease's holder may read until it is released.
func (p *pages[T]) cut(l *lease) pages[T] {
	p.forgetSharers()
	p.cuts++
	p.sharers = append(p.sharers, sharer{p.cuts, l})
	return pages[T]{leaves: slices.Clone(p.leaves), count: p.count, shift: p.shift, frozen: true}
}

// discard empties the pages and leaves those that no cut shares as spares for others.
func (p *pages[T]) discard() {
	newest := p.newestSharer()
	if p.spare != nil {
		for _, l := range p.leaves {
			for k := range l.pages {
				if pg := &l.pages[k]; pg.items != nil && pg.made >= newest {
					p.spare.put(pg.items)
				}
			}
		}
	}
	*p = pages[T]{spare: p.spare}
}

// own makes sure that no cut shares page k. A page that shares nothing yet has no items: only its leaf is copied.
func (p *pages[T]) own(k uint32) {
	if p.frozen {
		fail("a cut is written to")
	}
	newest := p.newestSharer()
	l := p.leaves[k/leafPages]
	if l.made < newest {
		copied := *l
		copied.made = p.cuts
		l = &copied
		p.leaves[k/leafPages] = l
	}
	if pg := &l.pages[k%leafPages]; pg.items != nil && pg.made < newest {
		items := p.fresh()[:len(pg.items)]
		copy(items, pg.items)
		*pg = page[T]{made: p.cuts, items: items}
	}
}

// newestSharer gives the number of the newest cut that was not released; 0 when there is none.
func (p *pages[T]) newestSharer() uint64 {
	if p.sharers == nil {
		return 0
	}
	if p.sharers[len(p.sharers)-1].lease.released.Load() {
		p.forgetSharers()
		if p.sharers == nil {
			return 0
		}
	}
	return p.sharers[len(p.sharers)-1].number
}

// forgetSharers drops the cuts that were released.
func (p *pages[T]) forgetSharers() {
	p.sharers = slices.DeleteFunc(p.sharers, func(s sharer) bool { return s.lease.released.Load() })
	if len(p.sharers) == 0 {
		p.sharers = nil
	}
}

// fresh gives a new page, all zero, of which no item is in use.
func (p *pages[T]) fresh() []T {
	if p.spare != nil {
		return p.spare.take(1 << p.shift)[:0]
	}
	return make([]T, 0, 1<<p.shift)
}

// pageShift gives the power of two of items that come nearest to a page's size without going over it.
func pageShift[T any]() (shift uint8) {
	var item T
	for unsafe.Sizeof(item)<<(shift+1) <= pageBytes {
		shift++
	}
	return shift
}

// spareds keeps pages of one size for their next use, so that what comes and goes all the time costs the garbage
// collector nothing. Its owner bounds it with trim.
type spareds[T any] struct{ free [][]T }

func (s *spareds[T]) put(items []T) { s.free = append(s.free, items[:cap(items)]) }

func (s *spareds[T]) take(n int) []T {
	last := len(s.free) - 1
	if last < 0 {
		return make([]T, n)
	}
	items := s.free[last]
	s.free[last] = nil
	s.free = s.free[:last]
	clear(items)
	return items
}

// trim leaves at most max spares; the garbage collector has the others.
func (s *spareds[T]) trim(max int) {
	if len(s.free) > max {
		clear(s.free[max:])
		s.free = s.free[:max]
	}
}
