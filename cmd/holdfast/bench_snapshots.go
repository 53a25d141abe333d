package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// bench snapshots: what a snapshot costs those who claim meanwhile, and how long a restart takes, with many seats and
// many live holds.

type snapshotFlags struct {
	seats    int
	holds    int
	callers  int
	pace     time.Duration
	duration time.Duration
	entries  int
	dir      string
	seed     uint64
}

// snapshotMembers is a cluster's usual size: a leader, one follower that may be slow, one that is needed.
const snapshotMembers = 3

// settling is how long a new cluster is left alone before it is measured: within about ten seconds leadership moves
// once to the member that the shard prefers, which holds claims up, and is no snapshot's doing.
const settling = 12 * time.Second

func (a *app) benchSnapshots() *cobra.Command {
	var f snapshotFlags
	c := &cobra.Command{
		Use:   "snapshots",
		Short: "Measure what snapshots cost those who claim meanwhile, and how long restarts take",
		Long: `Measure what snapshots cost those who claim meanwhile, and how long restarts take: three real processes on this
machine, one event, many live holds. Callers hold and release single seats at a pace far below what the cluster can do.
Holds that were under way while a member wrote a snapshot, or shortened its log behind it, are compared with the others.
Then one member is killed and started again, and then all of them.`,
		Example: `  holdfast bench snapshots -o json
  holdfast bench snapshots --snapshot-entries 200000 --duration 5m    # as nodes are set up`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.seats < benchRowSeats || f.seats%benchRowSeats != 0 || f.seats > holdfast.UnitsPerEventMax:
				return usage(cmd, "--seats is a multiple of %d up to %d", benchRowSeats, holdfast.UnitsPerEventMax)
			case f.callers < 1 || f.holds < 0 || f.seats-f.holds < f.callers:
				return usage(cmd, "--holds must leave each of the --callers a seat")
			case f.pace <= 0 || f.duration <= 0 || f.entries < 2:
				return usage(cmd, "--pace and --duration are positive, --snapshot-entries is 2 or more")
			}
			return a.snapshots(cmd.Context(), f)
		},
	}
	c.Flags().IntVar(&f.seats, "seats", 1_000_000, "seats of the event")
	c.Flags().IntVar(&f.holds, "holds", 500_000, "how many are held all the time")
	c.Flags().IntVar(&f.callers, "callers", 64, "how many goroutines hold and release other seats")
	c.Flags().DurationVar(&f.pace, "pace", 64*time.Millisecond, "how often each of them begins")
	c.Flags().DurationVar(&f.duration, "duration", time.Minute, "how long to measure")
	c.Flags().IntVar(&f.entries, "snapshot-entries", 10_000, "after how many entries of the log a snapshot is due")
	c.Flags().StringVar(&f.dir, "data-dir", "", "where the members keep their data, for another disk; a folder in it is deleted at the end")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "of the order of the seats")
	return c
}

// snapshotsOut is the benchmark's one document.
type snapshotsOut struct {
	HoldP50Ms         float64 `json:"hold_p50_ms"` // while no member was at a snapshot
	HoldP99Ms         float64 `json:"hold_p99_ms"`
	HoldP50SnapshotMs float64 `json:"hold_p50_snapshot_ms"` // while one was
	HoldP99SnapshotMs float64 `json:"hold_p99_snapshot_ms"`
	HoldP99LeaderMs   float64 `json:"hold_p99_leader_snapshot_ms"` // while the leader was
	HoldMaxMs         float64 `json:"hold_max_ms"`
	Ratio             float64 `json:"ratio"` // hold_p99_snapshot_ms to hold_p99_ms
	Snapshots         int     `json:"snapshots"`
	SnapshotsLeader   int     `json:"snapshots_leader"` // by the leader
	SnapshotMs        float64 `json:"snapshot_ms"`      // the mean time that one took, with the log's shortening
	Claims            int     `json:"claims"`           // holds that were measured
	ClaimsSnapshot    int     `json:"claims_snapshot"`  // of them while a member was at a snapshot
	Errors            int     `json:"errors"`
	RestartMs         float64 `json:"restart_ms"`      // of one member, until it is ready and has applied what it had
	RestartAllMs      float64 `json:"restart_all_ms"`  // of all of them, until the first claim is acknowledged
	RestartEntries    uint64  `json:"restart_entries"` // that one member applied again, after its snapshot
	RestartAllReadyMs float64 `json:"restart_all_ready_ms"`
	Seats             int     `json:"seats"`
	HoldsLive         uint64  `json:"holds_live"` // after all restarts
	firstError        error
}

func (o snapshotsOut) table(w io.Writer) {
	ms := func(v float64) string { return fmt.Sprintf("%.2f ms", v) }
	row(w, "HOLD P99", "IN SNAPSHOTS", "RATIO", "IN THE LEADER'S", "SNAPSHOTS", "MEAN TIME", "CLAIMS", "IN SNAPSHOTS", "ERRORS", "RESTART OF ONE", "OF ALL")
	row(w, ms(o.HoldP99Ms), ms(o.HoldP99SnapshotMs), fmt.Sprintf("%.2f", o.Ratio), ms(o.HoldP99LeaderMs), o.Snapshots, ms(o.SnapshotMs), o.Claims,
		o.ClaimsSnapshot, o.Errors, ms(o.RestartMs), ms(o.RestartAllMs))
}

