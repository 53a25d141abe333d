//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/fsm/planted"
)

// plantedOptions are the flags of planted.
type plantedOptions struct {
	faults  string
	levels  string
	budget  time.Duration
	all     bool
	network string
	dir     string
	form    string
}

func plantedCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o plantedOptions
	set := flag.NewFlagSet("jepsen planted", flag.ContinueOnError)
	set.StringVar(&o.faults, "fault", "all", "all, or names divided by commas: "+strings.Join(faultNames(), " "))
	set.StringVar(&o.levels, "level", "all", "all, or names divided by commas: "+strings.Join(levelNames(), " "))
	set.DurationVar(&o.budget, "budget", time.Minute, "how long a level looks for one fault; starting, healing and judging come on top")
	set.BoolVar(&o.all, "all-levels", false, "go on when a level has caught a fault, and fill the table")
	set.StringVar(&o.network, "network", "loopback", "of real processes: loopback, namespaces or auto")
	set.StringVar(&o.dir, "dir", "", "for what is built and what the levels keep; default: a new folder in the temporary one")
	set.StringVar(&o.form, "o", "text", "text, json, or markdown: the table of docs/verification.md")
	rest, err := parse(set, args, stderr)
	if err != nil {
		return err
	}
	if len(rest) > 0 || o.form != "text" && o.form != "json" && o.form != "markdown" || o.budget < 5*time.Second {
		return fmt.Errorf("%w: see jepsen planted -h", errUsage)
	}
	rows, err := chosen("fault", o.faults, plantedRows(), func(r plantedRow) string { return string(r.fault) })
	if err != nil {
		return err
	}
	levels, err := chosen("level", o.levels, plantedLevels(), func(l plantedLevel) string { return l.name })
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "holdfast-planted-"); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	b := &plantedBench{options: o, rows: rows, log: slog.New(slog.NewTextHandler(stderr, nil)), controlled: map[string]bool{}}
	result, err := b.run(ctx, levels)
	if err != nil {
		return err
	}
	if err := result.print(stdout, o.form); err != nil {
		return err
	}
	if len(result.Missed) > 0 {
		return errViolated
	}
	return nil
}

func faultNames() (names []string) {
	for _, d := range planted.All() {
		names = append(names, string(d.Fault))
	}
	return names
}

func levelNames() (names []string) {
	for _, l := range plantedLevels() {
		names = append(names, l.name)
	}
	return names
}

// plantedResult is what planted prints.
type plantedResult struct {
	Planted  int              `json:"planted"`
	Caught   int              `json:"caught"`
	Missed   []planted.Fault  `json:"missed"`
	Seconds  float64          `json:"seconds"`
	Controls []plantedControl `json:"controls"`
	NotRun   []notRunOut      `json:"not_run"` // levels that this computer cannot have
	Faults   []plantedFault   `json:"faults"`
}

// plantedControl is a level that looked while nothing was planted, and found nothing.
type plantedControl struct {
	Level   string  `json:"level"`
	Seconds float64 `json:"seconds"`
}

// plantedFault is what came of one fault.
type plantedFault struct {
	Fault     planted.Fault  `json:"fault"`
	Invariant string         `json:"invariant"`
	What      string         `json:"what"`
	Looks     []plantedSight `json:"looks"` // by level, in the order in which they looked
}

// plantedSight is what one level saw of a fault.
type plantedSight struct {
	Level   string  `json:"level"`
	Caught  bool    `json:"caught"`
	Seconds float64 `json:"seconds"`
	Check   string  `json:"check,omitempty"` // that caught it, or the test
	Says    string  `json:"says,omitempty"`  // what the check says; of one that caught nothing what came instead
	broken  bool    // it came to no verdict
}

// plantedBench is a run of planted.
type plantedBench struct {
	options    plantedOptions
	rows       []plantedRow
	log        *slog.Logger
	controlled map[string]bool // levels that have looked while nothing was planted
	result     plantedResult
}

// run has the levels look for each fault, the cheapest first. Before a level looks for the first fault, what it needs is
// built, and it has to find nothing where nothing is planted.
func (b *plantedBench) run(ctx context.Context, levels []plantedLevel) (*plantedResult, error) {
	began := time.Now()
	b.result.Missed, b.result.Controls, b.result.Faults = []planted.Fault{}, []plantedControl{}, []plantedFault{}
	b.result.NotRun = []notRunOut{}
	levels = slices.DeleteFunc(slices.Clone(levels), func(l plantedLevel) bool {
		if l.missing == nil || l.missing() == nil {
			return false
		}
		b.result.NotRun = append(b.result.NotRun, notRunOut{l.name, l.missing().Error()})
		return true
	})
	for i := range b.rows {
		if err := b.seek(ctx, &b.rows[i], levels); err != nil {
			return nil, err
		}
	}
	b.result.Planted, b.result.Seconds = len(b.rows), time.Since(began).Seconds()
	return &b.result, nil
}

