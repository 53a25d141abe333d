//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// TestARunOnLoopback kills and pauses real processes under load, on what every computer has: nothing that was
// acknowledged may be lost, no seat sold twice, one order of all operations must explain every answer, all members must
// have the same state, and a replay of each archive must reach it. It is short, and stands for the long ones.
func TestARunOnLoopback(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes take real time")
	}
	dir := t.TempDir()
	var out bytes.Buffer
	code := run(context.Background(), []string{"run", "--duration", "9s", "--nemesis", "kill-leader,kill-all,pause-leader,isolate-leader,reset-clients",
		"--workload", "seats,lapses,limits,watch", "--network", "loopback", "--seed", "1", "--vigour", "0.3", "--keep", "--dir", dir, "-o", "json"}, &out, testLog{t})
	var got result
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != exitOK {
		t.Fatalf("exit %d: %v: %s", code, err, out.String())
	}
	if got.Histories != 4 || got.Operations < 1000 || len(got.Nemeses) < 3 || got.Violations != 0 {
		t.Errorf("the run says %+v", got)
	}
	page, err := os.ReadFile(got.Report)
	if err != nil || !strings.Contains(string(page), "No violation.") || strings.Count(string(page), "<svg") != 3 {
		t.Errorf("the report: %v, %d bytes, %d pictures", err, len(page), strings.Count(string(page), "<svg"))
	}
	again := "run --duration 9s --round 30s --nemesis kill-leader,kill-all,pause-leader,isolate-leader,reset-clients" +
		" --workload seats,lapses,limits,watch --vigour 0.3 --snapshot-entries 2000 --members 3 --network loopback --disk auto --seed 1"
	if !strings.Contains(string(page), again) {
		t.Errorf("the report does not say how to run this again: %s", again)
	}
	checkAgain(t, dir)
}

// checkAgain judges the kept histories as check does: as they are, and with a lie in one of them.
func checkAgain(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*"+history.Suffix))
	var out bytes.Buffer
	if code := run(t.Context(), append([]string{"check", "-o", "json"}, files...), &out, testLog{t}); len(files) != 4 || code != exitOK {
		t.Fatalf("check of %d histories: exit %d: %s", len(files), code, out.String())
	}
	seats, _ := filepath.Glob(filepath.Join(dir, "seats*"))
	h, err := history.Load(seats[0])
	if err != nil {
		t.Fatal(err)
	}
	h.Final.Orders = h.Final.Orders[1:] // somebody was told of it
	lie := filepath.Join(dir, "lie"+history.Suffix)
	if err := h.Save(lie); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"check", lie}, &out, testLog{t}); code != exitViolated {
		t.Errorf("a history with a lost sale: exit %d", code)
	}
}

func TestTheProgramTellsWhatIsWrongWithItsArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"jump"}, {"run", "--members", "4"}, {"run", "--nemesis", "rain"}, {"run", "--network", "carrier-pigeon"}, {"run", "--disk", "tape"}, {"check"}, {"run", "-o", "xml"}, {"sim", "--load", "1s"}, {"sim", "--plan", "feast"}} {
		if code := run(t.Context(), args, testLog{t}, testLog{t}); code != exitUsage {
			t.Errorf("%v: exit %d, want %d", args, code, exitUsage)
		}
	}
}

// testLog writes to a test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}
