//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/report"
	"github.com/holdfast-db/holdfast/jepsen/workload"
)

// later does one thing beside the run, and the next when that is done. Its zero value has nothing to do.
type later struct{ done chan error }

// start waits for what was started before, gives what came of that, and starts the next.
func (l *later) start(do func() error) error {
	err, done := l.wait(), make(chan error, 1)
	l.done = done
	go func() { done <- do() }()
	return err
}

func (l *later) wait() error {
	if l.done == nil {
		return nil
	}
	err := <-l.done
	l.done = nil
	return err
}

// check judges one history, and keeps it when there is something to look at.
func (r *runner) check(env *workload.Env, h *history.History) {
	began := time.Now()
	found := check.Judge(h)
	r.log.Info("judged", "workload", h.Workload, "round", env.Round, "operations", h.Count(), "violations", len(found), "took", time.Since(began).Round(time.Millisecond))
	r.mu.Lock()
	r.result.Histories++
	r.result.Operations += h.Count()
	r.page.Count(h, env.Began.Sub(r.began))
	file := filepath.Join(r.options.dir, fmt.Sprintf("%s-%03d%s", h.Workload, r.result.Histories, history.Suffix))
	r.mu.Unlock()
	if len(found) == 0 && !r.options.keep {
		return
	}
	if err := h.Save(file); err != nil {
		r.log.Error("a history cannot be kept", "error", err)
		file = ""
	}
	unexplained := false
	for _, v := range found {
		unexplained = unexplained || v.Check == "linearizable"
		r.violation(h.Workload, v, file)
	}
	if !unexplained {
		return
	}
	picture, ok := check.Smallest(h)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok && len(r.page.Pictures) < picturesMax {
		r.page.Pictures = append(r.page.Pictures, report.Picture{Title: h.Workload + ": " + picture.Title, HTML: picture.HTML, Clients: picture.Clients, Operations: picture.Operations})
	}
}

// picturesMax is how many failing histories are drawn.
const picturesMax = 3

func (r *runner) violation(where string, v check.Violation, file string) {
	r.log.Error("violation", "workload", where, "check", v.Check, "message", v.Message)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Violations++
	if v.Check == check.Undecided {
		r.result.Unknown++
	}
	again := slices.ContainsFunc(r.page.Violations, func(before report.Violation) bool { return before.Check == v.Check })
	r.page.Violations = append(r.page.Violations, report.Violation{Where: where, Check: v.Check, Message: v.Message, File: filepath.Base(file)})
	if len(r.result.Found) < foundMax || !again { // each check is heard
		r.result.Found = append(r.result.Found, strings.TrimSpace(where+" "+v.String()))
	}
}
