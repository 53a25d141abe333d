package fsm

import (
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// frozenPages is a cut and what it must show for ever.
type frozenPages struct {
	view  pages[uint64]
	lease *lease
	want  []uint64
}

// check looks at every stride-th item.
func (f *frozenPages) check(t *rapid.T, stride int) {
	if f.view.len() != len(f.want) {
		t.Fatalf("a cut of %d items has %d now", len(f.want), f.view.len())
	}
	for i := 0; i < len(f.want); i += stride {
		if got, want := *f.view.at(uint32(i)), f.want[i]; got != want {
			t.Fatalf("item %d of a cut became %d, was %d", i, got, want)
		}
	}
}

// TestCutsStayAsTheyWere writes to pages between cuts that are taken and released in any order. Every cut that
// was not released must show what was there when it was taken, and the pages what was written last.
func TestCutsStayAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pages[uint64]{spare: &spareds[uint64]{}}
		var now []uint64
		var cuts []frozenPages
		perPage := 1 << pageShift[uint64]()
		t.Repeat(map[string]func(*rapid.T){
			"grow": func(t *rapid.T) {
				n := len(now) + rapid.IntRange(0, 3*perPage).Draw(t, "by")
				p.grow(n)
				now = append(now, make([]uint64, n-len(now))...)
			},
			"leap": func(t *rapid.T) {
				if len(now) > leafPages*perPage {
					t.Skip("large enough")
				}
				n := len(now) + leafPages*perPage
				p.grow(n)
				now = append(now, make([]uint64, n-len(now))...)
			},
			"write": func(t *rapid.T) {
				if len(now) == 0 {
					t.Skip("nothing to write to")
				}
				for range 20 {
					i, v := rapid.IntRange(0, len(now)-1).Draw(t, "at")/97*97, rapid.Uint64().Draw(t, "value")
					*p.edit(uint32(i)), now[i] = v, v
				}
			},
			"cut": func(t *rapid.T) {
				l := new(lease)
				cuts = append(cuts, frozenPages{p.cut(l), l, slices.Clone(now)})
			},
			"release": func(t *rapid.T) {
				if len(cuts) == 0 {
					t.Skip("no cut")
				}
				i := rapid.IntRange(0, len(cuts)-1).Draw(t, "cut")
				cuts[i].check(t, 1)
				cuts[i].lease.released.Store(true)
				cuts = slices.Delete(cuts, i, i+1)
			},
			"discard": func(t *rapid.T) {
				p.discard()
				now = nil
			},
			"": func(t *rapid.T) {
				(&frozenPages{view: p, want: now}).check(t, 97)
				for i := range cuts {
					cuts[i].check(t, 97)
				}
			},
		})
	})
}

// TestCopyingEndsWithTheLease counts the pages that change hands: with a live cut each page once, without none.
func TestCopyingEndsWithTheLease(t *testing.T) {
	var p pages[uint64]
	p.grow(3 << pageShift[uint64]())
	moved := func(i uint32) bool {
		before := p.at(i)
		*p.edit(i)++
		return p.at(i) != before
	}
	first, second := new(lease), new(lease)
	p.cut(first)
	if !moved(0) || moved(0) {
		t.Error("with a live cut a page is copied at its first write, and only then")
	}
	p.cut(second)
	if !moved(0) {
		t.Error("a second cut shares the copied page, which is to be copied again")
	}
	second.released.Store(true)
	if moved(0) {
		t.Error("the first cut does not share the page's second copy; nothing was to be copied")
	}
	if !moved(600) {
		t.Error("the first cut is live and shares the second page, which is to be copied")
	}
	first.released.Store(true)
	if moved(1200) || p.sharers != nil {
		t.Error("nothing is to be copied when all cuts were released")
	}
}

// TestACutIsReadWhileItsOwnerWrites is for the race detector.
func TestACutIsReadWhileItsOwnerWrites(t *testing.T) {
	var p pages[uint64]
	const items = 40_000
	p.grow(items)
	for i := range uint32(items) {
		*p.edit(i) = uint64(i)
	}
	var readers sync.WaitGroup
	for range 4 {
		l := new(lease)
		view, want := p.cut(l), *p.at(0)
		readers.Go(func() {
			defer l.released.Store(true)
			for i := range uint32(view.len()) {
				if got := *view.at(i); got != want+uint64(i) {
					t.Errorf("item %d of a cut is %d, want %d", i, got, want+uint64(i))
					return
				}
			}
		})
		for i := range uint32(items) {
			*p.edit(i) += items
		}
		p.grow(p.len() + 1000) // of which the next cut has no business to see anything but zeros
		for i := uint32(items); i < uint32(p.len()); i++ {
			*p.edit(i) = uint64(i) + *p.at(0)
		}
	}
	readers.Wait()
}

func TestWritingToACutIsABug(t *testing.T) {
	var p pages[uint32]
	p.grow(1)
	view := p.cut(new(lease))
	for name, bug := range map[string]func(){
		"edit of a cut":      func() { view.edit(0) },
		"grow of a cut":      func() { view.grow(5000) },
		"read beyond":        func() { *p.at(1)++ },
		"write beyond":       func() { *p.edit(1)++ },
		"growing to be less": func() { p.grow(0) },
	} {
		if !panics(bug) {
			t.Errorf("%s went through", name)
		}
	}
}

// panics reports whether f ends by an assertion of ours, or of Go's.
func panics(f func()) (yes bool) {
	defer func() {
		switch recover().(type) {
		case *AssertionError, runtime.Error:
			yes = true
		}
	}()
	f()
	return false
}

// TestPagedItemsHaveNoPointers keeps pages out of the garbage collector's way.
func TestPagedItemsHaveNoPointers(t *testing.T) {
	for _, item := range []any{holdRecord{}, orderRecord{}, billRecord{}, buyerRecord{}, unit{}, ending{}, endedHold{}, wheelLink{}} {
		if path := pointerIn(reflect.TypeOf(item), reflect.TypeOf(item).String()); path != "" {
			t.Errorf("%s is kept in pages and has a pointer", path)
		}
	}
}

func pointerIn(t reflect.Type, path string) string {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if p := pointerIn(t.Field(i).Type, path+"."+t.Field(i).Name); p != "" {
				return p
			}
		}
		return ""
	case reflect.Array:
		return pointerIn(t.Elem(), path+"[]")
	case reflect.Pointer, reflect.Slice, reflect.String, reflect.Map, reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer:
		return path
	default:
		return ""
	}
}

func BenchmarkPagesEdit(b *testing.B) {
	type record struct{ words [8]uint64 }
	var p pages[record]
	p.grow(1 << 20)
	r := rand.New(rand.NewPCG(1, 2))
	order := make([]uint32, 1<<16)
	for i := range order {
		order[i] = uint32(r.IntN(p.len()))
	}
	b.Run("alone", func(b *testing.B) {
		for i := range b.N {
			p.edit(order[i%len(order)]).words[0]++
		}
	})
	b.Run("cut every 65536", func(b *testing.B) {
		for i := range b.N {
			if i%len(order) == 0 {
				p.cut(new(lease))
			}
			p.edit(order[i%len(order)]).words[0]++
		}
	})
}

func BenchmarkPagesCut(b *testing.B) {
	var p pages[[64]byte]
	p.grow(1 << 20)
	for range b.N {
		l := new(lease)
		p.cut(l)
		l.released.Store(true)
	}
}
