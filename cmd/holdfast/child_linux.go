package main

import "syscall"

// childAttributes let a child die with its parent, even one that is killed, and keep the terminal's Ctrl-C from it:
// the parent decides when it ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
