package fsm

// ranking keeps slots in order of rank: a treap (Seidel and Aragon, 1996), whose shape follows from the slots' ids
// alone. Adding, dropping and finding the first cost about the logarithm of how many there are. It can be worked out
// from the records, so it is in no snapshot. The zero value is empty and ready.
type ranking struct {
	root  uint32
	nodes pages[rankNode] // by slot
	count int
	steps uint64 // nodes visited so far, for the test that bounds the work
}

// rank says where a slot stands: by class, then by at, then by id, which no two share.
type rank struct {
	at, id uint64
	class  uint8
}

type rankNode struct {
	rank        rank
	left, right uint32
}

func (a rank) before(b rank) bool {
	if a.class != b.class {
		return a.class < b.class
	}
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}

// weight makes the treap's shape: who is heavier is nearer to the root.
func (a rank) weight() uint64 { return fold(a.id^0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93) }

// add puts a slot in its place.
func (r *ranking) add(slot uint32, at rank) {
	if int(slot) >= r.nodes.len() {
		r.nodes.grow(int(slot) + 1)
	}
	*r.nodes.edit(slot) = rankNode{rank: at}
	// Walk down to where the slot is heavier than what is there, and put that below it, in two parts.
	place := &r.root
	for *place != 0 && r.nodes.at(*place).rank.weight() >= at.weight() {
		r.steps++
		if n := r.nodes.edit(*place); at.before(n.rank) {
			place = &n.left
		} else {
			place = &n.right
		}
	}
	left, right := r.split(*place, at)
	*place = slot
	n := r.nodes.edit(slot)
	n.left, n.right = left, right
	r.count++
}

// drop takes a slot out, whose rank the caller knows.
func (r *ranking) drop(slot uint32, at rank) {
	place := &r.root
	for *place != slot {
		r.steps++
		if *place == 0 {
			fail("slot %d is dropped from a ranking and is not in it", slot)
		}
		if n := r.nodes.edit(*place); at.before(n.rank) {
			place = &n.left
		} else {
			place = &n.right
		}
	}
	n := *r.nodes.at(slot)
	*place = r.join(n.left, n.right)
	*r.nodes.edit(slot) = rankNode{}
	r.count--
}

// split divides a tree into what is before a rank and what is not.
func (r *ranking) split(tree uint32, at rank) (before, after uint32) {
	if tree == 0 {
		return 0, 0
	}
	r.steps++
	n := r.nodes.edit(tree)
	if n.rank.before(at) {
		n.right, after = r.split(n.right, at)
		return tree, after
	}
	before, n.left = r.split(n.left, at)
	return before, tree
}

// join is the opposite of split.
func (r *ranking) join(before, after uint32) uint32 {
	if before == 0 || after == 0 {
		return before + after
	}
	r.steps++
	if b, a := r.nodes.edit(before), r.nodes.edit(after); b.rank.weight() >= a.rank.weight() {
		b.right = r.join(b.right, after)
		return before
	} else {
		a.left = r.join(before, a.left)
		return after
	}
}

// visit yields the slots in order until yield says no.
func (r *ranking) visit(yield func(slot uint32) bool) { r.walk(r.root, yield) }

func (r *ranking) walk(tree uint32, yield func(uint32) bool) bool {
	if tree == 0 {
		return true
	}
	n := r.nodes.at(tree)
	return r.walk(n.left, yield) && yield(tree) && r.walk(n.right, yield)
}

// len gives the number of slots.
func (r *ranking) len() int { return r.count }
