//go:build planted

package planted

import (
	"os"
	"slices"
)

// Built says that this build can have a fault.
const Built = true

// Is reports whether this process has the fault.
func Is(f Fault) bool { return f == chosen }

var chosen = choose(Fault(os.Getenv(Variable)))

// choose refuses a name that stands for nothing, as a run without a fault would pass for one that was missed.
func choose(f Fault) Fault {
	if f != "" && !slices.ContainsFunc(All(), func(d Described) bool { return d.Fault == f }) {
		panic("no fault is called " + string(f) + ": see " + Variable)
	}
	return f
}
