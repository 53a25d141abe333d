// Package model is an independent specification of what an event does, small enough to be believed by reading it.
// It knows nothing of fsm. Seat is one seat, for a search that believes no index and no clock; House is a whole
// event, for a replay in the order of the log.
package model

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
)

// Rules are those of the event that a history is about.
type Rules struct {
	HoldTTL   time.Duration // 0: no hold lapses while the test runs; Seat only
	PayWindow time.Duration
	Grace     time.Duration // after the pay window
	CoolDown  time.Duration // after a hold has lapsed

	SeatsPerBuyer int           // held and sold; 0: no limit. House only
	ManyHolds     bool          // a buyer may have more than one at a time. House only
	Extension     time.Duration // House only
	Price         int64         // of every unit; 0: nobody asks. House only
}

// Kind is what a command does to seats.
type Kind string

// The kinds.
const (
	Hold    Kind = "hold"
	Pay     Kind = "pay"  // begins an attempt to pay
	Sell    Kind = "sell" // what was paid, or without a payment
	Release Kind = "release"
	Read    Kind = "read"
	Swap    Kind = "swap"
	Extend  Kind = "extend"
	TakeOff Kind = "block" // off sale
	PutBack Kind = "unblock"
	SetSale Kind = "set_sale" // House only, as Put
	Put     Kind = "put"
)

// Input is an operation as it concerns one seat.
type Input struct {
	Kind Kind
	Hold holdfast.HoldID
	Paid bool // of a sale: an attempt to pay stands behind it
	// Leaves says that a swap does not want this seat: the hold gives it back, if it has it.
	Leaves bool
}

// Output is the answer as it concerns one seat.
type Output struct {
	Outcome holdfast.Outcome // 0: unknown
	// Denied says that this seat was one of those that were not to be had. A refused hold says nothing about its
	// other seats.
	Denied bool
	State  holdfast.SeatState // of a read
}

// seat is where a seat is, and whose it is.
type seat struct {
	state holdfast.SeatState
	owner holdfast.HoldID
}

// Seat is the model of one seat, free at first. With lapses a seat that is held or paid for may become free at any
// time by itself: when it may is for House to judge.
func Seat(lapses bool) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{seat{}} },
		Step: func(state, input, output any) []any {
			s, in, out := state.(seat), input.(Input), output.(Output)
			after := step(s, in, out)
			if lapses && (s.state == holdfast.Held || s.state == holdfast.Paying) {
				after = append(after, step(seat{}, in, out)...)
			}
			return after
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(Input), output.(Output)
			return describe(in, out)
		},
		DescribeState: func(state any) string {
			s := state.(seat)
			return fmt.Sprintf("%s %s", s.state, short(s.owner))
		},
	}
	return m.ToModel()
}

// describe tells an operation in a few words.
func describe(in Input, out Output) string {
	answer := out.Outcome.String()
	switch {
	case out.Outcome == 0:
		answer = "?"
	case in.Kind == Read:
		return fmt.Sprintf("read → %s", out.State)
	case out.Denied:
		answer += ", this seat"
	}
	what := string(in.Kind)
	if in.Leaves {
		what += " away"
	}
	if in.Hold == (holdfast.HoldID{}) {
		return what + " → " + answer
	}
	return what + " " + short(in.Hold) + " → " + answer
}

// short is the end of an id, which tells it from others; its beginning is when it is valid.
func short(id holdfast.HoldID) string {
	if id == (holdfast.HoldID{}) {
		return ""
	}
	return fmt.Sprintf("…%x", id[len(id)-3:])
}

// step gives every state in which the seat may be after the operation; none when the answer is impossible.
func step(s seat, in Input, out Output) []any {
	if out.Outcome == 0 { // it had its effect, or not
		if after, ok := effect(s, in); ok && after != s {
			return []any{s, after}
		}
		return []any{s}
	}
	if in.Kind == Read {
		return when(out.State == s.state, s)
	}
	if out.Outcome == holdfast.OK {
		after, ok := effect(s, in)
		return when(ok, after)
	}
	return when(refused(s, in, out), s)
}

