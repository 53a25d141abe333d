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

// TestALineIsMeasured runs the benchmark, small: real processes, joins and polls over HTTP. How fast it was is not this
// test's matter; what a waiting visitor costs the cluster is.
func TestALineIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and takes some seconds")
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"bench", "queue", "--waiters", "2000", "--duration", "500ms", "--connections", "8", "-o", "json"}, &out, &errs)
	var got queueOut
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out.String(), errs.String())
	}
	if got.Polls == 0 || got.JoinsPerS == 0 || got.Errors != 0 || got.Blocks == 0 || got.Blocks > 200 || got.LogBytes == 0 {
		t.Errorf("%s", out.String())
	}
	// A block is a command. The two are counted at different places, and the last block may be missed by one of them.
	if commands := got.Commands * float64(got.Waiters) / 1000; commands < float64(got.Blocks)-1 {
		t.Errorf("%v commands made %d blocks", commands, got.Blocks)
	}
	// A header of 36 bytes for good, an outcome for a while, and for a visitor nothing.
	if got.BytesPerWaiter > 0.1 || got.BytesPerBlock < 36 || got.BytesPerBlock > 200 {
		t.Errorf("a waiting visitor costs %v bytes, a block %v", got.BytesPerWaiter, got.BytesPerBlock)
	}
}

func TestWhatABlockAndAVisitorCostIsToldApart(t *testing.T) {
	cost := func(blocks, places uint64) queueCost {
		return queueCost{state: int64(1000 + 50*blocks + 3*places), log: int64(70 * blocks), commands: blocks, blocks: blocks, places: places}
	}
	var out queueOut
	out.joined(loaded{took: make([]time.Duration, 4000), lasted: 2 * time.Second}, 500*time.Millisecond, cost(1, 1), cost(101, 101), cost(109, 4101))
	if out.BytesPerWaiter != 3 || out.BytesPerBlock != 50 || out.Commands != 2 || out.LogBytes != 140 || out.JoinsPerS != 2000 || out.JoinsPerSCore != 8000 || out.Blocks != 8 {
		t.Errorf("%+v", out)
	}
	var unknown queueOut
	unknown.polled(loaded{took: []time.Duration{time.Millisecond}, lasted: time.Second}, 0)
	if unknown.PollsPerS != 1 || unknown.PollsPerSCore != 0 {
		t.Errorf("%+v", unknown)
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
