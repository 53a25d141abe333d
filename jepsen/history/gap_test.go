package history

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

func TestTheLongestTimeWithoutAnAnswer(t *testing.T) {
	var operations []Operation
	for _, at := range []time.Duration{50, 10, 30, 11} { // as clients recorded them, in no order
		operations = append(operations, Operation{Kind: Sell, Outcome: holdfast.OK, Return: at})
	}
	operations = append(operations, Operation{Kind: Read, Outcome: holdfast.OK, Return: 20}, Operation{Kind: Hold, Call: 25})
	answers := AnswersOf(operations)
	for _, c := range []struct{ from, until, want time.Duration }{
		{0, 60, 20},  // from 30 to 50
		{10, 30, 19}, // from 11 to 30
		{12, 20, 8},  // none within
		{32, 100, 50},
		{31, 40, 9},
	} {
		if got := answers.Gap(c.from, c.until); got != c.want {
			t.Errorf("from %d until %d: %d, want %d", c.from, c.until, got, c.want)
		}
	}
}
