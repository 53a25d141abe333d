//go:build jepsen

package main

import (
	"github.com/holdfast-db/holdfast/jepsen/seam"
	"github.com/holdfast-db/holdfast/node"
)

// seamed says that this build has them.
const seamed = true

// seams lets the fault harness move this process's clock and stand between it and its peers.
func seams(c *node.Config) error { return seam.Install(c) }
