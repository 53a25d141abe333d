package fsm

import (
	"encoding/binary"
	"math/bits"
)

// index finds the slot of a record by the hash of its key. It keeps 32 bits of the hash and the slot; whether the
// record in a slot is the wanted one is asked of the caller, who has the records. It can be worked out from the
// records: it is in no snapshot, and nothing that a replica decides depends on its layout.
//
// It is a hash table with linear probing whose cells stand in order of hash: a cell's home is its hash scaled to
// the table's size, cells that do not find their home free go right, and the table ends in a tail instead of
// wrapping round. A search stops at the first greater hash, so one that finds nothing reads few cells too: about
// three at a load of 4/5.
//
// It grows in steps, since at 500,000 records a rehash at once would stall Apply for ten milliseconds. When the
// table is full one of 3/2 its size is begun, and each add moves the next few cells over, up to where a cell is at
// home. Both tables are in order of hash, so moving reads and writes forward, and a hash alone says in which of the
// two its cell is. Cells come in pages that are made when they are first used, so nothing large is ever cleared.
//
// Who chooses keys could choose many with the same hash, if the hash were known: n of them make each search among
// them n cells long. That is why hashes are made with a seed: see seedOf.
//
// The zero value is empty and ready.
type index struct {
	now   cells
	old   cells  // while growing: what has not been moved yet
	moved uint32 // the first home of old whose cells have not
	count int
	spare *spareds[uint64] // where pages come from and go to; nil: the garbage collector
}

// cells is one hash table: a cell is a hash's upper 32 bits above a slot, or 0. Cells beyond size are the tail.
type cells struct {
	pages [][]uint64 // nil: all empty
	size  uint32     // homes; 0: there is no table
}

const (
	// cellPage is the cells of a page of 16 KiB: the list of the pages for a million records then fits a
	// processor's first cache.
	cellPage      = cellPageBytes / 8
	cellPageBytes = 16 << 10
	// cellsMoved for each add at least. Until all are moved, what is added where nothing was moved yet may fill
	// the old table up by 1/cellsMoved more.
	cellsMoved = 16
	// cellsMin is the size of the smallest table.
	cellsMin = cellPage
)

// cellsFor gives the size of a table that n records fill to 4/5.
func cellsFor(n int) uint32 { return max(uint32(uint64(n)*5/4), cellsMin) }

// newIndex makes an index that has room for about as many records from the beginning.
func newIndex(records int, spare *spareds[uint64]) index {
	return index{now: cells{size: cellsFor(records)}, spare: spare}
}

// find gives the slot with this hash of which same says yes; 0 if there is none.
func (x *index) find(hash uint64, same func(slot uint32) bool) uint32 {
	slot, _ := x.table(hash).find(hash, same)
	return slot
}

// touch reads the cell at which a search for this hash begins, so that the processor has it at hand: see warm.go.
func (x *index) touch(hash uint64) uint64 {
	t := x.table(hash)
	return t.at(t.home(hash))
}

// add enters a slot. The caller knows that its key is not there yet.
func (x *index) add(hash uint64, slot uint32) {
	if slot == 0 {
		fail("slot 0 is indexed, which means none")
	}
	if x.old.size == 0 && uint64(x.count) >= uint64(x.now.size)*4/5 {
		x.old, x.moved = x.now, 0
		x.now = cells{size: max(x.old.size+x.old.size/2, cellsMin)}
	}
	if x.old.size > 0 {
		x.move()
	}
	x.table(hash).insert(hash>>32<<32|uint64(slot), x.spare)
	x.count++
}

// drop takes a slot out.
func (x *index) drop(hash uint64, slot uint32) {
	table := x.table(hash)
	found, at := table.find(hash, func(s uint32) bool { return s == slot })
	if found == 0 {
		fail("a slot leaves an index that it is not in")
	}
	table.remove(at)
	x.count--
}

// len gives the number of slots.
func (x *index) len() int { return x.count }

// discard empties the index and leaves its pages as spares for others.
func (x *index) discard() {
	for _, table := range []*cells{&x.now, &x.old} {
		for _, page := range table.pages {
			x.giveBack(page)
		}
	}
	*x = index{spare: x.spare}
}

// table gives the table that a cell with this hash is in.
func (x *index) table(hash uint64) *cells {
	if x.old.size > 0 && x.old.home(hash) >= x.moved {
		return &x.old
	}
	return &x.now
}

