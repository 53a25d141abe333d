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
	form := set.String("o", "text", "text or json")
	files, err := parse(set, args, stderr)
	if err != nil {
		return err
	}
	if len(files) == 0 || *form != "text" && *form != "json" {
		return fmt.Errorf("%w: jepsen check [--edn] [-o text|json] FILE…", errUsage)
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
