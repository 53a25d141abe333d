package fsm

import "fmt"

// AssertionError is what Apply and Restore panic with when what they meet is impossible: a damaged entry, a
// command that a leader must not have let through, a state that contradicts itself. It is a bug or broken
// hardware, never a caller's mistake, and no entry may be applied after it: the owner halts the shard.
type AssertionError struct {
	Message string
}

func (e *AssertionError) Error() string { return "assertion failed: " + e.Message }

// assert stops the machine unless ok. Arguments cost an allocation even while all is well: where commands pass,
// give none, or write if !ok { fail(…) }.
func assert(ok bool, format string, args ...any) {
	if !ok {
		fail(format, args...)
	}
}

// fail stops the machine.
func fail(format string, args ...any) {
	panic(&AssertionError{Message: fmt.Sprintf(format, args...)})
}
