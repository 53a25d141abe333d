//go:build !planted

package planted

// Built says that this build can have a fault.
const Built = false

// Is reports whether this process has the fault.
func Is(Fault) bool { return false }
