package fsm

import "github.com/holdfast-db/holdfast"

// ended remembers how the last holds ended that did not become orders, so that who comes too late learns why: the
// hold lapsed, or was released. It is a ring: what is older than the last endedMax is told to be unknown.
type ended struct {
	ring   pages[endedHold]
	places index  // in the ring, counted from 1; worked out from it
	next   uint32 // the place that is written next, once the ring is full
	seed   uint64 // of the hashes; set before the first add
}

type endedHold struct {
	ID  holdfast.HoldID
	How holdfast.Outcome // HoldLapsed or HoldReleased
}

// endedMax is what an on-sale of 50,000 seats ends in about its first five minutes, in 9 MiB.
const endedMax = 1 << 18

func newEnded() ended { return ended{} }

// add remembers how a hold ended.
func (e *ended) add(id holdfast.HoldID, how holdfast.Outcome) {
	if e.ring.len() < endedMax {
		e.next = uint32(e.ring.len())
		e.ring.grow(e.ring.len() + 1)
	} else {
		e.places.drop(hash16(e.seed, e.ring.at(e.next).ID), e.next+1)
	}
	*e.ring.edit(e.next) = endedHold{id, how}
	e.places.add(hash16(e.seed, id), e.next+1)
	e.next = (e.next + 1) % endedMax
}

// look says how a hold ended, if it is remembered.
func (e *ended) look(id holdfast.HoldID) (holdfast.Outcome, bool) {
	place := e.places.find(hash16(e.seed, id), func(place uint32) bool { return e.ring.at(place-1).ID == id })
	if place == 0 {
		return 0, false
	}
	return e.ring.at(place - 1).How, true
}

// len gives the number of holds that are remembered.
func (e *ended) len() int { return e.ring.len() }

// cut freezes the ring: see pages.cut. In the view there is nothing to look in, only the ring to read.
func (e *ended) cut(l *lease) ended { return ended{ring: e.ring.cut(l), next: e.next} }
