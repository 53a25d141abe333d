package node

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/holdfast-db/holdfast"
)

// keyring is what a node knows of persons' keys, in memory: keys, of which none is ever changed, and the holds that were
// forgotten, of which none ever comes back. Both sets only grow, and a forgotten hold hides its keys whenever either
// arrives: so nodes that have heard the same things, in whatever order and however often, have the same keyring. It needs
// no consensus, and that is why it can be outside of the log.
type keyring struct {
	mu        sync.Mutex
	heads     map[holdfast.HoldID]int32 // the slot of a hold's last key
	slots     []*[slotsPerPage]keySlot  // without pointers in them: the garbage collector does not look inside
	used      int32                     // slots that were ever used
	free      []int32                   // of those, the ones that are free again
	forgotten map[holdfast.HoldID]struct{}

	// The digest of a bucket changes with everything in it: two nodes compare these to find what one of them lacks.
	digests [buckets]uint64
	counts  [buckets]int32
}

// keySlot is one key.
type keySlot struct {
	key     holdfast.PersonKey
	segment uint32 // the file that has it; 0: the slot is free
	next    int32  // the slot of the hold's key before; noSlot: none
}

const (
	slotsPerPage = 4096
	noSlot       = -1
	buckets      = 1024

	// keysMax and forgottenMax bound the keyring. A key takes about 150 bytes of memory and 96 of disk.
	keysMax      = 1 << 21
	forgottenMax = 1 << 21
	// keysPerHoldMax bounds how often one buyer can begin anew with another name.
	keysPerHoldMax = 8
)

func newKeyring() *keyring {
	return &keyring{heads: map[holdfast.HoldID]int32{}, forgotten: map[holdfast.HoldID]struct{}{}}
}

// digests is what a node tells another of its keyring.
type digests = [buckets]uint64

func bucketOf(hold holdfast.HoldID) int {
	sum := sha256.Sum256(hold[:])
	return int(binary.LittleEndian.Uint16(sum[:])) % buckets
}

func keyDigest(k *holdfast.PersonKey) uint64 {
	var b [1 + keyBytes]byte
	sum := sha256.Sum256(appendKey(append(b[:0], 'k'), k))
	return binary.LittleEndian.Uint64(sum[:])
}

func forgottenDigest(hold holdfast.HoldID) uint64 {
	sum := sha256.Sum256(append([]byte{'f'}, hold[:]...))
	return binary.LittleEndian.Uint64(sum[:])
}

func (r *keyring) slot(i int32) *keySlot { return &r.slots[i/slotsPerPage][i%slotsPerPage] }

// fate is what is known of a key.
type fate uint8

const (
	unknownKey  fate = iota
	sameKey          // it is here
	otherKey         // another one is here under its name: one of the two is damaged, or a lie
	forgottenID      // its hold was forgotten
	tooMany          // its hold has as many as it may
	keyringFull
)

// judge says what is known of a key, and for one that is unknown whether there is room for it.
func (r *keyring) judge(k *holdfast.PersonKey) fate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, gone := r.forgotten[k.Hold]; gone {
		return forgottenID
	}
	found, n := r.find(k.Hold, k.Salt)
	switch {
	case found != nil && found.key == *k:
		return sameKey
	case found != nil:
		return otherKey
	case n >= keysPerHoldMax:
		return tooMany
	case r.live() >= keysMax:
		return keyringFull
	}
	return unknownKey
}

// find gives a key's slot, or how many others its hold has. r.mu is held.
func (r *keyring) find(hold holdfast.HoldID, salt [holdfast.PersonSaltBytes]byte) (found *keySlot, others int) {
	head, ok := r.heads[hold]
	for i := head; ok && i != noSlot; i = r.slot(i).next {
		if s := r.slot(i); s.key.Salt == salt {
			return s, others
		}
		others++
	}
	return nil, others
}

// get gives a key.
func (r *keyring) get(hold holdfast.HoldID, salt [holdfast.PersonSaltBytes]byte) (holdfast.PersonKey, fate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, gone := r.forgotten[hold]; gone {
		return holdfast.PersonKey{}, forgottenID
	}
	if s, _ := r.find(hold, salt); s != nil {
		return s.key, sameKey
	}
	return holdfast.PersonKey{}, unknownKey
}

func (r *keyring) isForgotten(hold holdfast.HoldID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, gone := r.forgotten[hold]
	return gone
}

// live is how many keys there are. r.mu is held.
func (r *keyring) live() int { return int(r.used) - len(r.free) }

