//go:build !jepsen

package main

import "github.com/holdfast-db/holdfast/node"

// seamed says that this build has none.
const seamed = false

// seams of a production build: there are none.
func seams(*node.Config) error { return nil }