func (a *app) snapshots(ctx context.Context, f snapshotFlags) (err error) {
	dir, err := os.MkdirTemp(f.dir, "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := startLocal(dir, snapshotMembers, 1, "--snapshot-entries", strconv.Itoa(f.entries))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.stop()) }()
	out := snapshotsOut{Seats: f.seats}
	event, seats, err := a.steady(ctx, f, cluster, &out)
	if err != nil {
		return err
	}
	r := &restarts{cluster: cluster, event: event, seat: seats[f.holds]}
	a.progress("one member is killed and started again")
	if out.RestartMs, out.RestartEntries, err = r.one(ctx); err != nil {
		return err
	}
	a.progress("all members are killed and started again")
	if err := r.all(ctx, &out); err != nil {
		return err
	}
	if err := a.print(out); err != nil {
		return err
	}
	if out.firstError != nil {
		a.progress("the first of %d errors: %v", out.Errors, out.firstError)
	}
	switch {
	case out.HoldsLive < uint64(f.holds):
		return &checkFailed{fmt.Sprintf("%d holds were acknowledged, and %d are there", f.holds, out.HoldsLive)}
	case out.Snapshots == 0:
		return &checkFailed{"no snapshot was taken: measure for longer, or with fewer --snapshot-entries"}
	}
	return nil
}

// steady fills the event and measures the load. It gives the event, and the seats in the order in which they were
// shuffled: the first ones are held.
func (a *app) steady(ctx context.Context, f snapshotFlags, cluster *localCluster, out *snapshotsOut) (event client.EventRef, seats []uint32, err error) {
	c, err := client.New(cluster.endpoints())
	if err != nil {
		return event, nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := cluster.ready(ctx, c); err != nil {
		return event, nil, err
	}
	s := &steadyLoad{snapshotFlags: f, client: c}
	a.progress("%d of %d seats are held", f.holds, f.seats)
	if err := s.fill(ctx); err != nil {
		return event, nil, err
	}
	if !pause(ctx, settling) {
		return event, nil, ctx.Err()
	}
	a.progress("%d callers hold and release a seat every %v, for %v", f.callers, f.pace, f.duration)
	watch := &snapshotWatch{client: c, shard: s.event.Shard}
	stop := watch.begin(ctx, cluster.endpoints())
	s.run(ctx)
	stop()
	s.report(watch.windows, out)
	return s.event, s.seats, ctx.Err()
}

// restarts measures how long members take to come back.
type restarts struct {
	cluster *localCluster
	event   client.EventRef
	seat    uint32 // a free one
}

// one kills a member that follows.
func (r *restarts) one(ctx context.Context) (ms float64, entries uint64, err error) {
	c, err := client.New(r.cluster.endpoints())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	leader, err := r.cluster.leader(ctx, c, r.event.Shard)
	if err != nil {
		return 0, 0, err
	}
	m := r.cluster.members[0]
	if m == leader {
		m = r.cluster.members[1]
	}
	before, err := c.Status(ctx, m.client)
	if err != nil {
		return 0, 0, err
	}
	at := statusOfShard(before, r.event.Shard)
	if err := m.kill(); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := r.cluster.start(m); err != nil {
		return 0, 0, err
	}
	if err := r.back(ctx, m, at.GetAppliedIndex()); err != nil {
		return 0, 0, err
	}
	return milliseconds(time.Since(began)), at.GetAppliedIndex() - at.GetSnapshotIndex(), nil
}

// all kills all members at once.
func (r *restarts) all(ctx context.Context, out *snapshotsOut) error {
	applied := make([]uint64, len(r.cluster.members))
	c, err := client.New(r.cluster.endpoints())
	if err != nil {
		return err
	}
	for i, m := range r.cluster.members {
		status, err := c.Status(ctx, m.client)
		if err != nil {
			return errors.Join(err, c.Close())
		}
		applied[i] = statusOfShard(status, r.event.Shard).GetAppliedIndex()
	}
	if err := c.Close(); err != nil {
		return err
	}
	for _, m := range r.cluster.members {
		if err := m.kill(); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, m := range r.cluster.members {
		if err := r.cluster.start(m); err != nil {
			return err
		}
	}
	claimed := make(chan error, 1) // what became of the first claim
	go func() {
		err := r.claim(ctx)
		out.RestartAllMs = milliseconds(time.Since(began))
		claimed <- err
	}()
	for i, m := range r.cluster.members {
		err = errors.Join(err, r.back(ctx, m, applied[i]))
	}
	out.RestartAllReadyMs = milliseconds(time.Since(began))
	if err := errors.Join(err, <-claimed); err != nil {
		return err
	}
	return r.count(ctx, out)
}

// claim holds a seat, with a client that knows nothing yet.
func (r *restarts) claim(ctx context.Context) (err error) {
	c, err := client.New(r.cluster.endpoints(), client.WithTimeout(startPatience))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	_, err = c.Hold(ctx, client.HoldRequest{Event: r.event, Buyer: benchBuyer(r.seat + 1), Wants: seatWant(r.seat)})
	return err
}

// count asks the leader how many holds there are.
func (r *restarts) count(ctx context.Context, out *snapshotsOut) (err error) {
	c, err := client.New(r.cluster.endpoints())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	status, err := r.cluster.ready(ctx, c)
	for _, s := range status.Shards {
		if s.Shard == r.event.Shard {
			out.HoldsLive = s.Holds
		}
	}
	return err
}

// back waits until a member that was started is ready and has applied what it had.
func (r *restarts) back(ctx context.Context, m *localMember, applied uint64) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	c, err := client.New([]string{m.client}) // a new one: connections that broke wait before they are tried again
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for pause(ctx, lookEvery) {
		status, err := c.Status(ctx, m.client)
		if err == nil && status.GetReady() && statusOfShard(status, r.event.Shard).GetAppliedIndex() >= applied {
			return nil
		}
	}
	return fmt.Errorf("%s did not come back: %w\n%s", m.name, ctx.Err(), m.lastWords())
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