// seek has the levels look for one fault.
func (b *plantedBench) seek(ctx context.Context, row *plantedRow, levels []plantedLevel) error {
	f, caught := plantedFault{Fault: row.fault, Looks: []plantedSight{}}, false
	for _, d := range planted.All() {
		if d.Fault == row.fault {
			f.Invariant, f.What = d.Invariant, d.What
		}
	}
	for _, l := range levels {
		if !l.aims(row) || caught && !b.options.all {
			continue
		}
		if err := b.control(ctx, l); err != nil {
			return err
		}
		s, err := b.look(ctx, l, []plantedRow{*row}, row.fault)
		if err != nil {
			return fmt.Errorf("%s looks for %s: %w", l.name, row.fault, err)
		}
		b.log.Info("looked", "fault", row.fault, "level", l.name, "caught", s.Caught, "check", s.Check, "seconds", s.Seconds, "says", s.Says)
		caught = caught || s.Caught
		f.Looks = append(f.Looks, s)
	}
	if caught {
		b.result.Caught++
	} else {
		b.result.Missed = append(b.result.Missed, row.fault)
	}
	b.result.Faults = append(b.result.Faults, f)
	return nil
}

// errNoVerdict is a level that cannot even look where nothing is: it fails, or this computer is too slow for it.
var errNoVerdict = errors.New("it comes to no verdict though nothing is planted")

// errCriesWolf is a level that finds something where nothing is.
var errCriesWolf = errors.New("it finds something though nothing is planted: what it catches means nothing")

// control has a level look for all that it will look for, once, while nothing is planted.
func (b *plantedBench) control(ctx context.Context, l plantedLevel) error {
	if b.controlled[l.name] {
		return nil
	}
	b.controlled[l.name] = true
	var aimed []plantedRow
	for _, r := range b.rows {
		if l.aims(&r) {
			aimed = append(aimed, r)
		}
	}
	err := b.build(ctx, l)
	if err != nil {
		return err
	}
	s, err := b.look(ctx, l, aimed, "")
	switch {
	case err != nil:
	case s.broken:
		err = fmt.Errorf("%w: %s", errNoVerdict, s.Says)
	case s.Says != "":
		err = fmt.Errorf("%w: %s", errCriesWolf, s.Says)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	b.log.Info("looked", "fault", "none", "level", l.name, "seconds", s.Seconds)
	b.result.Controls = append(b.result.Controls, plantedControl{Level: l.name, Seconds: s.Seconds})
	return nil
}

// look has a level look for a fault as it is aimed at these rows, and takes the time.
func (b *plantedBench) look(ctx context.Context, l plantedLevel, rows []plantedRow, f planted.Fault) (s plantedSight, err error) {
	began := time.Now()
	s, err = l.look(ctx, b, rows, f)
	s.Level, s.Seconds = l.name, float64(time.Since(began).Milliseconds())/1000
	return s, err
}

func (r *plantedResult) print(to io.Writer, form string) error {
	switch form {
	case "json":
		return json.NewEncoder(to).Encode(r)
	case "markdown":
		return r.table(to)
	}
	for _, c := range r.Controls {
		fmt.Fprintf(to, "%-7s finds nothing where nothing is planted (%.1f s)\n", c.Level, c.Seconds)
	}
	for _, n := range r.NotRun {
		fmt.Fprintf(to, "%-7s not run: %s\n", n.Name, n.Why)
	}
	for _, f := range r.Faults {
		fmt.Fprintf(to, "%-17s %-3s %s\n", f.Fault, f.Invariant, f.What)
		for _, s := range f.Looks {
			if s.Caught {
				fmt.Fprintf(to, "  %-7s %6.1f s  %s: %s\n", s.Level, s.Seconds, s.Check, s.Says)
			} else {
				fmt.Fprintf(to, "  %-7s %6.1f s  missed: %s\n", s.Level, s.Seconds, s.Says)
			}
		}
	}
	_, err := fmt.Fprintf(to, "%d faults planted, %d caught, missed: %v; %.0f s\n", r.Planted, r.Caught, r.Missed, r.Seconds)
	return err
}

// table prints which level catches which fault, after how many seconds.
func (r *plantedResult) table(to io.Writer) error {
	fmt.Fprintf(to, "| fault | | what goes wrong | %s |\n|---|---|---|%s\n", strings.Join(levelNames(), " | "), strings.Repeat("---:|", len(levelNames())))
	for _, f := range r.Faults {
		fmt.Fprintf(to, "| `%s` | %s | %s |", f.Fault, f.Invariant, f.What)
		for _, level := range levelNames() {
			cell := ""
			for _, s := range f.Looks {
				switch {
				case s.Level != level:
				case s.Caught:
					cell = fmt.Sprintf("%.1f %s", s.Seconds, s.Check)
				default:
					cell = "missed"
				}
			}
			fmt.Fprintf(to, " %s |", cell)
		}
		fmt.Fprintln(to)
	}
	_, err := fmt.Fprintf(to, "\n%d of %d caught, in %.0f s\n", r.Caught, r.Planted, r.Seconds)
	return err
}
