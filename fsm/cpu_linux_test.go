package fsm

import "syscall"

// threadCPU gives the processor's nanoseconds that this thread has had: what a benchmark costs on a machine that has
// other work too.
func threadCPU() int64 {
	const thread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if syscall.Getrusage(thread, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}
