//go:build !linux

package main

import "syscall"

// childAttributes are Linux's; elsewhere a parent that is killed leaves its children behind.
func childAttributes() *syscall.SysProcAttr { return nil }
