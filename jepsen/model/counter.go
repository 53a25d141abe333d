package model

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
)

// CounterInput takes so many units from what a counter has left; negative: gives them back.
type CounterInput struct{ Take int }

// CounterOutput is the answer.
type CounterOutput struct {
	Unknown bool
	Refused bool // because not so many were left
}

// Counter is the model of something of which there is so much: the places of a section, or what one buyer may have.
func Counter(most int) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{most} },
		Step: func(state, input, output any) []any {
			left, in, out := state.(int), input.(CounterInput), output.(CounterOutput)
			after := left - in.Take
			possible := after >= 0 && after <= most
			switch {
			case out.Unknown && possible:
				return []any{left, after}
			case out.Unknown || out.Refused && !possible:
				return []any{left}
			case !out.Refused && possible:
				return []any{after}
			}
			return nil
		},
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("take %d → %+v", input.(CounterInput).Take, output.(CounterOutput))
		},
		DescribeState: func(state any) string { return fmt.Sprintf("%d left", state.(int)) },
	}
	return m.ToModel()
}

// Limited reports whether an outcome says that a counter had not enough left.
func Limited(o holdfast.Outcome) bool {
	return o == holdfast.BuyerOverLimit || o == holdfast.NotEnough || o == holdfast.SoldOut
}