// add takes a key in that judge has called unknown.
func (r *keyring) add(k *holdfast.PersonKey, segment uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.used
	if n := len(r.free); n > 0 {
		i, r.free = r.free[n-1], r.free[:n-1]
	} else {
		if int(i)/slotsPerPage == len(r.slots) {
			r.slots = append(r.slots, new([slotsPerPage]keySlot))
		}
		r.used++
	}
	next, had := r.heads[k.Hold]
	if !had {
		next = noSlot
	}
	*r.slot(i) = keySlot{key: *k, segment: segment, next: next}
	r.heads[k.Hold] = i
	r.change(k.Hold, keyDigest(k), 1)
}

// forget hides a hold's keys for good, and gives the segments that have them.
func (r *keyring) forget(hold holdfast.HoldID) (segments []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, gone := r.forgotten[hold]; gone {
		return nil
	}
	head, ok := r.heads[hold]
	for i := head; ok && i != noSlot; {
		s := r.slot(i)
		segments = append(segments, s.segment)
		r.change(hold, keyDigest(&s.key), -1)
		next := s.next
		*s = keySlot{}
		r.free = append(r.free, i)
		i = next
	}
	delete(r.heads, hold)
	r.forgotten[hold] = struct{}{}
	r.change(hold, forgottenDigest(hold), 1)
	return segments
}

// holdsMax and pagesMax bound what one look at an event's holds costs.
const (
	holdsMax = 4096
	pagesMax = 64
)

// holds gives holds of an event that have keys, those in slots from a place on, and where to go on; 0: there are no more.
// One that is forgotten meanwhile may be named, and one whose key comes meanwhile may be left out.
func (r *keyring) holds(event holdfast.EventID, from int32) (out []holdfast.HoldID, next int32) {
	from -= from % slotsPerPage
	for page := int32(0); page < pagesMax && len(out) < holdsMax; page++ {
		r.mu.Lock()
		if from < 0 || from >= r.used {
			r.mu.Unlock()
			return out, 0
		}
		for i := range r.slots[from/slotsPerPage] {
			s := &r.slots[from/slotsPerPage][i]
			if s.segment != 0 && s.key.Event == event && s.next == noSlot { // one that has another before it is named with that
				out = append(out, s.key.Hold)
			}
		}
		r.mu.Unlock()
		from += slotsPerPage
	}
	return out, from
}

// change keeps a bucket's digest and count. r.mu is held.
func (r *keyring) change(hold holdfast.HoldID, digest uint64, count int32) {
	b := bucketOf(hold)
	r.digests[b] ^= digest
	r.counts[b] += count
}

// PersonsStatus is what a node tells of its keyring. Two nodes with the same digest have the same keys.
type PersonsStatus struct {
	Keys, Forgotten int
	Digest          [32]byte
}

func (r *keyring) status() PersonsStatus {
	sums := r.sums()
	var all []byte
	for _, sum := range sums {
		all = binary.LittleEndian.AppendUint64(all, sum)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return PersonsStatus{Keys: r.live(), Forgotten: len(r.forgotten), Digest: sha256.Sum256(all)}
}

func (r *keyring) sums() digests {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.digests
}

// lesson is what one node tells another of its keyring: whole buckets.
type lesson struct {
	forgotten []holdfast.HoldID
	keys      []holdfast.PersonKey
	next      uint16 // the bucket at which to go on
	more      bool   // buckets that differ were left out
}

// lessonRecords is how many records a lesson has, unless a single bucket has more: about 1 MiB.
const lessonRecords = 8192

// teach gives what is in buckets that differ from another's, beginning at a bucket.
func (r *keyring) teach(theirs *digests, from uint16) lesson {
	out := lesson{next: from % buckets}
	var chosen [buckets]bool
	total := int32(0)
	r.mu.Lock()
	for i := range uint16(buckets) {
		b := (from + i) % buckets
		if r.digests[b] == theirs[b] || r.counts[b] == 0 {
			continue
		}
		if total > 0 && total+r.counts[b] > lessonRecords {
			out.more = true
			break
		}
		chosen[b], total, out.next = true, total+r.counts[b], (b+1)%buckets
	}
	if total > 0 {
		for hold := range r.forgotten {
			if chosen[bucketOf(hold)] {
				out.forgotten = append(out.forgotten, hold)
			}
		}
	}
	used := r.used
	r.mu.Unlock()
	for at := int32(0); at < used && total > 0; at += slotsPerPage {
		r.mu.Lock()
		for _, s := range r.slots[at/slotsPerPage] {
			if s.segment != 0 && chosen[bucketOf(s.key.Hold)] {
				out.keys = append(out.keys, s.key)
			}
		}
		r.mu.Unlock()
	}
	return out
}
