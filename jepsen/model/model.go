// Package model is an independent specification of one seat, small enough to be believed by reading it. It knows
// nothing of fsm. It is for histories in which no hold lapses: the tests that use it give holds more time than
// they last.
package model

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
)

// Input is an operation as it concerns one seat.
type Input struct {
	Kind string // hold, sell, release, read
	Hold holdfast.HoldID
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

// Seat is the model of one seat, free at first.
func Seat() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{seat{}} },
		Step: func(state, input, output any) []any {
			return step(state.(seat), input.(Input), output.(Output))
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(Input), output.(Output)
			return fmt.Sprintf("%s %.12s → %s", in.Kind, in.Hold, out.Outcome)
		},
		DescribeState: func(state any) string {
			s := state.(seat)
			return fmt.Sprintf("%s %.12s", s.state, s.owner)
		},
	}
	return m.ToModel()
}

// step gives every state in which the seat may be after the operation; none when the answer is impossible.
func step(s seat, in Input, out Output) []any {
	if out.Outcome == 0 { // it had its effect, or not
		if after, ok := effect(s, in); ok && after != s {
			return []any{s, after}
		}
		return []any{s}
	}
	if in.Kind == "read" {
		return when(out.State == s.state, s)
	}
	if out.Outcome == holdfast.OK {
		after, ok := effect(s, in)
		return when(ok, after)
	}
	switch in.Kind {
	case "hold":
		switch {
		case !out.Denied:
			return []any{s}
		case out.Outcome == holdfast.SeatSold:
			// The outcome is that of the worst seat: this one was not to be had, sold or held.
			return when(s.state == holdfast.Sold || s.state == holdfast.Held, s)
		case out.Outcome == holdfast.SeatHeld:
			return when(s.state == holdfast.Held, s)
		}
	case "sell":
		// The hold cannot be sold: it is not here, and not sold with this id.
		return when(s.owner != in.Hold, s)
	case "release":
		if out.Outcome == holdfast.HoldAlreadySold {
			return when(s == seat{holdfast.Sold, in.Hold}, s)
		}
		return when(s.owner != in.Hold, s)
	}
	return nil // an answer that this load cannot get
}

// effect is what the operation does to the seat when it succeeds.
func effect(s seat, in Input) (after seat, ok bool) {
	switch in.Kind {
	case "hold":
		return seat{holdfast.Held, in.Hold}, s.state == holdfast.Free
	case "sell":
		return seat{holdfast.Sold, in.Hold}, s.owner == in.Hold && (s.state == holdfast.Held || s.state == holdfast.Sold)
	case "release":
		return seat{}, s == seat{holdfast.Held, in.Hold}
	}
	return s, true
}

func when(possible bool, s seat) []any {
	if possible {
		return []any{s}
	}
	return nil
}
