package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// bench queue: what a frontend takes of those who join a line and of those who wait in it, and what both cost the cluster.

type queueFlags struct {
	waiters     int
	duration    time.Duration
	connections int
	dir         string
}

func (a *app) benchQueue() *cobra.Command {
	var f queueFlags
	c := &cobra.Command{
		Use:   "queue",
		Short: "Measure joins and polls of a waiting line at one frontend, and what they cost the cluster",
		Long: `Measure joins and polls of a waiting line: three members and one frontend, each a real process on this machine, and visitors
over HTTP with keep-alive. First they join one after the other, then in a crowd, and then the line is drawn and they poll
for a while. Rates are given per second, and per second of processor time of the frontend's process. What the joins cost
the cluster is read from a member's archived log: it is replayed, and the size of the state before and after compared.`,
		Example: `  holdfast bench queue -o json
  holdfast bench queue --waiters 100000 --duration 30s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.waiters < 1 || f.waiters > queueWaitersMax:
				return usage(cmd, "--waiters is 1 to %d", queueWaitersMax)
			case f.connections < 1 || f.connections > queueJoiners || f.duration <= 0:
				return usage(cmd, "--connections is 1 to %d, --duration is positive", queueJoiners)
			}
			return a.queueBench(cmd.Context(), f)
		},
	}
	c.Flags().IntVar(&f.waiters, "waiters", 20_000, "how many visitors join in the crowd")
	c.Flags().DurationVar(&f.duration, "duration", 10*time.Second, "how long to measure polls")
	c.Flags().IntVar(&f.connections, "connections", 64, "how many connections poll, each waiting for its answer")
	c.Flags().StringVar(&f.dir, "data-dir", "", "where the members keep their data, for another disk; a folder in it is deleted at the end")
	return c
}

const (
	queueWaitersMax = 1_000_000
	// queueAlone is how many join one after the other, so that each has a block of its own.
	queueAlone = 100
	// queueJoiners is how many connections the crowd joins by.
	queueJoiners = 1024
	queueEvent   = "bench-queue"
)

// queueSettings are limits for a crowd that comes from one address.
const queueSettings = `limits: {connections: 100000, in_flight: 100000, joins_per_second: 1000000, address_per_second: 1000000000, address_burst: 1000000000,
  address_joins_per_minute: 1000000000}
`

// queueOut is the benchmark's one document.
type queueOut struct {
	PollsPerSCore  float64 `json:"polls_per_s_per_core"` // polls for each second of the frontend's processor time; 0: not known
	JoinsPerSCore  float64 `json:"joins_per_s_per_core"`
	PollsPerS      float64 `json:"polls_per_s"`
	JoinsPerS      float64 `json:"joins_per_s"`
	PollP50Ms      float64 `json:"poll_p50_ms"`
	PollP99Ms      float64 `json:"poll_p99_ms"`
	JoinP50Ms      float64 `json:"join_p50_ms"`
	JoinP99Ms      float64 `json:"join_p99_ms"`
	LogBytes       float64 `json:"log_bytes_per_1000_joins"` // archived in the meantime, the clock's ticks included
	Commands       float64 `json:"commands_per_1000_joins"`
	BytesPerWaiter float64 `json:"cluster_bytes_per_waiter"` // of the state, besides what blocks cost
	BytesPerBlock  float64 `json:"cluster_bytes_per_block"`  // of the state: a header for good, and an outcome that is forgotten
	Blocks         uint64  `json:"blocks"`                   // that the crowd was entered in
	Waiters        int     `json:"waiters"`
	Polls          int     `json:"polls"`
	Errors         int     `json:"errors"`
	Connections    int     `json:"connections"`
	Cores          int     `json:"cores"`
	firstError     error
}

func (o queueOut) table(w io.Writer) {
	whole := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	ms := func(v float64) string { return fmt.Sprintf("%.2f ms", v) }
	row(w, "POLLS/S/CORE", "POLLS/S", "POLL P50", "POLL P99", "JOINS/S/CORE", "JOINS/S", "JOIN P99", "LOG BYTES/1000 JOINS", "COMMANDS/1000 JOINS", "BYTES A WAITER", "A BLOCK", "ERRORS")
	row(w, whole(o.PollsPerSCore), whole(o.PollsPerS), ms(o.PollP50Ms), ms(o.PollP99Ms), whole(o.JoinsPerSCore), whole(o.JoinsPerS), ms(o.JoinP99Ms),
		whole(o.LogBytes), fmt.Sprintf("%.1f", o.Commands), fmt.Sprintf("%.2f", o.BytesPerWaiter), whole(o.BytesPerBlock), o.Errors)
}

func (a *app) queueBench(ctx context.Context, f queueFlags) (err error) {
	dir, err := os.MkdirTemp(f.dir, "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := openQueue(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	a.progress("%d visitors join, and then poll for %v over %d connections", f.waiters, f.duration, f.connections)
	out, err := b.measure(ctx, f)
	if err != nil {
		return err
	}
	if err := a.print(out); err != nil {
		return err
	}
	if out.Errors > 0 {
		a.progress("the first of %d errors: %v", out.Errors, out.firstError)
		return &checkFailed{"visitors were not answered as they should be"}
	}
	return nil
}

// queueBench is a line that is open, and who is measured.
type queueBench struct {
	cluster  *localCluster
	client   *client.Client
	frontend *localMember
	address  string // of the frontend, without a scheme
	event    client.EventRef
}

// openQueue starts the cluster and the frontend, and opens a line.
func openQueue(ctx context.Context, dir string) (b *queueBench, err error) {
	b = &queueBench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.cluster, err = startLocal(dir, snapshotMembers, 1); err != nil {
		return b, err
	}
	if b.client, err = client.New(b.cluster.endpoints()); err != nil {
		return b, err
	}
	if _, err := b.cluster.ready(ctx, b.client); err != nil {
		return b, err
	}
	spec := benchSpec(1, benchRowSeats)
	spec.Name, spec.Line = queueEvent, command.LineRules{Enabled: true}
	applied, err := b.client.ApplyEvent(ctx, spec)
	if err != nil {
		return b, err
	}
	b.event = applied.EventRef
	if err := b.client.OpenLine(ctx, b.event); err != nil {
		return b, err
	}
	return b, b.openFrontend(ctx, filepath.Join(dir, "frontend"))
}

// openFrontend starts the frontend, which sells nothing.
func (b *queueBench) openFrontend(ctx context.Context, dir string) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	secret, settings := filepath.Join(dir, "fleet"), filepath.Join(dir, "settings.yaml")
	if err := errors.Join(os.WriteFile(secret, []byte(randomHex()+randomHex()), 0o600), os.WriteFile(settings, []byte(queueSettings), 0o600)); err != nil {
		return err
	}
	b.address = loopback(ports[0])
	b.frontend, err = b.cluster.launch("f1", filepath.Join(dir, "f1"), "frontend", "run", "--name", "f1", "--listen", b.address, "--endpoints",
		strings.Join(b.cluster.endpoints(), ","), "--secret-file", secret, "--settings", settings, "--payments", paymentsNone, "--log-level", "warn")
	if err != nil {
		return err
	}
	s := &shop{frontends: []*localMember{b.frontend}, addresses: []string{"http://" + b.address}}
	return s.ready(ctx, queueEvent)
}

func (b *queueBench) close() error {
	var errs []error
	if b.client != nil {
		errs = append(errs, b.client.Close())
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.stop())
	}
	return errors.Join(errs...)
}

// measure lets visitors join one by one, then as a crowd, draws the line, and lets them poll.
func (b *queueBench) measure(ctx context.Context, f queueFlags) (out queueOut, err error) {
	out = queueOut{Waiters: f.waiters, Connections: f.connections, Cores: runtime.NumCPU()}
	first := b.join(ctx, 1, 1) // what only the first costs is not counted
	empty, err := b.cost(ctx)
	if err != nil {
		return out, err
	}
	alone := b.join(ctx, queueAlone, 1)
	before, err := b.cost(ctx)
	if err != nil {
		return out, err
	}
	cpu := cpuTime(b.frontend.pid())
	crowd := b.join(ctx, f.waiters, queueJoiners)
	cpu = cpuTime(b.frontend.pid()) - cpu
	if len(crowd.tokens) == 0 {
		return out, fmt.Errorf("nobody could join: %w", crowd.firstError)
	}
	after, err := b.cost(ctx)
	if err != nil {
		return out, err
	}
	out.joined(crowd, cpu, empty, before, after)

	if err := b.client.Draw(ctx, b.event, holdfast.BeaconRound{}); err != nil {
		return out, err
	}
	if err := b.drawn(ctx, crowd.tokens); err != nil {
		return out, err
	}
	cpu = cpuTime(b.frontend.pid())
	polls := b.poll(ctx, crowd.tokens, f.connections, f.duration)
	out.polled(polls, cpuTime(b.frontend.pid())-cpu)
	for _, l := range []loaded{first, alone, crowd, polls} {
		out.Errors += l.errors
		out.firstError = errors.Join(out.firstError, l.firstError)
	}
	return out, ctx.Err()
}

// joined works out what joining took and cost. Joins one by one and joins in a crowd cost different numbers of blocks for
// different numbers of visitors: two equations, which tell what a block and what a visitor costs.
func (o *queueOut) joined(crowd loaded, cpu time.Duration, empty, before, after queueCost) {
	n := float64(len(crowd.took))
	o.Blocks = after.blocks - before.blocks
	o.JoinsPerS, o.JoinsPerSCore = n/crowd.lasted.Seconds(), perCore(n, cpu)
	o.JoinP50Ms, o.JoinP99Ms = percentile(crowd.took, 50), percentile(crowd.took, 99)
	o.LogBytes, o.Commands = float64(after.log-before.log)/n*1000, float64(after.commands-before.commands)/n*1000
	blocks1, people1, bytes1 := float64(before.blocks-empty.blocks), float64(before.places-empty.places), float64(before.state-empty.state)
	blocks2, people2, bytes2 := float64(o.Blocks), float64(after.places-before.places), float64(after.state-before.state)
	if d := blocks1*people2 - blocks2*people1; d != 0 {
		o.BytesPerWaiter = (blocks1*bytes2 - blocks2*bytes1) / d
		o.BytesPerBlock = (bytes1*people2 - bytes2*people1) / d
	}
}

func (o *queueOut) polled(l loaded, cpu time.Duration) {
	o.Polls = len(l.took)
	o.PollsPerS, o.PollsPerSCore = float64(o.Polls)/l.lasted.Seconds(), perCore(float64(o.Polls), cpu)
	o.PollP50Ms, o.PollP99Ms = percentile(l.took, 50), percentile(l.took, 99)
}

func perCore(n float64, cpu time.Duration) float64 {
	if cpu <= 0 {
		return 0 // not known here
	}
	return n / cpu.Seconds()
}

// queueCost is what a line has cost the cluster so far.
type queueCost struct {
	log      int64  // bytes of a member's archived log
	state    int64  // bytes of the state that it leads to
	commands uint64 // in it
	blocks   uint64
	places   uint64
}

// cost replays a member's archive. The member runs: what is not written yet is waited for.
func (b *queueBench) cost(ctx context.Context) (c queueCost, err error) {
	line, err := b.client.Line(ctx, b.event)
	if err != nil {
		return c, err
	}
	c.blocks, c.places = uint64(line.Enters), uint64(line.Issued)
	m := b.cluster.members[0]
	status, err := b.client.Status(ctx, m.client)
	if err != nil {
		return c, err
	}
	at := statusOfShard(status, b.event.Shard).GetCommitIndex()
	archives, err := node.Archives(m.dir)
	if err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for pause(ctx, lookEvery) {
		for _, archive := range archives {
			report, err := node.Verify(archive, nil)
			if errors.Is(err, holdfast.NotFound) {
				continue // nothing is written yet
			}
			if err != nil {
				return c, err
			}
			if report.Shard == b.event.Shard && report.Index >= at {
				c.state, c.commands = report.StateBytes, report.Commands
				c.log, err = sizeOf(archive)
				return c, err
			}
		}
	}
	return c, fmt.Errorf("%s does not archive what was committed: %w", m.name, ctx.Err())
}

func sizeOf(dir string) (bytes int64, err error) {
	files, err := os.ReadDir(dir)
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	return bytes, err
}
