//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestMain makes of this binary a worker of sim or what serves a disk, as main does of the program.
func TestMain(m *testing.M) {
	workerMain(os.Args)
	diskMain(os.Args)
	os.Exit(m.Run())
}

func TestSimPlaysSeedsInProcessesOfTheirOwn(t *testing.T) {
	var out bytes.Buffer
	code := run(t.Context(), []string{"sim", "--seeds", "3", "--seed", "5", "--load", "15s", "--plan", "storm", "--workers", "2", "--dir", t.TempDir(), "-o", "json"}, &out, testLog{t})
	var got simResult
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != exitOK {
		t.Fatalf("exit %d: %v: %s", code, err, out.String())
	}
	if got.Seeds != 3 || got.VirtualHours < 0.0125 || got.VirtualHours > 0.0126 || got.Faults == 0 || got.Leaders == 0 || got.Operations == 0 ||
		got.CommitsRate <= 0 || got.Violations != 0 || len(got.Failing) != 0 {
		t.Errorf("sim says %+v", got)
	}
}
