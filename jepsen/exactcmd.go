//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/exact"
)

// exactOut is what exact prints.
type exactOut struct {
	FirstSeed      uint64        `json:"first_seed"`
	Seeds          int           `json:"seeds"`
	Steps          int           `json:"steps"` // of all plans
	VirtualHours   float64       `json:"virtual_hours"`
	Faults         int           `json:"faults"`
	Entries        int           `json:"entries"`
	Commands       int           `json:"commands"`
	Calls          int           `json:"provider_calls"`
	Orders         int           `json:"orders"`
	Trace          string        `json:"trace"` // hash of all traces, in the order of the seeds
	Seconds        float64       `json:"seconds"`
	SeedsPerMinute float64       `json:"seeds_per_minute"`
	Violations     int           `json:"violations"`
	Found          []exactFailed `json:"found,omitempty"`
}

// exactFailed is a seed that failed, and the smallest plan that fails in the same way.
type exactFailed struct {
	Seed     uint64          `json:"seed"`
	Violated exact.Violation `json:"violated"`
	Steps    int             `json:"steps"` // of the smallest plan
	Story    []string        `json:"story"`
	Plan     exact.Plan      `json:"plan"`
}

// againEvery is how often a seed is played twice, to see that the traces are one.
const againEvery = 16

// exactFoundMax bounds the failures that are made small.
const exactFoundMax = 5

func exactCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("jepsen exact", flag.ContinueOnError)
	first := set.Uint64("seed", 1, "the first seed")
	seeds := set.Int("seeds", 1000, "how many seeds; each is one plan and one trace")
	steps := set.Int("steps", 24, "of a plan: buyers and faults")
	span := set.Duration("duration", 45*time.Second, "virtual time in which a plan's steps happen; what it takes until all is settled comes on top")
	file := set.String("plan", "", "play the plan in this file instead of drawing some")
	stop := set.Bool("first", false, "end with the first violation")
	trace := set.Bool("trace", false, "print everything that happens in the first play, to the standard error")
	form := set.String("o", "text", "text or json")
	rest, err := parse(set, args, stderr)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *form != "text" && *form != "json" || *seeds < 1 || *steps < 1 || *steps > 10_000 || *span < time.Second || *span > 24*time.Hour {
		return fmt.Errorf("%w: see jepsen exact -h", errUsage)
	}
	draw := func(seed uint64) exact.Plan { return exact.Draw(seed, *steps, *span) }
	if *file != "" {
		plan, err := readPlan(*file)
		if err != nil {
			return err
		}
		draw, *seeds, *first = func(uint64) exact.Plan { return plan }, 1, plan.Seed
	}
	out := exactOut{FirstSeed: *first}
	began := time.Now()
	sum := exact.NewSum()
	for seed := *first; out.Seeds < *seeds && ctx.Err() == nil && !(*stop && out.Violations > 0); seed++ {
		plan := draw(seed)
		o := exact.Play(plan, exact.Options{Trace: *trace && out.Seeds == 0})
		for _, line := range o.Trace {
			fmt.Fprintln(stderr, line)
		}
		out.add(plan, o)
		sum.Add(o.Hash)
		if out.Seeds%againEvery == 0 && o.Violated == nil && exact.Play(plan, exact.Options{}).Hash != o.Hash {
			o.Violated = &exact.Violation{Check: "trace", Detail: "two plays of one plan differ"}
			out.Violations++
		}
		if o.Violated != nil && len(out.Found) < exactFoundMax {
			out.Found = append(out.Found, smallest(seed, plan, *o.Violated))
		}
	}
	out.Trace, out.Seconds = sum.String(), time.Since(began).Seconds()
	out.SeedsPerMinute = float64(out.Seeds) / out.Seconds * 60
	if err := out.print(stdout, *form); err != nil {
		return err
	}
	if out.Violations > 0 {
		return errViolated
	}
	return nil
}

func readPlan(file string) (plan exact.Plan, err error) {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &plan)
	}
	return plan, err
}

func (out *exactOut) add(plan exact.Plan, o exact.Outcome) {
	out.Seeds++
	out.Steps += len(plan.Steps)
	out.VirtualHours += o.Lasted.Hours()
	out.Faults += o.Counts.Faults
	out.Entries += o.Counts.Entries
	out.Commands += o.Counts.Commands
	out.Calls += o.Counts.Calls
	out.Orders += o.Counts.Sold
	if o.Violated != nil {
		out.Violations++
	}
}

// smallest makes a failing plan small. One that does not fail again is told as it is: something is not a function of the plan.
func smallest(seed uint64, plan exact.Plan, violated exact.Violation) exactFailed {
	small, o, _ := exact.Minimise(plan, exact.Options{})
	if o.Violated != nil {
		violated = *o.Violated
	}
	return exactFailed{Seed: seed, Violated: violated, Steps: len(small.Steps), Story: strings.Split(strings.TrimSpace(small.Story()), "\n"), Plan: small}
}

func (out *exactOut) print(to io.Writer, form string) error {
	if form == "json" {
		return json.NewEncoder(to).Encode(out)
	}
	fmt.Fprintf(to, "%d seeds from %d: %d steps, %d faults, %.1f virtual hours, %d entries with %d commands, %d calls to the provider, %d orders\n",
		out.Seeds, out.FirstSeed, out.Steps, out.Faults, out.VirtualHours, out.Entries, out.Commands, out.Calls, out.Orders)
	fmt.Fprintf(to, "%.1f s, %.0f seeds a minute; the trace of all is %s\n%d violations\n", out.Seconds, out.SeedsPerMinute, out.Trace, out.Violations)
	for _, f := range out.Found {
		plan, err := json.Marshal(f.Plan)
		if err != nil {
			return err
		}
		fmt.Fprintf(to, "\nseed %d: %s\n  %s\n  as a file for --plan: %s\n", f.Seed, f.Violated, strings.Join(f.Story, "\n  "), plan)
	}
	return nil
}
