package model

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// TextInput writes or reads a register.
type TextInput struct {
	Write bool
	Value string // that is written; empty: nothing is to be left
}

// TextOutput is the answer.
type TextOutput struct {
	Unknown bool
	Value   string // that was read
}

// Text is the model of a register that is empty at first.
func Text() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{""} },
		Step: func(state, input, output any) []any {
			in, out := input.(TextInput), output.(TextOutput)
			switch {
			case in.Write && out.Unknown:
				return []any{state, in.Value}
			case in.Write:
				return []any{in.Value}
			case out.Value == state:
				return []any{state}
			}
			return nil
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(TextInput), output.(TextOutput)
			if in.Write {
				return fmt.Sprintf("write %q", in.Value)
			}
			return fmt.Sprintf("read → %q", out.Value)
		},
	}
	return m.ToModel()
}
