package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// TestSnapshotsAreMeasured runs the benchmark, small: real processes, snapshots under load, restarts. Its figures are
// not this test's matter.
func TestSnapshotsAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and takes some seconds")
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"bench", "snapshots", "--seats", "3200", "--holds", "1600", "--callers", "8", "--pace", "10ms",
		"--duration", "3s", "--snapshot-entries", "100", "-o", "json"}, &out, &errs)
	var got snapshotsOut
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out.String(), errs.String())
	}
	if got.Snapshots == 0 || got.Claims == 0 || got.Errors != 0 || got.HoldsLive < 1600 || got.RestartMs == 0 || got.RestartAllMs == 0 {
		t.Errorf("%s", out.String())
	}
}

// TestAHoldBelongsToTheSnapshotThatItMet: also when it only began or ended in it.
func TestAHoldBelongsToTheSnapshotThatItMet(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	s := &steadyLoad{samples: []sample{{at(0), at(1)}, {at(8), at(11)}, {at(12), at(16)}, {at(19), at(24)}, {at(30), at(36)}}}
	var out snapshotsOut
	s.report([]window{{from: at(10), to: at(20)}, {from: at(15), to: at(20), leader: true}}, &out)
	if out.Claims != 5 || out.ClaimsSnapshot != 3 || out.HoldP50Ms != 1 || out.HoldP50SnapshotMs != 4 || out.HoldMaxMs != 6 || out.SnapshotsLeader != 1 || out.SnapshotMs != 7.5 {
		t.Errorf("%+v", out)
	}
}
