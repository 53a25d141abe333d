//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/report"
)

// checked is what check prints of one file.
type checked struct {
	File       string            `json:"file"`
	Workload   string            `json:"workload"`
	Operations int               `json:"operations"`
	Violations []check.Violation `json:"violations"`
	Unknown    int               `json:"unknown_checks"`
}

func checkCommand(_ context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("jepsen check FILE…", flag.ContinueOnError)
	edn := set.Bool("edn", false, "print the operations as a history of Jepsen's, and judge nothing")
	page := set.String("report", "", "make a page of the history in this `file`, as run does; for one history")
	form := set.String("o", "text", "text or json")
	files, err := parse(set, args, stderr)
	if err != nil {
		return err
	}
	if len(files) == 0 || *form != "text" && *form != "json" || *page != "" && len(files) > 1 {
		return fmt.Errorf("%w: jepsen check [--edn] [--report PAGE] [-o text|json] FILE…", errUsage)
	}
	failed := false
	for _, file := range files {
		h, err := history.Load(file)
		if err != nil {
			return err
		}
		if *edn {
			if err := h.EDN(stdout); err != nil {
				return err
			}
			continue
		}
		c := checked{File: file, Workload: h.Workload, Operations: h.Count(), Violations: check.Judge(h)}
		for _, v := range c.Violations {
			if v.Check == check.Undecided {
				c.Unknown++
			}
		}
		failed = failed || len(c.Violations) > 0
		if *page != "" {
			if err := c.page(h).Save(*page); err != nil {
				return err
			}
		}
		if err := c.print(stdout, *form); err != nil {
			return err
		}
	}
	if failed {
		return errViolated
	}
	return nil
}

func (c checked) print(to io.Writer, form string) error {
	if form == "json" {
		if c.Violations == nil {
			c.Violations = []check.Violation{}
		}
		return json.NewEncoder(to).Encode(c)
	}
	_, err := fmt.Fprintf(to, "%s: %s, %d operations, %d violations\n", c.File, c.Workload, c.Operations, len(c.Violations))
	for _, v := range c.Violations {
		fmt.Fprintf(to, "  %s\n", v)
	}
	return err
}

// page shows one history.
func (c checked) page(h *history.History) *report.Page {
	answers, p := history.AnswersOf(h.Operations), &report.Page{}
	p.Head = report.Head{Command: "go run ./jepsen check " + c.File, Seed: h.Seed, Seconds: h.Length.Seconds(), Operations: c.Operations, Histories: 1, Unknown: c.Unknown}
	p.Count(h, 0)
	p.Loads = []report.Load{{Until: h.Length}}
	for _, f := range h.Faults {
		one := report.Fault{Names: f.Names, From: f.From, Healed: f.Healed, Single: f.Single}
		if len(answers) > 0 {
			one.Gap = answers.Gap(min(f.From, h.Length), min(f.Until, h.Length))
		}
		p.Faults = append(p.Faults, one)
	}
	for _, v := range c.Violations {
		p.Violations = append(p.Violations, report.Violation{Where: h.Workload, Check: v.Check, Message: v.Message, File: c.File})
	}
	if picture, ok := check.Smallest(h); ok {
		p.Pictures = append(p.Pictures, report.Picture{Title: h.Workload + ": " + picture.Title, HTML: picture.HTML, Clients: picture.Clients, Operations: picture.Operations})
	}
	return p
}
