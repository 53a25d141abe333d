package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// bench claims: one hot event on a cluster of real processes that sync every entry; every seat is wanted by as many
// buyers as --contend says. An operation is a hold that was won, one that was lost, or a sale.

func (a *app) benchCommand() *cobra.Command {
	c := &cobra.Command{Use: "bench", Short: "Measure what this machine can do"}
	c.AddCommand(a.benchClaims(), a.benchSnapshots(), a.benchQueue(), benchCeilingMember())
	return c
}

type benchFlags struct {
	nodes     int
	duration  time.Duration
	callers   int
	batch     int
	contend   int
	pay       bool
	noCeiling bool
	dir       string
	seed      uint64
}

func (a *app) benchClaims() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "claims",
		Short: "Measure claims a second through the client library, beside bare Raft",
		Long: `Measure claims a second through the client library: a cluster of real processes on this machine, each with its own
folder, every entry synced; one hot event at a time, every seat wanted by two buyers. An operation is a hold that was won,
one that was lost, or a sale. Then the same machine runs bare hashicorp/raft with the same log store, entries of the same
size and a state machine that does nothing: the ceiling.`,
		Example: `  holdfast bench claims --duration 10s -o json
  holdfast bench claims --callers 256 --batch 1    # single claims, each caller waiting for its reply
  holdfast bench claims --callers 1 --batch 1      # the latency alone`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.batch < 1 || f.batch > holdfast.BatchCommandsMax:
				return usage(cmd, "--batch is 1 to %d", holdfast.BatchCommandsMax)
			case f.nodes < 1 || f.callers < 1 || f.contend < 1 || f.duration <= 0:
				return usage(cmd, "--nodes, --callers, --contend and --duration are positive")
			}
			return a.bench(cmd.Context(), f)
		},
	}
	c.Flags().IntVar(&f.nodes, "nodes", 3, "members of the cluster")
	c.Flags().DurationVar(&f.duration, "duration", 10*time.Second, "how long to measure")
	c.Flags().IntVar(&f.callers, "callers", 8, "how many goroutines claim, each waiting for its reply")
	c.Flags().IntVar(&f.batch, "batch", 4000, "how many claims a caller sends at once")
	c.Flags().IntVar(&f.contend, "contend", 2, "how many buyers want each seat")
	c.Flags().BoolVar(&f.pay, "pay", false, "sell by BeginPayment and a payment, two operations, instead of by invoice")
	c.Flags().BoolVar(&f.noCeiling, "no-ceiling", false, "leave out bare Raft")
	c.Flags().StringVar(&f.dir, "data-dir", "", "where the members keep their data, for another disk; a folder in it is deleted at the end")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "of the order of the seats")
	return c
}

// benchOut is the benchmark's one document.
type benchOut struct {
	OpsPerS         float64 `json:"ops_per_s"`    // holds won and lost, and sales
	ClaimsPerS      float64 `json:"claims_per_s"` // seats held and sold
	HoldP50Ms       float64 `json:"hold_p50_ms"`
	HoldP99Ms       float64 `json:"hold_p99_ms"`
	DoubleSells     int     `json:"double_sells"`
	LostSells       int     `json:"lost_sells"` // acknowledged, and not in the cluster
	Sold            int     `json:"sold"`
	Lost            int     `json:"holds_lost"`
	Errors          int     `json:"errors"`
	Nodes           int     `json:"nodes"`
	Durable         uint64  `json:"durable"` // syncs of the log that the members counted
	Batch           int     `json:"batch"`
	Callers         int     `json:"callers"`
	Contend         int     `json:"contend"`
	Pay             bool    `json:"pay"`
	Seconds         float64 `json:"seconds"`
	Entries         uint64  `json:"entries"`
	CommandsPerEnt  float64 `json:"commands_per_entry"`
	BytesPerEntry   int     `json:"bytes_per_entry"`
	Cores           int     `json:"cores"`
	CPUClientUs     float64 `json:"cpu_client_us_per_op"` // of this process: the load and the client library; 0: not known
	CPUMembersUs    float64 `json:"cpu_members_us_per_op"`
	CeilingOps      float64 `json:"raft_ceiling_ops_per_s,omitempty"`
	CeilingRatio    float64 `json:"raft_ceiling_ratio,omitempty"` // ours to the ceiling
	CeilingEntryP50 float64 `json:"raft_ceiling_entry_p50_ms,omitempty"`
	firstError      error
}

func (o benchOut) table(w io.Writer) {
	row(w, "OPS/S", "CLAIMS/S", "HOLD P50", "HOLD P99", "DOUBLE SELLS", "LOST SELLS", "ERRORS", "SYNCS", "COMMANDS/ENTRY", "BARE RAFT OPS/S", "RATIO")
	ceiling, ratio := "-", "-"
	if o.CeilingOps > 0 {
		ceiling, ratio = fmt.Sprintf("%.0f", o.CeilingOps), fmt.Sprintf("%.2f", o.CeilingRatio)
	}
	row(w, fmt.Sprintf("%.0f", o.OpsPerS), fmt.Sprintf("%.0f", o.ClaimsPerS), fmt.Sprintf("%.2f ms", o.HoldP50Ms), fmt.Sprintf("%.2f ms", o.HoldP99Ms),
		o.DoubleSells, o.LostSells, o.Errors, o.Durable, fmt.Sprintf("%.0f", o.CommandsPerEnt), ceiling, ratio)
}

