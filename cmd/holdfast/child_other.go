//go:build !linux

package main

import (
	"syscall"
	"time"
)

// childAttributes are Linux's; elsewhere a parent that is killed leaves its children behind.
func childAttributes() *syscall.SysProcAttr { return nil }

// cpuTime is Linux's too; elsewhere what a process has used is not known.
func cpuTime(int) time.Duration { return 0 }
