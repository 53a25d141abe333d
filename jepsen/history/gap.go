package history

import (
	"slices"
	"time"
)

// Answers are the instants at which commands were answered, in order.
type Answers []time.Duration

// AnswersOf gives the answers to all commands; reads change nothing and do not count.
func AnswersOf(operations []Operation) (a Answers) {
	for i := range operations {
		if o := &operations[i]; o.Kind != Read && !o.Unknown() {
			a = append(a, o.Return)
		}
	}
	slices.Sort(a)
	return a
}

// Gap is the longest time without an answer from one instant to another.
func (a Answers) Gap(from, until time.Duration) (longest time.Duration) {
	at, _ := slices.BinarySearch(a, from)
	before := from
	for _, next := range append(a[at:len(a):len(a)], until) {
		next = min(next, until)
		longest, before = max(longest, next-before), next
	}
	return longest
}
