package model

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
)

// LifeInput is an operation as it concerns the hold that it names.
type LifeInput struct {
	Kind    Kind
	Buyer   holdfast.BuyerID // who asks
	Attempt holdfast.Attempt
}

// LifeOutput is the answer. It says nothing about seats: Seat judges those.
type LifeOutput struct {
	Outcome holdfast.Outcome // 0: unknown
}

// life is where a hold is. The zero value is one that nobody has made.
type life struct {
	state    holdfast.HoldState
	buyer    holdfast.BuyerID
	attempt  holdfast.Attempt
	extended bool
	ended    holdfast.Outcome // how, as it is told to who asks afterwards; 0: it has not
}

func (l life) none() bool { return l == life{} }

// Life is the model of one hold, from its making to its sale or its end, for a search that believes no index and no
// clock. With lapses it may end by itself at any time: when it may is for House to judge.
func Life(lapses bool) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{life{}} },
		Step: func(state, input, output any) (after []any) {
			for _, l := range lapsed(state.(life), lapses) {
				after = append(after, l.step(input.(LifeInput), output.(LifeOutput))...)
			}
			return after
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(LifeInput), output.(LifeOutput)
			return fmt.Sprintf("%s %d → %s", in.Kind, in.Attempt, out.Outcome)
		},
		DescribeState: func(state any) string {
			l := state.(life)
			switch {
			case l.none():
				return "not made"
			case l.ended != 0:
				return l.ended.String()
			}
			return fmt.Sprintf("%s, attempt %d", l.state, l.attempt)
		},
	}
	return m.ToModel()
}

// lapsed gives the hold as it is, and what it may have become by itself.
func lapsed(l life, lapses bool) []life {
	all := []life{l}
	if !lapses || l.none() || l.ended != 0 {
		return all
	}
	gone := life{ended: holdfast.HoldLapsed}
	switch l.state {
	case holdfast.HoldOpen, holdfast.HoldClosing:
		all = append(all, gone)
	case holdfast.HoldPaying:
		closing := l
		closing.state = holdfast.HoldClosing
		all = append(all, closing, gone)
	}
	return all
}

// step gives every state in which the hold may be after the operation; none when the answer is impossible.
func (l life) step(in LifeInput, out LifeOutput) []any {
	after, says := l.do(in)
	switch {
	case out.Outcome == 0 && after != l: // it had its effect, or not
		return []any{l, after}
	case out.Outcome == 0, out.Outcome == holdfast.CommandExpired:
		return []any{l}
	case (in.Kind == Hold && l.none() || in.Kind == Swap) && aboutOthers[out.Outcome]:
		return []any{l}
	case out.Outcome == says:
		return []any{after}
	}
	return nil
}

// aboutOthers are refusals for want of seats, by the rules for buyers, or by the state of the sale: they say nothing about
// the hold.
var aboutOthers = map[holdfast.Outcome]bool{
	holdfast.SeatSold: true, holdfast.SeatInPayment: true, holdfast.SeatHeld: true, holdfast.SeatNotForYou: true, holdfast.NotEnough: true, holdfast.SoldOut: true,
	holdfast.BuyerHasHold: true, holdfast.BuyerCoolingDown: true, holdfast.BuyerOverLimit: true, holdfast.EventPaused: true, holdfast.EventClosed: true,
}

// do gives what becomes of the hold, and what is told.
func (l life) do(in LifeInput) (after life, says holdfast.Outcome) {
	switch {
	case in.Kind == Hold && l.none():
		return life{state: holdfast.HoldOpen, buyer: in.Buyer}, holdfast.OK
	case in.Kind == Hold:
		return l, 0 // nobody makes it twice
	case l.none():
		return l, holdfast.HoldUnknown
	case l.ended != 0:
		return l, l.ended
	case in.Kind != Sell && in.Buyer != l.buyer:
		return l, holdfast.HoldNotYours
	case in.Kind == Pay:
		return l.pay(in)
	case in.Kind == Sell:
		return l.sell(in)
	case l.state == holdfast.HoldSold:
		return l, holdfast.HoldAlreadySold
	case l.state != holdfast.HoldOpen:
		return l, holdfast.HoldInPayment
	case in.Kind == Release:
		return life{ended: holdfast.HoldReleased}, holdfast.OK
	case in.Kind == Extend && l.extended:
		return l, holdfast.HoldNotExtendable
	}
	l.extended = l.extended || in.Kind == Extend
	return l, holdfast.OK
}

func (l life) pay(in LifeInput) (after life, says holdfast.Outcome) {
	switch {
	case l.state == holdfast.HoldClosing:
		return l, holdfast.HoldInPayment
	case l.state == holdfast.HoldSold:
		return l, holdfast.HoldAlreadySold
	case in.Attempt != l.attempt && in.Attempt != l.attempt+1:
		return l, holdfast.AttemptStale
	}
	l.state, l.attempt = holdfast.HoldPaying, in.Attempt
	return l, holdfast.OK
}

func (l life) sell(in LifeInput) (after life, says holdfast.Outcome) {
	switch paid := in.Attempt != 0; {
	case l.state == holdfast.HoldSold && in.Attempt == l.attempt:
		return l, holdfast.OK
	case l.state == holdfast.HoldSold:
		return l, holdfast.HoldAlreadySold
	case !paid && l.state != holdfast.HoldOpen:
		return l, holdfast.HoldInPayment
	case paid && in.Attempt != l.attempt:
		return l, holdfast.AttemptStale
	}
	l.state = holdfast.HoldSold
	return l, holdfast.OK
}
