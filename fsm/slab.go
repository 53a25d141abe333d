package fsm

import "iter"

// slab keeps records of one kind in numbered slots, which other records and units use to point at them. A slot
// that is dropped is given to the next record that is added: last out, first in. Which slot a record gets is seen
// in snapshots, so the order of the free slots is part of the state.
//
// Slot 0 is never given out: it is what "none" looks like. The zero value is empty and ready. What pages says about
// pointers, goroutines and the life of what at and edit return holds for slabs too.
type slab[T any] struct {
	records pages[T] // that in slot 1 first
	// next, which begins with slot 1 too, says of a slot that it is inUse, or names the free slot below it in the stack of free slots; 0: the last.
	next  pages[uint32]
	free  uint32 // the top of that stack
	inUse int
}

const slotInUse = ^uint32(0)

// slotsMax bounds the slots of a slab: a unit keeps its hold's slot in 29 bits.
const slotsMax = 1<<29 - 1

// add puts a record into a slot.
func (s *slab[T]) add(record T) uint32 {
	slot := s.free
	if slot != 0 {
		s.free = *s.next.at(slot - 1)
	} else {
		slot = uint32(s.records.len()) + 1
		if slot > slotsMax {
			fail("a slab is out of slots")
		}
		s.records.grow(int(slot))
		s.next.grow(int(slot))
	}
	*s.next.edit(slot - 1) = slotInUse
	*s.records.edit(slot - 1) = record
	s.inUse++
	return slot
}

// at gives the record in a slot to read. Slot 0 panics, as any item that does not exist: see pages.at.
func (s *slab[T]) at(slot uint32) *T { return s.records.at(slot - 1) }

// edit gives the record in a slot to read and write.
func (s *slab[T]) edit(slot uint32) *T { return s.records.edit(slot - 1) }

// drop empties a slot.
func (s *slab[T]) drop(slot uint32) {
	if !s.holds(slot) {
		fail("a slot is dropped that is not in use")
	}
	var none T
	*s.records.edit(slot - 1) = none
	*s.next.edit(slot - 1) = s.free
	s.free = slot
	s.inUse--
}

// holds reports whether a slot holds a record.
func (s *slab[T]) holds(slot uint32) bool {
	return slot-1 < uint32(s.next.len()) && *s.next.at(slot - 1) == slotInUse // 0, none, wraps to what is never there
}

// live gives the number of records.
func (s *slab[T]) live() int { return s.inUse }

// slots gives the number of slots ever given out: the highest of them.
func (s *slab[T]) slots() int { return s.records.len() }

// all yields the records by slot. The slab may be written in between; a record that is added then may be missed.
func (s *slab[T]) all() iter.Seq2[uint32, *T] {
	return func(yield func(uint32, *T) bool) {
		for slot := uint32(1); slot <= uint32(s.next.len()); slot++ {
			if *s.next.at(slot - 1) == slotInUse && !yield(slot, s.at(slot)) {
				return
			}
		}
	}
}

// cut freezes the slab: see pages.cut.
func (s *slab[T]) cut(l *lease) slab[T] {
	return slab[T]{records: s.records.cut(l), next: s.next.cut(l), free: s.free, inUse: s.inUse}
}
