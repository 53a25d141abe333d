package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The demonstration: a whole on-sale on this machine, with a leader killed in the middle and an audit at the end.
// This file is its course; the crowd, the audit and the view have theirs.

// Rules of the demonstration's event that differ from the file's, so that a sale takes seconds.
const (
	demoHoldTTL   = 4 * time.Second
	demoPayWindow = 5 * time.Second
	demoSession   = 2 * time.Minute
	demoIdle      = 5 * time.Second
	demoCall      = 24 * time.Second // in which a turn waits for a crowd that reloads every few seconds
	demoCeiling   = 4000             // sessions at a time, or four fifths of the buyers if those are more
	demoRate      = 200              // called in a second, or a thirtieth of the buyers: about as many as two cores sell to

	// lobbyDefault is how long the line is open before the draw.
	lobbyDefault = 2 * time.Second

	// down is how long the killed leader stays away: long enough to see the others go on without it.
	down = 2 * time.Second

	// writeGapMax is what the demonstration allows between the last acknowledged claim before a fault and the first
	// after it.
	writeGapMax = 2 * time.Second
	gapCheck    = "the gap is short"
)

type demoFlags struct {
	exit   bool
	file   string
	buyers int
	seats  int
	rush   time.Duration
	nodes  int
	dir    string
	seed   uint64
	noKill bool

	noCrowd    bool
	lobby      time.Duration
	mailConfig string
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch an on-sale on a three-member cluster, with a leader killed in the middle and an audit",
		Long: `Start a cluster of real processes on this machine with two frontends and a sandbox that plays the payment provider, put an
arena on sale, and let a crowd of buyers loose on it: over HTTP, through the waiting room and its draw. In the middle of the
rush the leader is killed, and later started again. At the end an audit compares what the cluster has with what each buyer
was told and with what the provider charged, and verifies the draw. Exit code 3: the audit found something, or the gap was
longer than 2 s.

On a terminal the cluster stays up after the sale, for you to look at, until q or Ctrl-C. Its data is deleted at the end.

With --no-crowd the shop is yours alone until Ctrl-C: an address is printed, you go through line, seats and checkout by
yourself, and whatever you kill meanwhile is started again.`,
		Example: `  holdfast demo
  holdfast demo --exit --buyers 3000 --seats 4000 -o json
  holdfast demo --no-crowd --lobby 1m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.buyers < 1 || f.nodes < 1 || f.seats < 0 {
				return usage(cmd, "--buyers and --nodes count from 1, --seats from 0")
			}
			return a.demo(cmd.Context(), f)
		},
	}
	c.Flags().BoolVar(&f.exit, "exit", false, "end after the audit, also on a terminal")
	c.Flags().StringVar(&f.file, "event", "", "sell this event file instead of the arena")
	c.Flags().IntVar(&f.buyers, "buyers", 15_000, "how many buyers come")
	c.Flags().IntVar(&f.seats, "seats", 0, "make the event this large; 0: as its file says")
	c.Flags().DurationVar(&f.rush, "rush", 10*time.Second, "over how long the buyers arrive; a fifth of them is there when the sale opens")
	c.Flags().IntVar(&f.nodes, "nodes", 3, "members of the cluster")
	c.Flags().StringVar(&f.dir, "data-dir", "", "where the members keep their data; deleted at the end when not given")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "of the buyers' whims")
	c.Flags().BoolVar(&f.noKill, "no-kill", false, "leave the leader alone")
	c.Flags().BoolVar(&f.noCrowd, "no-crowd", false, "open the shop for you alone, until you stop it")
	c.Flags().DurationVar(&f.lobby, "lobby", lobbyDefault, "how long the line is open before its draw")
	c.Flags().StringVar(&f.mailConfig, "mail-config", "", "a file that says through which server the frontends send mails; see frontend run")
	return c
}

// faultOut is one fault that was made.
type faultOut struct {
	Kind        string `json:"kind"`
	Member      string `json:"member"`
	AtMs        int64  `json:"at_ms"` // since the sale opened
	WriteGapMs  int64  `json:"write_gap_ms"`
	RestartedMs int64  `json:"restarted_at_ms,omitempty"`
}

// touches reports whether a hold was asked for so close to the fault that its answer had to wait for an election.
func (f faultOut) touches(h holdSample) bool {
	at := time.Duration(f.AtMs) * time.Millisecond
	return h.at+h.took >= at && h.at <= at+writeGapMax
}

// demoOut is the demonstration's one document.
type demoOut struct {
	Event string `json:"event"`
	verdict
	Buyers         int            `json:"buyers"`
	Answered       int            `json:"answered"`
	Dropped        int            `json:"dropped"`
	Endings        map[string]int `json:"endings"`
	Refused        map[string]int `json:"refused"`
	RefusedReason  int            `json:"refused_with_reason"` // buyers who were not let into the line, and told why
	Failed         map[string]int `json:"failed"`              // attempts that could not be decided, and were made again
	Claims         int64          `json:"claims_acknowledged"`
	ClaimsPerS     float64        `json:"claims_per_s"`
	HoldP50Ms      float64        `json:"hold_p50_ms"` // outside the gap that a fault tears
	HoldP99Ms      float64        `json:"hold_p99_ms"`
	HoldP99AllMs   float64        `json:"hold_p99_with_faults_ms"`
	Faults         []faultOut     `json:"faults"`
	StateHashEqual bool           `json:"state_hash_equal"`
	Nodes          int            `json:"nodes"`
	Seed           uint64         `json:"seed"`
	SaleMs         int64          `json:"sale_ms"`
	DurationMs     int64          `json:"duration_ms"`
	OK             bool           `json:"ok"`
}

// demonstration is one run.
type demonstration struct {
	demoFlags
	app     *app
	dir     string
	cluster *localCluster
	shop    *shop
	client  *client.Client
	spec    command.EventSpec
	event   client.Event
	crowd   *crowd
	blocked int
	view    *view
	began   time.Time
	out     demoOut
}

func (a *app) demo(ctx context.Context, f demoFlags) (err error) {
	d := &demonstration{demoFlags: f, app: a, began: time.Now()}
	if d.spec, err = f.spec(); err != nil {
		return err
	}
	cleanUp, err := d.ownDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d.view = a.newView(stop)
	defer d.view.release()
	if err := d.open(ctx); err != nil {
		return errors.Join(err, d.close())
	}
	if f.noCrowd {
		return errors.Join(d.welcome(ctx), d.close())
	}
	if err = d.sell(ctx); err == nil {
		d.view.close()
		if err = a.print(d.out); err == nil && d.view.terminal && !f.exit {
			d.stay(ctx)
		}
	}
	if err == nil && !d.out.OK {
		err = &checkFailed{"the audit found something: " + d.out.failed()}
	}
	return errors.Join(err, d.close())
}

// spec gives the event that is sold: the file's, with a size and times that make a demonstration.
func (f demoFlags) spec() (command.EventSpec, error) {
	name, text := "event.yaml", arenaFile
	if f.file != "" {
		var err error
		if name = f.file; name != "" {
			if text, err = os.ReadFile(name); err != nil {
				return command.EventSpec{}, &holdfast.Error{Kind: holdfast.Invalid, Op: "event file", Err: err}
			}
		}
	}
	spec, err := readEventFile(name, text)
	if err != nil {
		return spec, err
	}
	if spec, err = fitEvent(spec, f.seats); err != nil {
		return spec, &holdfast.Error{Kind: holdfast.Invalid, Op: "demo", Field: "seats", Err: err}
	}
	if !spec.Checkout.Given() {
		spec.Checkout = command.Checkout{Mode: holdfast.ModeTest}
	}
	spec.Checkout.Account = shopAccount
	if f.noCrowd {
		return standing(spec), nil
	}
	spec.Rules.HoldTTLMs = uint32(demoHoldTTL / time.Millisecond)
	spec.Rules.PayWindowMs = uint32(demoPayWindow / time.Millisecond)
	spec.Line = command.LineRules{Enabled: true, CeilingMax: uint32(max(demoCeiling, f.buyers/5*4)), RateMax: uint32(max(demoRate, f.buyers/30)),
		SessionMs: uint32(demoSession / time.Millisecond), IdleMs: uint32(demoIdle / time.Millisecond), CallMs: uint32(demoCall / time.Millisecond)}
	return spec, nil
}

// ownDir gives the run a folder, and what deletes it.
func (d *demonstration) ownDir() (cleanUp func() error, err error) {
	if d.demoFlags.dir != "" {
		d.dir = d.demoFlags.dir
		return func() error { return nil }, os.MkdirAll(d.dir, 0o755)
	}
	d.dir, err = os.MkdirTemp("", "holdfast-demo-")
	return func() error { return os.RemoveAll(d.dir) }, err
}

// open starts the cluster and puts the event on sale.
func (d *demonstration) open(ctx context.Context) (err error) {
	d.view.say("starting %d members, each a process with its own folder in %s", d.nodes, d.dir)
	if d.cluster, err = startLocal(d.dir, d.nodes, 1); err != nil {
		return err
	}
	if d.client, err = client.New(d.cluster.endpoints()); err != nil {
		return err
	}
	if _, err := d.cluster.ready(ctx, d.client); err != nil {
		return err
	}
	d.view.say("the cluster formed in %v", time.Since(d.began).Round(time.Millisecond))
	applied, err := d.client.ApplyEvent(ctx, d.spec)
	if err != nil {
		return err
	}
	if d.event, err = d.client.Event(ctx, applied.EventRef); err != nil {
		return err
	}
	if err := d.block(ctx); err != nil {
		return err
	}
	if err := d.client.OpenLine(ctx, d.event.EventRef); err != nil {
		return err
	}
	if d.shop, err = startShop(ctx, d.dir, d.cluster, d.spec.Name, bankOf(d.seed), d.mailConfig); err != nil {
		return err
	}
	d.view.say("%s: %d places, and a line before the door", d.spec.Title, d.spec.Units()-d.blocked)
	for _, address := range d.shop.addresses {
		d.view.say("look: %s/e/%s", address, d.spec.Name)
	}
	return nil
}

// block takes a few seats off sale, as every arena does for cameras and the mixing desk: the last public row.
func (d *demonstration) block(ctx context.Context) error {
	for s := len(d.spec.Sections) - 1; s >= 0; s-- {
		rows := d.spec.Sections[s].Rows
		if len(rows) == 0 {
			continue
		}
		var seats []holdfast.SeatIndex
		for i := range min(int(rows[len(rows)-1].Seats), 10) {
			if u, ok := d.event.Layout.Unit(command.Place{Section: holdfast.SectionIndex(s), Row: len(rows) - 1, Seat: uint32(i)}); ok {
				seats = append(seats, u)
			}
		}
		d.blocked = len(seats)
		return d.client.Block(ctx, d.event.EventRef, seats...)
	}
	return nil
}

// sell lets the crowd in, opens the sale, makes the fault, waits for the end and audits.
func (d *demonstration) sell(ctx context.Context) error {
	d.crowd = newCrowd(d.shop, d.event, d.buyers, d.rush, d.seed)
	d.view.watch(ctx, d)
	d.view.say("%d buyers come, two of five before the draw", d.buyers)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	doing := make(chan error, 1) // what became of the opening and the fault
	go func() {
		err := d.openSale(ctx)
		if err == nil {
			err = d.fault(ctx, time.Now())
		}
		if err != nil {
			stop(err) // the crowd would wait for an opening that never comes
		}
		doing <- err
	}()
	d.crowd.run(ctx)
	if err := cmp.Or(<-doing, ctx.Err()); err != nil {
		return err
	}
	d.out.SaleMs = d.crowd.since(time.Now()).Milliseconds()
	d.view.say("the crowd has gone; what was let go lapses, and what is owed is settled")
	if err := d.quiet(ctx); err != nil {
		return err
	}
	d.view.say("audit: what the cluster has, against what buyers were told and the provider charged")
	return d.audit(ctx)
}

// openSale draws the order of those who are in line, and opens the sale.
func (d *demonstration) openSale(ctx context.Context) error {
	if !pause(ctx, d.lobby) {
		return ctx.Err()
	}
	if err := d.client.Draw(ctx, d.event.EventRef, holdfast.BeaconRound{}); err != nil {
		return err
	}
	if err := d.client.OpenSale(ctx, d.event.EventRef); err != nil {
		return err
	}
	d.crowd.open()
	d.view.say("the order is drawn, and the sale is open")
	return nil
}

// fault kills the leader of the event's shard in the middle of the rush, and starts it again later.
func (d *demonstration) fault(ctx context.Context, opened time.Time) error {
	if d.noKill || !pause(ctx, d.rush*2/5) {
		return nil
	}
	leader, err := d.cluster.leader(ctx, d.client, d.event.Shard)
	if err != nil {
		return err
	}
	at := time.Since(opened)
	if err := leader.kill(); err != nil {
		return err
	}
	d.view.say("killed %s, the leader, with SIGKILL", leader.name)
	d.out.Faults = append(d.out.Faults, faultOut{Kind: "kill_leader", Member: leader.name, AtMs: at.Milliseconds()})
	if !pause(ctx, down) {
		return nil
	}
	d.out.Faults[0].RestartedMs = time.Since(opened).Milliseconds()
	if gap := d.crowd.writeGap(at); gap > 0 {
		d.view.say("the others went on after %v; starting %s again", gap.Round(time.Millisecond), leader.name)
	} else {
		d.view.say("nothing was acknowledged since; starting %s again", leader.name)
	}
	return d.cluster.start(leader)
}

// quiet waits until no hold is left and nothing is owed: holds that buyers let go lapse by themselves, and the frontends
// settle the rest with the provider.
func (d *demonstration) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoPayWindow+holdfast.GraceMax+startPatience)
	defer cancel()
	for {
		e, err := d.client.Event(ctx, d.event.EventRef)
		if err != nil {
			return err
		}
		owed := 0
		for effect, err := range d.client.Effects(ctx, d.event.Shard) {
			if err != nil {
				return err
			}
			if effect.Kind != holdfast.EffectReceipt && effect.Kind != holdfast.EffectNotify { // nobody is to be written to
				owed++
			}
		}
		if e.Total.Held+e.Total.Paying == 0 && owed == 0 {
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return fmt.Errorf("%d units are still held, %d in payment, and %d effects owed: %w", e.Total.Held, e.Total.Paying, owed, ctx.Err())
		}
	}
}

func (d *demonstration) audit(ctx context.Context) error {
	status, err := d.cluster.ready(ctx, d.client)
	if err != nil {
		return err
	}
	found, err := collect(ctx, d.client, d.crowd, d.blocked)
	if err != nil {
		return err
	}
	hashes, err := compareStates(ctx, d.client, status, startPatience)
	if err != nil {
		return err
	}
	o, w := &d.out, d.crowd
	o.verdict = judge(found)
	o.Event, o.Nodes, o.Seed, o.Buyers = d.event.ID.String(), d.nodes, d.seed, d.buyers
	o.Answered, o.Dropped = w.answered()
	o.Endings, o.Refused, o.Failed, o.RefusedReason = map[string]int{}, w.refused, w.attempts, w.ended[turnedOff]
	for how, n := range w.ended {
		if ending(how) != stillHere {
			o.Endings[ending(how).String()] = n
		}
	}
	o.Claims = int64(len(w.acks))
	o.ClaimsPerS = float64(o.Claims) / (float64(o.SaleMs) / 1000)
	o.HoldP50Ms, o.HoldP99Ms = w.latencies(o.Faults)
	_, o.HoldP99AllMs = w.latencies(nil)
	o.StateHashEqual = hashes.Equal
	o.check("everybody got an answer", o.Dropped == 0 && o.Answered == o.Buyers, "%d of %d buyers were answered", o.Answered, o.Buyers)
	o.check("replicas are equal", hashes.Equal, "state hashes of %d members", len(status.Members))
	if o.Faults == nil {
		o.Faults = []faultOut{}
	}
	for i := range o.Faults {
		f := &o.Faults[i]
		gap := w.writeGap(time.Duration(f.AtMs) * time.Millisecond)
		f.WriteGapMs = gap.Milliseconds()
		o.check(gapCheck, gap <= writeGapMax && gap > 0, "%d ms without a claim after %s was killed, at most %d", f.WriteGapMs, f.Member, writeGapMax.Milliseconds())
	}
	o.OK = o.failed() == ""
	o.DurationMs = time.Since(d.began).Milliseconds()
	return nil
}

// failed names the checks that failed.
func (o *demoOut) failed() string {
	var names []string
	for _, c := range o.Checks {
		if !c.OK {
			names = append(names, c.Name+" ("+c.Detail+")")
		}
	}
	return strings.Join(names, "; ")
}

func (o demoOut) table(w io.Writer) {
	row(w)
	row(w, "SOLD", "FREE", "HELD", "BLOCKED", "CAPACITY", "ORDERS", "BUYERS", "JOINED", "ADMITTED", "HOLD P50", "HOLD P99", "CLAIMS/S")
	row(w, o.Sold, o.Free, o.Held, o.Blocked, o.Capacity, o.Orders, o.Buyers, o.Joined, o.Admitted, fmt.Sprintf("%.1f ms", o.HoldP50Ms),
		fmt.Sprintf("%.1f ms", o.HoldP99Ms), fmt.Sprintf("%.0f", o.ClaimsPerS))
	row(w)
	row(w, "AUDIT")
	for _, c := range o.Checks {
		mark := "ok"
		if !c.OK {
			mark = "FAILED"
		}
		fmt.Fprintf(w, "  %-6s  %-44s  %s\n", mark, c.Name, c.Detail)
	}
}

// close stops what was started. It may be called at any point.
func (d *demonstration) close() error {
	var errs []error
	if d.shop != nil {
		errs = append(errs, d.shop.close())
	}
	if d.client != nil {
		errs = append(errs, d.client.Close())
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.stop())
	}
	return errors.Join(errs...)
}