// move moves the next cells to the new table. It ends where nothing is left that belongs further left.
func (x *index) move() {
	for n := 0; ; n++ {
		cell := x.old.at(x.moved)
		if cell == 0 || x.old.home(cell) == x.moved {
			if x.moved >= x.old.size {
				if last := x.moved / cellPage; int(last) < len(x.old.pages) {
					x.giveBack(x.old.pages[last])
				}
				x.old, x.moved = cells{}, 0
				return
			}
			if n >= cellsMoved {
				return
			}
		}
		if cell != 0 {
			x.now.insert(cell, x.spare)
		}
		if x.moved++; x.moved%cellPage == 0 {
			done := x.moved/cellPage - 1
			x.giveBack(x.old.pages[done])
			x.old.pages[done] = nil
		}
	}
}

func (x *index) giveBack(page []uint64) {
	if page != nil && x.spare != nil {
		x.spare.put(page)
	}
}

// at gives a cell; beyond the tail all are empty.
func (t *cells) at(i uint32) uint64 {
	if k := i / cellPage; k < uint32(len(t.pages)) && t.pages[k] != nil {
		return t.pages[k][i%cellPage]
	}
	return 0
}

// home is where a hash, or the cell that begins with it, belongs: the order of homes is the order of cells.
func (t *cells) home(hash uint64) uint32 {
	return uint32(hash >> 32 * uint64(t.size) >> 32)
}

// find gives the slot with this hash of which same says yes, and the place of its cell.
func (t *cells) find(hash uint64, same func(slot uint32) bool) (slot, at uint32) {
	hash >>= 32
	i := t.home(hash << 32)
	for k := i / cellPage; k < uint32(len(t.pages)); k++ {
		page := t.pages[k]
		if page == nil {
			break
		}
		for _, cell := range page[i%cellPage:] {
			switch {
			case cell == 0 || cell>>32 > hash:
				return 0, 0
			case cell>>32 == hash && same(uint32(cell)):
				return uint32(cell), i
			}
			i++
		}
	}
	return 0, 0
}

// insert puts a cell in its order, and what stands there to the right.
func (t *cells) insert(cell uint64, spare *spareds[uint64]) {
	for i := t.home(cell); ; {
		page := t.page(i, spare)
		for at, here := range page[i%cellPage:] {
			if here > cell || here == 0 {
				page[i%cellPage+uint32(at)], cell = cell, here
			}
			if cell == 0 {
				return
			}
		}
		i += cellPage - i%cellPage
	}
}

// remove takes the cell at i out. What stands right of it moves left, up to an empty cell or one at home.
func (t *cells) remove(i uint32) {
	for {
		next := t.at(i + 1)
		if next == 0 || t.home(next) == i+1 {
			break
		}
		t.pages[i/cellPage][i%cellPage] = next
		i++
	}
	t.pages[i/cellPage][i%cellPage] = 0
}

// page gives the page of cell i, and makes it when there is none.
func (t *cells) page(i uint32, spare *spareds[uint64]) []uint64 {
	k := int(i / cellPage)
	if t.pages == nil {
		t.pages = make([][]uint64, (t.size-1)/cellPage+1, t.size/cellPage+2)
	}
	if k == len(t.pages) {
		t.pages = append(t.pages, nil)
	}
	if t.pages[k] == nil && spare != nil {
		t.pages[k] = spare.take(cellPage)
	} else if t.pages[k] == nil {
		t.pages[k] = make([]uint64, cellPage)
	}
	return t.pages[k]
}

// seedOf makes the seed of a machine's hashes from the first entry that it applied, or from what it was restored
// from. It is a function of the log, so a run can be repeated step by step; and it need not be the same on all
// replicas, since no index shows. Who wants to aim keys at one cell would have to know every byte of that entry: the
// leader's clocks in it, and the random ids of other people's commands. Nobody is told them or the seed. With keys
// that are not aimed the longest search among a million is some twenty cells.
func seedOf(b []byte) uint64 { return hash64(0, b) }

// hash64 mixes a key of any length: every bit of it, and of the seed, moves about half of the bits of the hash.
func hash64(seed uint64, key []byte) uint64 {
	h := seed ^ uint64(len(key))*hashOdd1
	for len(key) > 16 {
		h = hash16(h, [16]byte(key))
		key = key[16:]
	}
	var last [16]byte
	copy(last[:], key)
	return hash16(h, last)
}

// hash16 does the same for the 16 bytes of an id. The product of two words folded in half is Wang Yi's wyhash; here
// the seed goes into both words and again between two rounds, so that no id makes a factor 0 without knowing it.
func hash16[ID ~[16]byte](seed uint64, id ID) uint64 {
	a, b := binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	h := fold(a^seed^hashOdd1, b^bits.RotateLeft64(seed, 29)^hashOdd2)
	return fold(h^seed, hashOdd3)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// Odd numbers without a pattern: the fractional parts of the square roots of 2, 3 and 5, the first made odd.
const (
	hashOdd1 = 0x6A09E667F3BCC909
	hashOdd2 = 0xBB67AE8584CAA73B
	hashOdd3 = 0x3C6EF372FE94F82B
)
