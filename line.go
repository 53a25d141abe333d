package holdfast

import (
	"encoding/hex"
	"strconv"
)

// The words of the waiting line. docs/draw.md says how its order comes about.

// PlaceNumber is the number of a place in an event's line: from 0, in the order of arrival.
type PlaceNumber uint32

// Position is where in the order of the line somebody stands, from 0. Who came before the draw has one by lot, from
// the own key; who came after it has the own number. Who missed a turn gets another. Whoever stands before Served
// has been called.
type Position uint32

// PlaceKey is what a place belongs to: the hash of a secret that the browser keeps, or a keyed hash of an account.
type PlaceKey [32]byte

// Buyer is the buyer that the key's holder is to the event: limits count on it, and its session is what Hold asks for.
func (k PlaceKey) Buyer() BuyerID { return BuyerID(k[:16]) }

func (k PlaceKey) String() string { return "place_" + hex.EncodeToString(k[:]) }

// LineSecret is what the order of a line is drawn from. It is committed to before the line opens and told when it is
// drawn. Printing it shows nothing.
type LineSecret [32]byte

func (LineSecret) String() string   { return "(secret)" }
func (LineSecret) GoString() string { return "(secret)" }

// MarshalText keeps the secret out of whatever writes text.
func (LineSecret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// LineState is where an event's line is in its life.
type LineState uint8

// The states of a line. The numbers are in snapshots and on the wire.
const (
	LineClosed LineState = 0 // there is none, or its time to open has not come
	LineOpen   LineState = 1 // whoever joins now is equal to all others
	LineFrozen LineState = 2 // who takes part in the draw is fixed; who comes now stands behind them
	LineDrawn  LineState = 3 // it has an order, and people are called
	LineOver   LineState = 4 // closed for good: nobody joins and nobody is called any more
)

var lineStateNames = [...]string{"closed", "open", "frozen", "drawn", "over"}

func (s LineState) String() string {
	if int(s) < len(lineStateNames) {
		return lineStateNames[s]
	}
	return "line_state_" + strconv.Itoa(int(s))
}

// PlaceState is what became of a place: each is in exactly one of these, and can be asked for it until a day after
// the sale was closed.
type PlaceState uint8

// The states of a place. The numbers are in snapshots and on the wire.
const (
	PlaceWaiting   PlaceState = 0 // not called yet
	PlaceCalled    PlaceState = 1 // it is the visitor's turn
	PlaceMissed    PlaceState = 2 // called, and nobody came in time; who comes later is put a little behind those called last
	PlaceAdmitted  PlaceState = 3 // has a session
	PlaceDeferred  PlaceState = 4 // missed a turn, came, and waits at another position
	PlaceLapsed    PlaceState = 5 // a session was over without a purchase: stands behind all who were in line then
	PlaceOffered   PlaceState = 6 // seats that came back are held for the visitor
	PlaceFinished  PlaceState = 7 // bought
	PlaceLeft      PlaceState = 8 // left the line
	PlaceForgotten PlaceState = 9 // only in counts: the day after the sale's end is over
)

// PlaceStates is how many states there are.
const PlaceStates = 10

var placeStateNames = [PlaceStates]string{"waiting", "called", "missed", "admitted", "deferred", "lapsed", "offered", "finished", "left", "forgotten"}

func (s PlaceState) String() string {
	if int(s) < len(placeStateNames) {
		return placeStateNames[s]
	}
	return "place_state_" + strconv.Itoa(int(s))
}

// Bound says what decides how many people of a line are called, so that whoever waits can be told why it is slow.
type Bound uint8

// The bounds. The numbers are in logs, snapshots and on the wire.
const (
	BoundNone      Bound = 0 // nobody has been called yet
	BoundTarget    Bound = 1 // as many look for seats as the shard serves well
	BoundSlew      Bound = 2 // the line begins, or goes on after something: people are let in little by little
	BoundCeiling   Bound = 3 // the organizer's ceiling of sessions
	BoundRate      Bound = 4 // the organizer's rate
	BoundProvider  Bound = 5 // what the payment provider takes
	BoundStock     Bound = 6 // the stock: more would look than seats are free
	BoundLine      Bound = 7 // nobody else waits
	BoundPause     Bound = 8 // paused, or not on sale
	BoundSaturated Bound = 9 // the shard is overloaded
)

// Bounds is how many there are.
const Bounds = 10

var boundNames = [Bounds]string{"none", "target", "slew", "ceiling", "rate", "provider", "stock", "line", "paused", "saturated"}

func (b Bound) String() string {
	if int(b) < len(boundNames) {
		return boundNames[b]
	}
	return "bound_" + strconv.Itoa(int(b))
}

// BeaconKind says where the randomness comes from that nobody knew before the cut-off.
type BeaconKind uint8

// The kinds of beacons.
const (
	BeaconNone  BeaconKind = 0 // nowhere: the operator is trusted not to join last with a chosen key
	BeaconChain BeaconKind = 1 // a chain of signed rounds
)

// Beacon is a public source of randomness: a chain of rounds, of which round r comes at GenesisMs + (r-1)·PeriodMs
// and is signed by the holder of PublicKey. What is signed is the SHA-256 of the signature of the round before,
// followed by r as eight bytes, the highest first.
type Beacon struct {
	Kind      BeaconKind
	PublicKey [32]byte // Ed25519
	GenesisMs int64    // Unix milliseconds
	PeriodMs  uint32
	Round     uint64 // to draw from; 0, or one that is not after the freeze: the first that is
}

// BeaconRound is one round of a beacon's chain, as it was published.
type BeaconRound struct {
	Round     uint64
	Previous  [64]byte // the signature of the round before
	Signature [64]byte
}

// IsZero reports whether it is no round.
func (r *BeaconRound) IsZero() bool { return *r == BeaconRound{} }

// RoundTimeMs is when a round comes, in Unix milliseconds. Rounds count from 1.
func (b *Beacon) RoundTimeMs(round uint64) int64 {
	return b.GenesisMs + int64(round-1)*int64(b.PeriodMs)
}

// RoundAfter gives the first round that comes after an instant.
func (b *Beacon) RoundAfter(ms int64) uint64 {
	if ms < b.GenesisMs {
		return 1
	}
	return uint64(ms-b.GenesisMs)/uint64(b.PeriodMs) + 2
}

// Limits of a line.
const (
	// EntersMax bounds the Enter commands of one event: each leaves 40 bytes in the shard for good. Frontends that
	// see it come near put more people into one.
	EntersMax = 1 << 16
	// EnterPlacesMax bounds the places of one Enter.
	EnterPlacesMax = 4096
	// PathMax bounds the hashes of a path: the height of a tree of EnterPlacesMax leaves.
	PathMax = 12
	// ReturnsMax bounds the waiting list of an event for seats that come back.
	ReturnsMax = 1 << 16
)

// Places fit their number, and a path the tree.
const (
	_ = uint32(EntersMax * EnterPlacesMax)
	_ = uint(EnterPlacesMax - 1<<PathMax)
)
