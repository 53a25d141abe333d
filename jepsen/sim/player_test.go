package sim

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// TestMain makes of this binary a worker, if its environment says so.
func TestMain(m *testing.M) {
	out := os.NewFile(3, "answers")
	switch os.Getenv("HOLDFAST_TEST_WORKER") {
	case "honest":
		Work(os.Stdin, out)
	case "broken":
		workOn(Sabotage{Submit: hopeful}, os.Stdin, out)
	case "panics":
		var j Job
		_ = json.NewDecoder(os.Stdin).Decode(&j)
		panic("the library cannot go on")
	case "hangs":
		_, _ = io.Copy(io.Discard, os.Stdin)
		select {}
	}
	os.Exit(m.Run())
}

func playerOf(t *testing.T, worker string) *Player {
	t.Setenv("HOLDFAST_TEST_WORKER", worker)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &Player{Command: []string{program}, Keep: t.TempDir(), Patience: time.Minute}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestAWorkerPlaysOneSeedAfterTheOther(t *testing.T) {
	p := playerOf(t, "honest")
	for seed := uint64(1); seed <= 2; seed++ {
		s, err := p.Play(t.Context(), Job{Seed: seed, Load: 15 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if s.Seed != seed || len(s.Violations) > 0 || s.Operations == 0 || s.Commits == 0 || s.Entries <= s.Commits || len(s.Faults) == 0 || s.Virtual < s.Load {
			t.Errorf("seed %d: %+v", seed, s)
		}
	}
	if p.played != 1 {
		t.Errorf("%d workers were started for two plans", p.played)
	}
}

// What a worker kept of a seed that failed, jepsen check finds again.
func TestWhatFailedIsKeptAndFailsAgainWhenItIsJudgedAgain(t *testing.T) {
	p := playerOf(t, "broken")
	for seed := uint64(1); seed <= 20; seed++ {
		s, err := p.Play(t.Context(), Job{Seed: seed, Load: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Violations) == 0 {
			continue
		}
		h, err := history.Load(s.History)
		if err != nil {
			t.Fatal(err)
		}
		found := check.Judge(h)
		if len(found) == 0 || h.Seed != seed || len(h.Operations) != s.Operations || len(h.Faults) == 0 {
			t.Errorf("seed %d: %v is kept as %+v, in which there is %v", seed, s.Violations[0], h.Head, found)
		}
		return
	}
	t.Error("20 seeds, and none failed though what is unknown is told to be done")
}

func TestAWorkerThatDiesOrHangsIsAViolationOfItsSeed(t *testing.T) {
	for worker, want := range map[string]string{"panics": "the library cannot go on", "hangs": "no end after 2s"} {
		p := playerOf(t, worker)
		p.Patience = 2 * time.Second
		if worker == "panics" {
			p.Patience = time.Minute
		}
		for seed := uint64(7); seed < 9; seed++ { // and the next seed gets another worker
			s, err := p.Play(t.Context(), Job{Seed: seed, Load: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Violations) != 1 || s.Violations[0].Check != "process" || !strings.Contains(s.Violations[0].Message, want) || s.Seed != seed {
				t.Errorf("%s: %+v", worker, s)
			}
			if words, err := os.ReadFile(s.History); err != nil || !strings.Contains(string(words), "goroutine ") {
				t.Errorf("%s: its last words: %v, %d bytes", worker, err, len(words))
			}
		}
		if p.played != 2 {
			t.Errorf("%s: %d workers", worker, p.played)
		}
	}
}
