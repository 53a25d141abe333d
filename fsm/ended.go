package fsm

import "github.com/holdfast-db/holdfast"

// ended remembers how the last holds ended that did not become orders, so that who comes too late learns why: the
// hold lapsed, or was released. It is a ring: what is older than the last endedMax is told to be unknown.
//
// The ring is written in eight parts, each with an index of its own, which is worked out from it. When a part is
// begun again its index becomes the fading one and is dropped as a whole at the next part: nothing is ever looked up
// to be forgotten, and what is written to is small enough to stay near the processor. What has been written over is
// told by its id.
type ended struct {
	ring   pages[endedHold]
	next   uint32            // the place in the ring that is written next
	seed   uint64            // of the hashes; set before the first add
	parts  [endedParts]index // places in the ring, counted from 1
	fading index
	spare  *spareds[uint64]
}

type endedHold struct {
	ID  holdfast.HoldID
	How holdfast.Outcome // HoldLapsed or HoldReleased
}

const (
	// endedMax is what an on-sale of 50,000 seats ends in about its first five minutes, in 9 MiB.
	endedMax   = 1 << 18
	endedParts = 8
	endedPart  = endedMax / endedParts
)

func newEnded() ended { return ended{spare: &spareds[uint64]{}} }

// add remembers how a hold ended.
func (e *ended) add(id holdfast.HoldID, how holdfast.Outcome) {
	part := &e.parts[e.next/endedPart]
	if e.next%endedPart == 0 {
		e.fading.discard()
		e.fading, *part = *part, newIndex(endedPart, e.spare)
	}
	if int(e.next) == e.ring.len() {
		e.ring.grow(e.ring.len() + 1)
	}
	*e.ring.edit(e.next) = endedHold{id, how}
	part.add(hash16(e.seed, id), e.next+1)
	e.next = (e.next + 1) % endedMax
}

// look says how a hold ended, if it is remembered.
func (e *ended) look(id holdfast.HoldID) (holdfast.Outcome, bool) {
	hash, same := hash16(e.seed, id), func(place uint32) bool { return e.ring.at(place-1).ID == id }
	place := e.fading.find(hash, same)
	for i := 0; i < endedParts && place == 0; i++ {
		place = e.parts[i].find(hash, same)
	}
	if place == 0 {
		return 0, false
	}
	return e.ring.at(place - 1).How, true
}

// len gives the number of holds that are remembered.
func (e *ended) len() int { return e.ring.len() }

// cut freezes the ring: see pages.cut. In the view there is nothing to look in, only the ring to read.
func (e *ended) cut(l *lease) ended { return ended{ring: e.ring.cut(l), next: e.next} }