func (a *app) bench(ctx context.Context, f benchFlags) (err error) {
	dir, err := os.MkdirTemp(f.dir, "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a.progress("%d members in %s, %d callers of %d claims, %v", f.nodes, dir, f.callers, f.batch, f.duration)
	out, err := f.measure(ctx, dir)
	if err != nil {
		return err
	}
	if !f.noCeiling {
		a.progress("bare Raft, entries of %d bytes", out.BytesPerEntry)
		c, err := f.ceiling(ctx, dir, out)
		if err != nil {
			return err
		}
		out.CeilingOps, out.CeilingEntryP50 = c.EntriesPerS*out.CommandsPerEnt, c.EntryP50Ms
		out.CeilingRatio = out.OpsPerS / out.CeilingOps
	}
	if err := a.print(out); err != nil {
		return err
	}
	if out.firstError != nil {
		a.progress("the first of %d errors: %v", out.Errors, out.firstError)
	}
	if out.DoubleSells+out.LostSells > 0 {
		return &checkFailed{"seats were sold twice, or sales were lost"}
	}
	return nil
}

// measure runs the load on a cluster of its own, and checks what was sold.
func (f benchFlags) measure(ctx context.Context, dir string) (out benchOut, err error) {
	cluster, err := startLocal(dir, f.nodes, 1)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, cluster.stop()) }()
	c, err := client.New(cluster.endpoints())
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := cluster.ready(ctx, c); err != nil {
		return out, err
	}
	b := &benchmark{benchFlags: f, client: c, rng: rand.New(rand.NewPCG(f.seed, 1))}
	if err := b.nextEvent(ctx); err != nil {
		return out, err
	}
	before := b.tally(ctx, cluster)
	b.run(ctx)
	after := b.tally(ctx, cluster)
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	out = b.report()
	ops := out.OpsPerS * out.Seconds
	out.CPUClientUs, out.CPUMembersUs = float64((after.client-before.client).Microseconds())/ops, float64((after.members-before.members).Microseconds())/ops
	out.Durable = after.syncs - before.syncs
	out.Entries = after.entries - before.entries
	out.CommandsPerEnt = float64(after.commands-before.commands) / float64(max(out.Entries, 1))
	out.BytesPerEntry = command.EntryOverheadBytes + int(out.CommandsPerEnt*b.bytesPerCommand())
	return out, b.check(ctx, &out)
}

// tallied is what the members count, and what CPU time they and we have used.
type tallied struct {
	syncs, entries, commands uint64
	client, members          time.Duration
}

// tally sums the members' syncs, and takes entries and commands from the one that has applied the most.
func (b *benchmark) tally(ctx context.Context, cluster *localCluster) (t tallied) {
	for _, m := range survey(ctx, b.client, cluster.endpoints()) {
		for _, s := range m.status.GetShards() {
			if holdfast.ShardID(s.GetShard()) == b.events[0].ref.Shard {
				t.syncs += s.GetSyncs()
				t.entries, t.commands = max(t.entries, s.GetEntries()), max(t.commands, s.GetCommands())
			}
		}
	}
	t.client = cpuTime(os.Getpid())
	for _, m := range cluster.members {
		t.members += cpuTime(m.pid())
	}
	return t
}

// bytesPerCommand is the mean size of the commands that were sent.
func (b *benchmark) bytesPerCommand() float64 {
	hold := len((&command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{1}}}}).Append(nil))
	begin := len((&command.BeginPayment{}).Append(nil))
	sell := len((&command.Sell{}).Append(nil))
	if b.pay {
		sell += len("1abcde-bench-1")
	}
	n, bytes := 0, 0
	for _, r := range b.results {
		n += r.holds + r.begins + r.sold
		bytes += r.holds*hold + r.begins*begin + r.sold*sell
	}
	return float64(bytes) / float64(max(n, 1))
}

func (b *benchmark) report() benchOut {
	seconds := b.duration.Seconds() + time.Since(b.end).Seconds()
	o := benchOut{Nodes: b.nodes, Batch: b.batch, Callers: b.callers, Contend: b.contend, Pay: b.pay, Seconds: seconds, Cores: runtime.NumCPU()}
	ops := 0
	var took []time.Duration
	for _, r := range b.results {
		ops += r.holds + r.begins + r.sold
		o.Sold += r.sold
		o.Lost += r.holds - r.won
		o.Errors += r.errors
		o.DoubleSells += r.doubles
		o.firstError = errors.Join(o.firstError, r.firstError)
		took = append(took, r.took...)
	}
	o.OpsPerS, o.ClaimsPerS = float64(ops)/seconds, float64(o.Sold)/seconds
	o.HoldP50Ms, o.HoldP99Ms = percentile(took, 50), percentile(took, 99)
	return o
}

// check reads every order back and compares it with what the callers were told.
func (b *benchmark) check(ctx context.Context, o *benchOut) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, e := range b.events {
		seen := make([]bool, len(e.owners))
		for order, err := range b.client.Orders(ctx, e.ref) {
			if err != nil {
				return err
			}
			for _, seat := range order.Seats {
				told := e.owners[seat].Load()
				// A seat in two orders, or one that somebody else was told of.
				if seen[seat] || told != 0 && order.Buyer != benchBuyer(told) {
					o.DoubleSells++
				}
				seen[seat] = true
			}
		}
		for seat := range e.owners {
			if e.owners[seat].Load() != 0 && !seen[seat] {
				o.LostSells++
			}
		}
	}
	return nil
}
