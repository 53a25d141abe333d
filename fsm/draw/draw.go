// Package draw is the arithmetic of the waiting line's draw: what a shard commits to, how an order comes out of it, and
// how anybody checks that it did. The shard's state machine, the frontend, the command line and the page in the browser
// all do what stands here; docs/draw.md says what it proves and what not.
//
// It is SHA-256 and HMAC-SHA-256 throughout, so that a browser's own cryptography suffices. All integers are written
// with the highest byte first. With | for one after the other:
//
//	leaf(key)            SHA-256( 00 | event uint32 | key [32] )
//	node(left, right)    SHA-256( 01 | left | right )
//	chain of no headers  SHA-256( 02 | event uint32 )
//	chain with one more  SHA-256( 03 | chain before | base uint32 | count uint32 | root )
//	commitment           SHA-256( 04 | event uint32 | secret [32] )
//	seed                 HMAC( secret, chain | N uint32 | beacon's signature, if one was used )
//	position(key)        the first 8 bytes of HMAC( seed, key ), times N, without the last 64 bits
//
// A tree of leaves is that of RFC 6962, section 2.1: the left subtree has the largest power of two of leaves that is
// less than their number.
//
// It is a leaf: the standard library and the words, no state, no clock.
package draw

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Hash is a SHA-256.
type Hash = [32]byte

// What a hash is of, so that none can be taken for another.
const (
	ofLeaf       = 0
	ofNode       = 1
	ofNoHeaders  = 2
	ofHeader     = 3
	ofCommitment = 4
)

// Leaf gives the leaf of a key in an event's line.
func Leaf(event holdfast.EventID, key holdfast.PlaceKey) Hash {
	b := binary.BigEndian.AppendUint32([]byte{ofLeaf}, uint32(event))
	return sha256.Sum256(append(b, key[:]...))
}

func node(left, right *Hash) Hash {
	b := append(make([]byte, 0, 65), ofNode)
	b = append(b, left[:]...)
	return sha256.Sum256(append(b, right[:]...))
}

// Root gives the root of a tree with these leaves, of which there is at least one.
func Root(leaves []Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := leftOf(len(leaves))
	left, right := Root(leaves[:k]), Root(leaves[k:])
	return node(&left, &right)
}

// Path gives the hashes that lead from a leaf to the root, from the leaf's neighbour on.
func Path(leaves []Hash, index int) []Hash {
	if len(leaves) == 1 {
		return nil
	}
	k := leftOf(len(leaves))
	if index < k {
		return append(Path(leaves[:k], index), Root(leaves[k:]))
	}
	return append(Path(leaves[k:], index-k), Root(leaves[:k]))
}

// leftOf gives the leaves of the left subtree of n leaves: the largest power of two below n.
func leftOf(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// Includes reports whether a path leads from a leaf, as number index of count, to a root.
func Includes(root Hash, count, index uint32, leaf Hash, path []Hash) bool {
	if index >= count {
		return false
	}
	is := leaf
	at, last := index, count-1 // of the level: the node's number, and that of the last node
	for i := range path {
		if last == 0 {
			return false // longer than the tree is high
		}
		if at&1 == 1 || at == last {
			is = node(&path[i], &is)
			for at&1 == 0 && at != 0 { // a last node without a neighbour is that of the level above
				at, last = at>>1, last>>1
			}
		} else {
			is = node(&is, &path[i])
		}
		at, last = at>>1, last>>1
	}
	return last == 0 && is == root
}

// Header is what the shard keeps of one Enter.
type Header struct {
	Base  holdfast.PlaceNumber // the number of its first place
	Count uint32
	Root  Hash
}

// Start gives the chain of a line that nobody joined.
func Start(event holdfast.EventID) Hash {
	return sha256.Sum256(binary.BigEndian.AppendUint32([]byte{ofNoHeaders}, uint32(event)))
}

// Extend gives the chain with one header more.
func Extend(chain Hash, h *Header) Hash {
	b := append(make([]byte, 0, 80), ofHeader)
	b = append(b, chain[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.Base))
	b = binary.BigEndian.AppendUint32(b, h.Count)
	return sha256.Sum256(append(b, h.Root[:]...))
}

// Commitment gives what is told of a secret before the draw.
func Commitment(event holdfast.EventID, secret holdfast.LineSecret) Hash {
	b := binary.BigEndian.AppendUint32([]byte{ofCommitment}, uint32(event))
	return sha256.Sum256(append(b, secret[:]...))
}

// Seed gives what the order is drawn from: of the secret, of who takes part, and of a round that nobody knew before
// that was fixed; nil if none was used.
func Seed(secret holdfast.LineSecret, chain Hash, cohort uint32, round *holdfast.BeaconRound) Hash {
	h := hmac.New(sha256.New, secret[:])
	h.Write(chain[:])
	h.Write(binary.BigEndian.AppendUint32(nil, cohort))
	if round != nil {
		h.Write(round.Signature[:])
	}
	return Hash(h.Sum(nil))
}

// lot gives the number that a key has drawn: the smaller, the further ahead.
func lot(seed Hash, key holdfast.PlaceKey) uint64 {
	h := hmac.New(sha256.New, seed[:])
	h.Write(key[:])
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// Position gives where a place stands: by lot if it is one of the cohort's, which are the first in number, else by
// its number. Keys that draw the same position are called together.
func Position(seed Hash, cohort uint32, number holdfast.PlaceNumber, key holdfast.PlaceKey) holdfast.Position {
	if uint32(number) >= cohort {
		if planted.Is(planted.Overtaking) {
			return holdfast.Position(uint32(number) - cohort)
		}
		return holdfast.Position(number)
	}
	position, _ := bits.Mul64(lot(seed, key), uint64(cohort))
	return holdfast.Position(position)
}

// Place is a place with its key.
type Place struct {
	Number holdfast.PlaceNumber
	Key    holdfast.PlaceKey
}

// Before reports whether a stands before b in the order of the line: by what they have drawn, and where that is the
// same by number.
func Before(seed Hash, cohort uint32, a, b Place) bool {
	drawnA, drawnB := uint32(a.Number) < cohort, uint32(b.Number) < cohort
	if drawnA && drawnB {
		if x, y := lot(seed, a.Key), lot(seed, b.Key); x != y {
			return x < y
		}
	}
	return a.Number < b.Number
}

// Signed gives what the holder of a chain signs in a round.
func Signed(round uint64, previous *[64]byte) Hash {
	return sha256.Sum256(binary.BigEndian.AppendUint64(append(make([]byte, 0, 72), previous[:]...), round))
}

// ValidRound reports whether a round is signed as the beacon's holder signs it.
func ValidRound(b *holdfast.Beacon, r *holdfast.BeaconRound) bool {
	if b.Kind != holdfast.BeaconChain || r.Round == 0 {
		return false
	}
	message := Signed(r.Round, &r.Previous)
	return ed25519.Verify(b.PublicKey[:], message[:], r.Signature[:])
}

// RoundFor gives the round that a line is drawn from that was frozen at an instant: that of the beacon's description,
// or the first after the freeze if it is later. 0 without a beacon.
func RoundFor(b *holdfast.Beacon, frozenMs int64) uint64 {
	if b.Kind == holdfast.BeaconNone {
		return 0
	}
	return max(b.Round, b.RoundAfter(frozenMs))
}
