package sim

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Plans are played by processes of their own, workers: virtual time needs a test's bubble, two cores need two
// schedulers, and what panics or hangs in a member, or in the library below it, must cost no more than its seed.

// Job is a plan to play. A worker is told jobs as lines of JSON, and answers each with a line.
type Job struct {
	Seed uint64        `json:"seed"`
	Load time.Duration `json:"load"`
	Kind string        `json:"kind,omitempty"` // of plan; "": the seed decides
	Plan *Plan         `json:"plan,omitempty"` // play this, and make none
	Keep string        `json:"keep,omitempty"` // the folder for what failed; "": keep nothing
}

// plan is what is to be played.
func (j *Job) plan() (Plan, error) {
	if j.Plan != nil {
		return *j.Plan, nil
	}
	return PlanOf(j.Kind, j.Seed, j.Load)
}

// Work is a worker's life: it plays what it is told by in, and answers by out, until in ends. It does not return.
func Work(in io.Reader, out io.Writer) { workOn(Sabotage{}, in, out) }

// workOn is Work on a system with broken parts.
func workOn(broken Sabotage, in io.Reader, out io.Writer) {
	debug.SetTraceback("crash") // a bubble that hangs is explained by what all its goroutines wait for, and by what the threads do
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		panic(err)
	}
	testing.Init()
	if err := flag.CommandLine.Parse([]string{"-test.timeout=0"}); err != nil {
		panic(err) // these are the package's own flags
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "Worker", F: func(t *testing.T) {
			if err := work(t, broken, in, out); err != nil {
				t.Error(err)
			}
		},
	}}, nil, nil)
}

func work(t *testing.T, broken Sabotage, in io.Reader, out io.Writer) error {
	for jobs := json.NewDecoder(bufio.NewReader(in)); ; {
		var j Job
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p, err := j.plan()
		if err != nil {
			return err
		}
		r := Play(t, p, broken, nil)
		s := r.Summary()
		if len(r.Violations) > 0 && j.Keep != "" {
			if s.History, err = r.keep(j.Keep); err != nil {
				return err
			}
		}
		if err := json.NewEncoder(out).Encode(s); err != nil {
			return err
		}
	}
}

// planSuffix is how names of files with plans end.
const planSuffix = ".plan.json"

// Kept is a plan in a file. What a seed makes changes with the program that makes it; this does not.
type Kept struct {
	Found string // by it
	Plan  Plan
}

func keptName(dir string, seed uint64) string {
	return filepath.Join(dir, fmt.Sprintf("seed-%d", seed))
}

// PlanFile is where a run keeps the plan of a seed that failed.
func PlanFile(dir string, seed uint64) string { return keptName(dir, seed) + planSuffix }

func keepPlan(dir string, seed uint64, found string, p Plan) error {
	text, err := json.MarshalIndent(Kept{Found: found, Plan: p}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(PlanFile(dir, seed), text, 0o644)
}

// LoadPlan reads a plan that was kept.
func LoadPlan(path string) (k Kept, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err == nil && (k.Plan.Length <= 0 || k.Plan.Load.Seats == 0) {
		err = errors.New("there is no plan in it")
	}
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// keep writes the history to a folder, those of its scenes' events with it, and beside it, for people, the plan and what was found.
func (r *Report) keep(dir string) (path string, err error) {
	name := keptName(dir, r.Plan.Seed)
	var text strings.Builder
	fmt.Fprintf(&text, "%v\n%v\nas it was played:\n", r, r.Plan)
	for _, p := range r.Played {
		fmt.Fprintf(&text, "  at %.3fs: %v\n", p.Began.Seconds(), p.Fault)
	}
	for _, v := range r.Violations {
		fmt.Fprintf(&text, "%v\n", v)
	}
	for _, h := range r.Others {
		if err := h.Save(name + "-" + h.Workload + history.Suffix); err != nil {
			return "", err
		}
	}
	path = name + history.Suffix
	if err := keepPlan(dir, r.Plan.Seed, r.Violations[0].String(), r.Plan); err != nil {
		return "", err
	}
	for i, h := range r.Others {
		if err := h.Save(fmt.Sprintf("%s-%d%s", name, i+1, history.Suffix)); err != nil {
			return "", err
		}
	}
	return path, errors.Join(r.History().Save(path), os.WriteFile(name+".txt", []byte(text.String()), 0o644))
}