// refused reports whether the refusal is possible.
func refused(s seat, in Input, out Output) bool {
	ours := s.owner == in.Hold && s.state != holdfast.Free && s.state != holdfast.Blocked
	wants, about := in.Kind == Hold || in.Kind == Swap, in.Kind != Hold && in.Kind != TakeOff && in.Kind != PutBack
	switch out.Outcome {
	case holdfast.SeatSold, holdfast.SeatInPayment, holdfast.SeatHeld, holdfast.SeatNotForYou:
		// The outcome is that of the worst of the seats: this one was not to be had either, at worst so.
		return wants && (!out.Denied || s.state != holdfast.Free && !(in.Kind == Swap && ours) && badness(s.state) <= badness(stateOf[out.Outcome]))
	case holdfast.SeatTaken:
		return !wants && !about && (!out.Denied || s.state != holdfast.Free && s.state != holdfast.Blocked)
	case holdfast.NotEnough, holdfast.SoldOut, holdfast.EventPaused, holdfast.EventClosed: // of others, or of all
		return wants
	case holdfast.BuyerOverLimit:
		return wants
	case holdfast.BuyerHasHold, holdfast.BuyerCoolingDown:
		return in.Kind == Hold
	case holdfast.CommandExpired:
		return true
	case holdfast.HoldUnknown, holdfast.HoldLapsed, holdfast.HoldReleased:
		return about && !ours
	case holdfast.HoldNotExtendable:
		return in.Kind == Extend && ours && s.state == holdfast.Held
	case holdfast.HoldInPayment: // a seat that a swap wants need not be one that the hold has
		return about && (in.Kind == Swap && !ours || ours && s.state == holdfast.Paying)
	case holdfast.HoldAlreadySold:
		return about && (in.Kind == Swap && !ours || ours && s.state == holdfast.Sold)
	case holdfast.AttemptStale:
		return (in.Kind == Pay || in.Kind == Sell) && ours && s.state != holdfast.Sold
	}
	return false // an answer that this load cannot get
}

// stateOf is the state that a refusal speaks of.
var stateOf = map[holdfast.Outcome]holdfast.SeatState{
	holdfast.SeatSold: holdfast.Sold, holdfast.SeatInPayment: holdfast.Paying, holdfast.SeatHeld: holdfast.Held, holdfast.SeatNotForYou: holdfast.Blocked,
}

// badness orders the states of a seat by how little hope they leave to others.
func badness(s holdfast.SeatState) int {
	return map[holdfast.SeatState]int{holdfast.Held: 1, holdfast.Paying: 2, holdfast.Sold: 3, holdfast.Blocked: 4}[s]
}

// effect is what the operation does to the seat when it succeeds.
func effect(s seat, in Input) (after seat, ok bool) {
	ours := s.owner == in.Hold && s.state != holdfast.Free && s.state != holdfast.Blocked
	nobodys := s.state == holdfast.Free || s.state == holdfast.Blocked
	switch in.Kind {
	case Hold:
		return seat{holdfast.Held, in.Hold}, s.state == holdfast.Free
	case Swap:
		switch {
		case ours && s.state != holdfast.Held:
			return s, false
		case !in.Leaves:
			return seat{holdfast.Held, in.Hold}, ours || s.state == holdfast.Free
		case ours:
			return seat{}, true
		}
		return s, true
	case Extend:
		return s, ours && s.state == holdfast.Held
	case TakeOff:
		return seat{state: holdfast.Blocked}, nobodys
	case PutBack:
		return seat{}, nobodys
	case Pay:
		return seat{holdfast.Paying, in.Hold}, ours && (s.state == holdfast.Held || s.state == holdfast.Paying)
	case Sell:
		from := holdfast.Held
		if in.Paid {
			from = holdfast.Paying
		}
		return seat{holdfast.Sold, in.Hold}, ours && (s.state == from || s.state == holdfast.Sold)
	case Release:
		return seat{}, ours && s.state == holdfast.Held
	}
	return s, true
}

func when(possible bool, s seat) []any {
	if possible {
		return []any{s}
	}
	return nil
}
