package fsm

import "github.com/holdfast-db/holdfast"

// memory remembers the outcome of every command while it is valid, so that a repeat gets the outcome that it had.
//
// An id says until when it is valid. Its first five bytes number a span of 256 ms of the hold clock, and what is
// remembered of all ids of a span is one generation, which is forgotten as a whole when the span is over. No
// outcome is looked at to be forgotten, and none is lost while it is valid: when the memory is full, which counts
// whole generations, commands are refused before they are executed.
//
// A generation is the list of its outcomes in the order in which they came, 16 bytes each, and an index of them.
// The list is what snapshots hold, and a cut shares it at no cost, since only its end is ever written to. The index
// is worked out from the list; it begins with room for as many as the one before had, and some more. Together they
// take 26 to 32 bytes for each outcome: at 100,000 commands a second that are valid for 60 seconds, 160 to 190 MB.
// Pages that one generation leaves are the next one's.
//
// Ids come from clients. Any command leaves an outcome, so this is where somebody could try to be a nuisance with
// ids that fall on one another in the index; that needs the machine's seed (see seedOf). With ids aimed at nothing
// but one generation, generations only get bigger, up to the limit: they grow in steps.
type memory struct {
	max   int    // outcomes
	count int    // outcomes in all generations
	seed  uint64 // of the hashes; set before the first add

	// generations is a ring: that of a span is at the span modulo generationsMax. Spans before oldest are over.
	generations []generation
	oldest      uint64

	recent       int    // outcomes in the generation that was forgotten last
	begun        uint64 // the span of the generation that was begun last
	spareEndings *spareds[ending]
	spareCells   *spareds[uint64]
}

// generation is the outcomes of the commands whose validity ends in one span.
type generation struct {
	span    uint64 // if it is not empty
	endings pages[ending]
	places  index // of endings, counted from 1
}

// ending is what is remembered of a command.
type ending struct {
	rest        [idRestBytes]byte // of its id, after the span
	outcome     holdfast.Outcome
	fingerprint uint32
}

const (
	idRestBytes    = 16 - 5
	spanMs         = 256
	generationsMax = 256

	// endingBytes is what an outcome takes in its list, and about what its share of the index takes.
	endingBytes = 16
	// spareBytes of pages are kept of either kind, beside as many as are in use.
	spareBytes = 4 << 20
)

// The ring has room for every span in which something valid can end, with the one that is partly over.
const _ = uint(generationsMax - (holdfast.ValidityMax/1_000_000/spanMs + 2))

// newMemory makes an empty memory for so many outcomes.
func newMemory(max int) memory {
	return memory{
		max:          max,
		generations:  make([]generation, generationsMax),
		spareEndings: &spareds[ending]{},
		spareCells:   &spareds[uint64]{},
	}
}

// len gives the number of outcomes that are remembered.
func (m *memory) len() int { return m.count }

// full reports that nothing can be added until something is forgotten.
func (m *memory) full() bool { return m.count >= m.max }

// look gives the outcome of the command with this id, if it is remembered, and whether that had the same contents.
func (m *memory) look(id holdfast.CommandID, fingerprint uint32) (outcome holdfast.Outcome, found, same bool) {
	span := spanOf(id)
	if span-m.oldest >= generationsMax { // also when it is over: unsigned
		return 0, false, false
	}
	g := &m.generations[span%generationsMax]
	rest := [idRestBytes]byte(id[5:])
	place := g.places.find(hash16(m.seed, id), func(place uint32) bool { return g.endings.at(place-1).rest == rest })
	if place == 0 {
		return 0, false, false
	}
	e := g.endings.at(place - 1)
	return e.outcome, true, e.fingerprint == fingerprint
}

// placesOf gives the index that look searches for an id; nil if there is none.
func (m *memory) placesOf(id holdfast.CommandID) *index {
	span := spanOf(id)
	if span-m.oldest >= generationsMax {
		return nil
	}
	return &m.generations[span%generationsMax].places
}

// add remembers the outcome of a command that is valid still, that look does not find, when the memory is not full.
func (m *memory) add(id holdfast.CommandID, fingerprint uint32, outcome holdfast.Outcome) {
	span := spanOf(id)
	if span-m.oldest >= generationsMax || m.full() {
		fail("%s cannot be remembered", id)
	}
	g := &m.generations[span%generationsMax]
	n := g.endings.len()
	if n == 0 {
		g.span = span
		g.endings = pages[ending]{spare: m.spareEndings}
		expect := max(m.recent, m.generations[m.begun%generationsMax].endings.len())
		g.places = newIndex(expect+expect/8, m.spareCells)
		m.begun = span
	}
	g.endings.grow(n + 1)
	*g.endings.edit(uint32(n)) = ending{[idRestBytes]byte(id[5:]), outcome, fingerprint}
	g.places.add(hash16(m.seed, id), uint32(n+1))
	m.count++
}

// forget drops the generations whose span is over by clock.
func (m *memory) forget(clock holdfast.Clock) {
	for now := spanAt(clock); m.oldest < now; m.oldest++ {
		if m.count == 0 {
			m.oldest = now
			return
		}
		g := &m.generations[m.oldest%generationsMax]
		if n := g.endings.len(); n > 0 {
			m.count -= n
			m.recent = n
			g.endings.discard()
			g.places.discard()
			m.spareEndings.trim((m.count*endingBytes + spareBytes) / pageBytes)
			m.spareCells.trim((m.count*endingBytes + spareBytes) / cellPageBytes)
		}
	}
}

// cut freezes what is remembered: see pages.cut. In the view there is nothing to look in, only lists to read.
func (m *memory) cut(l *lease) memory {
	c := memory{max: m.max, count: m.count, oldest: m.oldest, generations: make([]generation, generationsMax)}
	for i := range m.generations {
		if g := &m.generations[i]; g.endings.len() > 0 {
			c.generations[i] = generation{span: g.span, endings: g.endings.cut(l)}
		}
	}
	return c
}

// spanOf gives the span in which an id's validity ends.
func spanOf(id holdfast.CommandID) uint64 {
	return uint64(id[0])<<32 | uint64(id[1])<<24 | uint64(id[2])<<16 | uint64(id[3])<<8 | uint64(id[4])
}

// spanAt gives the span that an instant is in.
func spanAt(clock holdfast.Clock) uint64 { return uint64(clock) / 1000 / spanMs }
