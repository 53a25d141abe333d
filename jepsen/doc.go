// Package jepsen proves the cluster under faults. It is a program with a design of its own:
//
//	history/  what clients saw
//	model/    an independent specification, small enough to be believed
//	check/    verdicts over a history; they are themselves checked, by histories with planted faults
//	sim/      several nodes in one process on virtual time, with a network and disks that fail
//
// The tests of this package run the real binary in real processes and kill them.
package jepsen
