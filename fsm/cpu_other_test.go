//go:build !linux

package fsm

// threadCPU is known on Linux only.
func threadCPU() int64 { return 0 }
