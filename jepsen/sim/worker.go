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
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Plans are played by processes of their own, workers: virtual time needs a test's bubble, two cores need two
// schedulers, and what panics or hangs in a member, or in the library below it, must cost no more than its seed.

// job is a plan to play. A worker is told jobs as lines of JSON, and answers each with a line.
type job struct {
	Seed uint64        `json:"seed"`
	Load time.Duration `json:"load"`
	Kind string        `json:"kind,omitempty"` // of plan; "": the seed decides
	Keep string        `json:"keep,omitempty"` // the folder for what failed; "": keep nothing
}

// Work is a worker's life: it plays what it is told by in, and answers by out, until in ends. It does not return.
func Work(in io.Reader, out io.Writer) { workOn(Sabotage{}, in, out) }

// workOn is Work on a system with broken parts.
func workOn(broken Sabotage, in io.Reader, out io.Writer) {
	debug.SetTraceback("all") // a bubble that hangs is explained by what all its goroutines wait for
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
		var j job
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p, err := PlanOf(j.Kind, j.Seed, j.Load)
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

// keep writes the history to a folder, those of its scenes' events with it, and beside it, for people, the plan and what was found.
func (r *Report) keep(dir string) (path string, err error) {
	name := filepath.Join(dir, fmt.Sprintf("seed-%d", r.Plan.Seed))
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
	for i, h := range r.Others {
		if err := h.Save(fmt.Sprintf("%s-%d%s", name, i+1, history.Suffix)); err != nil {
			return "", err
		}
	}
	return path, errors.Join(r.History().Save(path), os.WriteFile(name+".txt", []byte(text.String()), 0o644))
}
