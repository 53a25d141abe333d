// Package planted is a list of deliberate bugs, so that one can see whether the tests notice. In a build with the tag
// planted the environment variable HOLDFAST_PLANTED names the one that is there; in every other build Is is a constant
// no, and the compiler leaves out what stands behind it. docs/decisions/0022-planted-faults.md says why they are in the
// product's code, docs/verification.md what catches each of them: go run ./jepsen planted.
//
// Each is a mistake that somebody could make, at one place as a rule:
//
//	if planted.Is(planted.IgnoredExpiry) {
//		return
//	}
//
// What needs more than a line is in a file planted.go of the package in which it is.
package planted

// Fault is one deliberate bug.
type Fault string

// Variable is the environment variable that names a fault, in a build with the tag planted. Empty: none is there.
const Variable = "HOLDFAST_PLANTED"

// The faults.
const (
	DoubleSell       Fault = "double-sell"
	OwnerUnchecked   Fault = "owner-unchecked"
	CounterOff       Fault = "counter-off"
	PartialHold      Fault = "partial-hold"
	IgnoredExpiry    Fault = "ignored-expiry"
	EarlyExpiry      Fault = "early-expiry"
	WallClock        Fault = "wall-clock"
	EarlyAck         Fault = "early-ack"
	MinorityWrite    Fault = "minority-write"
	MissingSync      Fault = "missing-sync"
	SnapshotShort    Fault = "snapshot-short"
	RestoreUnchecked Fault = "restore-unchecked"
	WipedVoter       Fault = "wiped-voter"
	StaleRead        Fault = "stale-read"
	FeedGap          Fault = "feed-gap"
	LimitLate        Fault = "limit-late"
	ReusedID         Fault = "reused-id"
	ForgottenOutcome Fault = "forgotten-outcome"
	PoisonEntry      Fault = "poison-entry"
	AmountUnchecked  Fault = "amount-unchecked"
	VoidForgotten    Fault = "void-forgotten"
	RefundLost       Fault = "refund-lost"
	EffectTwice      Fault = "effect-twice"
	DrawSteered      Fault = "draw-steered"
	PlaceLost        Fault = "place-lost"
	Overtaking       Fault = "overtaking"
	MapOrder         Fault = "map-order"
)

// Described is a fault with what is to be known of it.
type Described struct {
	Fault     Fault
	Invariant string // which of docs/invariants.md it breaks
	What      string // goes wrong
}

// All are the faults, by invariant.
func All() []Described {
	return []Described{
		{DoubleSell, "I1", "a seat that somebody holds is given once more to who asks for it alone"},
		{OwnerUnchecked, "I1", "whoever knows a hold's id may change, release and pay it"},
		{CounterOff, "I2", "a seat whose payment came to nothing is not counted as free"},
		{PartialHold, "I3", "a hold of several seats takes those that it can get"},
		{IgnoredExpiry, "I4", "holds do not end at their deadline"},
		{EarlyExpiry, "I4", "holds end one tick of the leader before their deadline"},
		{WallClock, "I4", "the hold clock follows the wall clock"},
		{EarlyAck, "I5", "what settles is answered before it is committed, since it is refused so rarely"},
		{MinorityWrite, "I5", "a follower counts as having an entry when it does not answer in time"},
		{MissingSync, "I5", "the log is not synced"},
		{SnapshotShort, "I5", "a snapshot lacks the last entry that it stands for"},
		{RestoreUnchecked, "I5", "a snapshot is restored without looking at its checksums"},
		{WipedVoter, "I5", "a voter that lost its disk comes back under its old id, and votes"},
		{StaleRead, "I6", "strict reads do not ask the log"},
		{FeedGap, "I6", "of several changes of a seat a watcher is told the first as the last"},
		{LimitLate, "I6", "what a buyer may have is counted at the end of an entry, and checked before"},
		{ReusedID, "I7", "a command with another's id has the other's outcome, whatever it asks for"},
		{ForgottenOutcome, "I7", "refusals are not remembered: who comes again is decided again"},
		{PoisonEntry, "I7", "the release of a hold that has ended stops every replica"},
		{AmountUnchecked, "I8", "a sale takes any amount"},
		{VoidForgotten, "I8", "an attempt to pay that is given up is not cancelled at the provider"},
		{RefundLost, "I8", "a refund that was owed before the money was here is never made"},
		{EffectTwice, "I8", "each try of a refund is another refund to the provider"},
		{DrawSteered, "I9", "the draw follows from the secret alone: who knows it can choose his place"},
		{PlaceLost, "I9", "places are noted on the leader only"},
		{Overtaking, "I9", "who comes after the draw is called with those who were drawn"},
		{MapOrder, "I10", "holds that end together end in the order of a map"},
	}
}
