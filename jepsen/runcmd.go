//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
	"github.com/holdfast-db/holdfast/jepsen/nemesis"
	"github.com/holdfast-db/holdfast/jepsen/workload"
)

// runOptions are the flags of run.
type runOptions struct {
	duration  time.Duration
	round     time.Duration
	nemeses   string
	workloads string
	seed      uint64
	members   int
	network   string
	disk      string
	dir       string
	keep      bool
	snapshots int
	vigour    float64
	binary    string
	first     bool
	form      string
}

func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o runOptions
	set := flag.NewFlagSet("jepsen run", flag.ContinueOnError)
	set.DurationVar(&o.duration, "duration", time.Minute, "how long clients and faults are at work; checking comes on top")
	set.DurationVar(&o.round, "round", 30*time.Second, "how long one history is; after each everything is healed, read back and judged")
	set.StringVar(&o.nemeses, "nemesis", "all", "all, none, or names divided by commas: "+strings.Join(nemesisNames(), " "))
	set.StringVar(&o.workloads, "workload", "all", "all, or names divided by commas: "+strings.Join(workloadNames(), " "))
	set.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "decides which faults strike when, and what clients want")
	set.IntVar(&o.members, "members", 3, "of the cluster: 3 or 5")
	set.StringVar(&o.network, "network", "auto", "loopback: proxies only; namespaces: one for each member, and a file system of its own; auto: namespaces if we may")
	set.StringVar(&o.disk, "disk", "auto", "auto: what the network brings; lossy: file systems whose power can be cut; lossy-forgetful: the same, with syncs of logs not done, which must be found")
	set.StringVar(&o.dir, "dir", "", "for histories, logs and the report; default: a new folder in the temporary one")
	set.BoolVar(&o.keep, "keep", false, "keep histories without violations, and the members' disks")
	set.IntVar(&o.snapshots, "snapshot-entries", 2000, "after how many entries members make snapshots")
	set.Float64Var(&o.vigour, "vigour", 1, "how eager clients are, where 1 is a lot for two cores")
	set.StringVar(&o.binary, "binary", "", "a build of holdfast with the tag jepsen; default: it is built")
	set.BoolVar(&o.first, "first", false, "end with the first round in which something is found")
	set.StringVar(&o.form, "o", "text", "text or json")
	rest, err := parse(set, args, stderr)
	if err != nil {
		return err
	}
	if len(rest) > 0 || o.form != "text" && o.form != "json" || o.members != 3 && o.members != 5 || o.duration < 5*time.Second || o.round < 5*time.Second {
		return fmt.Errorf("%w: see jepsen run -h", errUsage)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "holdfast-jepsen-"); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	r, err := newRunner(o, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	result, err := r.run(ctx)
	if err != nil {
		return err
	}
	if err := result.print(stdout, o.form); err != nil {
		return err
	}
	if result.Violations > 0 {
		return errViolated
	}
	return nil
}

func nemesisNames() (names []string) {
	for _, f := range nemesis.All() {
		names = append(names, f.Name)
	}
	return names
}

func workloadNames() (names []string) {
	for _, w := range workload.All() {
		names = append(names, w.Name)
	}
	return names
}

// chosen picks those of all that a flag names.
func chosen[T any](flag, value string, all []T, name func(T) string) (some []T, err error) {
	switch value {
	case "all":
		return all, nil
	case "none":
		return nil, nil
	}
	for _, want := range strings.Split(value, ",") {
		found := false
		for _, one := range all {
			if name(one) == strings.TrimSpace(want) {
				some, found = append(some, one), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%w: --%s has no %q", errUsage, flag, want)
		}
	}
	return some, nil
}

// namespaces decides what a run's network is.
func namespaces(value string, log *slog.Logger) (bool, error) {
	why := cluster.Privileged()
	switch {
	case value == "loopback":
		return false, nil
	case value == "namespaces":
		return true, why
	case value != "auto":
		return false, fmt.Errorf("%w: --network is auto, loopback or namespaces", errUsage)
	case why != nil:
		log.Info("on loopback: namespaces cannot be had", "why", why)
	}
	return why == nil, nil
}

// result is what run prints.
type result struct {
	Seed       uint64      `json:"seed"`
	Seconds    float64     `json:"seconds"` // of load
	Network    string      `json:"network"`
	Members    int         `json:"members"`
	Operations int         `json:"operations"`
	Histories  int         `json:"histories"`
	Nemeses    []struckOut `json:"nemeses"`
	NotRun     []notRunOut `json:"not_run"`
	Faults     int         `json:"faults"`
	FaultS     float64     `json:"fault_seconds"`
	Violations int         `json:"violations"`
	Unknown    int         `json:"unknown_checks"`
	// LongestGapMs is how long no command was answered at most after a fault that struck one member.
	LongestGapMs    int64 `json:"longest_write_gap_ms"`
	LongestAnyGapMs int64 `json:"longest_write_gap_any_fault_ms"`
	// StallMs is how long the harness itself was held up at most: a computer that has other work makes gaps of its own.
	StallMs int64 `json:"longest_stall_ms"`
	// SpentS is where the run's time went.
	SpentS map[string]float64 `json:"seconds_spent"`
	Found  []string           `json:"found,omitempty"` // the first violations
	Report string             `json:"report"`
}

type struckOut struct {
	Name  string `json:"name"`
	Times int    `json:"times"`
	GapMs int64  `json:"longest_write_gap_ms"` // when it struck alone
}

type notRunOut struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

func (r *result) print(to io.Writer, form string) error {
	if form == "json" {
		return json.NewEncoder(to).Encode(r)
	}
	fmt.Fprintf(to, "seed %d, %d members on %s, %.0f s: %d operations in %d histories, %d faults\n", r.Seed, r.Members, r.Network, r.Seconds, r.Operations, r.Histories, r.Faults)
	for _, n := range r.Nemeses {
		fmt.Fprintf(to, "  %-18s struck %d times, longest write gap alone %d ms\n", n.Name, n.Times, n.GapMs)
	}
	for _, n := range r.NotRun {
		fmt.Fprintf(to, "  %-18s not run: %s\n", n.Name, n.Why)
	}
	fmt.Fprintf(to, "longest write gap: %d ms after a fault of one member, %d ms after any; the computer itself was held up for %d ms at most\n",
		r.LongestGapMs, r.LongestAnyGapMs, r.StallMs)
	fmt.Fprintf(to, "%d violations, %d checks without an answer\nreport: %s\n", r.Violations, r.Unknown, r.Report)
	for _, f := range r.Found {
		fmt.Fprintf(to, "  %s\n", f)
	}
	return nil
}
