//go:build linux

package main

import (
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/lossy"
	"github.com/holdfast-db/holdfast/jepsen/report"
)

// TestSyncsThatAreNotDoneAreFound runs real processes on disks that confirm syncs of the log and forget them, and cuts the
// power of all: sales that were acknowledged are gone, and the harness must say so.
func TestSyncsThatAreNotDoneAreFound(t *testing.T) {
	if err := lossy.Missing(); err != nil || testing.Short() {
		t.Skipf("real processes take real time, and a disk whose power can be cut: %v", err)
	}
	o := runOptions{duration: 5 * time.Second, round: 5 * time.Second, nemeses: "power-cut-all", workloads: "seats", seed: 3, members: 3,
		network: "loopback", disk: "lossy-forgetful", dir: t.TempDir(), snapshots: 2000, vigour: 0.3}
	r, err := newRunner(o, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Nemeses) == 0 {
		t.Skipf("not tested here: %+v", result.NotRun)
	}
	if !slices.ContainsFunc(r.page.Violations, func(v report.Violation) bool { return v.Check == "durable" }) {
		t.Errorf("%d violations, and none that something acknowledged is gone: %v", result.Violations, result.Found)
	}
}
