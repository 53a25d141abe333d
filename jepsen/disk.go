//go:build linux

package main

import (
	"fmt"
	"os"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
	"github.com/holdfast-db/holdfast/jepsen/lossy"
)

// diskCommand makes of this program what serves a lossy disk.
const diskCommand = "serve-lossy-disk"

// diskMain is the life of such a process, if this is one.
func diskMain(args []string) {
	if len(args) != 2 || args[1] != diskCommand {
		return
	}
	if err := lossy.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "jepsen:", err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}

// lossyDisks decides what members' disks are.
func lossyDisks(value string) (d cluster.LossyDisks, err error) {
	switch value {
	case "auto":
		return d, nil
	case "lossy", "lossy-forgetful":
	default:
		return d, fmt.Errorf("%w: --disk is auto, lossy or lossy-forgetful", errUsage)
	}
	program, err := os.Executable()
	return cluster.LossyDisks{Server: []string{program, diskCommand}, Forgetful: value == "lossy-forgetful"}, err
}
