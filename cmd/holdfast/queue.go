package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

func (a *app) queueCommand() *cobra.Command {
	c := &cobra.Command{Use: "queue", Short: "Look after an event's waiting line"}
	c.AddCommand(a.queueShow(), a.queueOpen(), a.queueDraw(),
		a.queueNumber("rate", "Set how many people are called in a second at most; 0: as the event file says", command.LineRate),
		a.queueNumber("ceiling", "Set how many people may be inside at a time; 0: as the event file says", command.LineCeiling),
		a.queueChange("pause", "Call nobody and let nobody in; places stay, and nobody's time runs down", command.LinePause),
		a.queueChange("resume", "Go on with a paused line", command.LineResume),
		a.queueChange("freeze", "Fix who takes part in the draw of a line whose event file names no time for it", command.LineFreeze),
		a.queueChange("close", "Close a line for good: nobody joins and nobody is called any more", command.LineClose),
		a.queueRecord(), a.queueVerifyDraw(), a.queueSimulate())
	return c
}

func (a *app) queueShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show EVENT",
		Short: "Show an event's line: how far it is, who is inside, and what it is paced by",
		Example: `  holdfast queue show harbour-arena-last-night
  holdfast queue show evt_1 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.showLine(cmd.Context(), args[0]) },
	}
}

// showLine prints an event's line as it is.
func (a *app) showLine(ctx context.Context, event string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	l, err := c.Line(ctx, eventArg(event))
	if err != nil {
		return err
	}
	return a.print(lineOutOf(&l))
}

// onLine does something to an event's line and shows it.
func (a *app) onLine(ctx context.Context, event string, do func(*client.Client, client.EventRef) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	if err := do(c, eventArg(event)); err != nil {
		return err
	}
	return a.showLine(ctx, event)
}

func (a *app) queueOpen() *cobra.Command {
	return &cobra.Command{
		Use:   "open EVENT",
		Short: "Commit to the secret of the draw, and open the line: now, or when the event file says",
		Long: `Commit to the secret of the draw, and open the line: now, or when the event file says. Where it names a time, the shard's
leader does this by itself a minute before. From then on the line's times and its beacon cannot be changed.`,
		Example: "  holdfast queue open harbour-arena-last-night",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLine(cmd.Context(), args[0], func(c *client.Client, e client.EventRef) error { return c.OpenLine(cmd.Context(), e) })
		},
	}
}

func (a *app) queueDraw() *cobra.Command {
	return &cobra.Command{
		Use:   "draw EVENT",
		Short: "Draw the order of a line whose event file names no time for it",
		Long: `Draw the order of a line whose event file names no time for it: whoever has joined by now takes part. Where the file names
a time, the draw comes by itself. Where it names a beacon, a frontend that knows a source of it brings the round; this command
cannot do without it before the fallback's time.`,
		Example: "  holdfast queue draw harbour-arena-last-night",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLine(cmd.Context(), args[0], func(c *client.Client, e client.EventRef) error {
				return c.Draw(cmd.Context(), e, holdfast.BeaconRound{})
			})
		},
	}
}

func (a *app) queueChange(verb, short string, change command.LineChange) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " EVENT",
		Short:   short,
		Example: "  holdfast queue " + verb + " harbour-arena-last-night",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLine(cmd.Context(), args[0], func(c *client.Client, e client.EventRef) error { return c.SetLine(cmd.Context(), e, change, 0) })
		},
	}
}

func (a *app) queueNumber(verb, short string, change command.LineChange) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " EVENT NUMBER",
		Short:   short,
		Example: "  holdfast queue " + verb + " harbour-arena-last-night 500",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[1], 10, 32)
			if err != nil || n > command.CeilingMax {
				return usage(cmd, "%q is not a number up to %d", args[1], command.CeilingMax)
			}
			return a.onLine(cmd.Context(), args[0], func(c *client.Client, e client.EventRef) error {
				return c.SetLine(cmd.Context(), e, change, uint32(n))
			})
		},
	}
}

func (a *app) queueRecord() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "record EVENT",
		Short: "Save the public record of a draw, as JSON",
		Long: `Save the public record of a draw, as JSON: what was committed to, who took part, and what the order was drawn from. Whoever
has it can recompute the order with "queue verify-draw", or on the event's page, with no access to the cluster.`,
		Example: `  holdfast queue record harbour-arena-last-night > draw.json
  holdfast queue record evt_1 --file draw.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := a.drawRecord(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(record, "", "  ")
			if err != nil {
				return err
			}
			text = append(text, '\n')
			if file != "" {
				return os.WriteFile(file, text, 0o644)
			}
			_, err = a.out.Write(text)
			return err
		},
	}
	c.Flags().StringVar(&file, "file", "", "where to save it; without: stdout")
	return c
}

func (a *app) drawRecord(ctx context.Context, event string) (*draw.Record, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return c.DrawRecord(ctx, eventArg(event))
}

// recordFileMax bounds what is read: as many headers as there may be, printed with room between.
const recordFileMax = holdfast.EntersMax*256 + 1<<20

func (a *app) queueVerifyDraw() *cobra.Command {
	return &cobra.Command{
		Use:   "verify-draw EVENT|FILE",
		Short: "Recompute a draw from its public record",
		Long: `Recompute a draw from its public record: the secret is the one that was committed to before anybody joined, the places are
those of the headers, the beacon's round is signed and the one that follows from the cut-off, and the seed follows from all of
it. FILE is a record that was saved: then there is no need for a cluster. What does not hold ends with exit code 3.

What it proves: nobody could choose the order after the line was opened, except who knew the secret and joined last, and with
a beacon not even that. What it does not: that a person had one place only; that is as strong as what a place belongs to.`,
		Example: `  holdfast queue verify-draw harbour-arena-last-night
  holdfast queue verify-draw draw.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := readRecord(args[0])
			if errors.Is(err, os.ErrNotExist) {
				record, err = a.drawRecord(cmd.Context(), args[0])
			}
			if err != nil {
				return err
			}
			out := verifiedOutOf(record)
			if err := a.print(out); err != nil {
				return err
			}
			if !out.Holds {
				return &checkFailed{"the draw does not hold: " + out.Broken}
			}
			return nil
		},
	}
}

// readRecord reads a record from a file; os.ErrNotExist when there is none of this name.
func readRecord(name string) (*draw.Record, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, recordFileMax+1))
	if err == nil && len(text) > recordFileMax {
		err = fmt.Errorf("it has more than %d bytes", recordFileMax)
	}
	record := &draw.Record{}
	if err == nil {
		err = json.Unmarshal(text, record)
	}
	if err != nil {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "draw record", Message: name + " is not the record of a draw", Err: err}
	}
	return record, nil
}

type verifiedOut struct {
	Event      string `json:"event"`
	Holds      bool   `json:"holds"`
	Broken     string `json:"broken,omitempty"`
	Cohort     uint32 `json:"cohort"`
	Headers    int    `json:"headers"`
	Commitment string `json:"commitment"`
	Chain      string `json:"chain"`
	Seed       string `json:"seed,omitempty"`
	Beacon     string `json:"beacon"`
	Round      uint64 `json:"round,omitempty"`
}

func verifiedOutOf(r *draw.Record) verifiedOut {
	out := verifiedOut{Event: r.Event.String(), Cohort: r.Cohort, Headers: len(r.Headers), Commitment: hex.EncodeToString(r.Commitment[:]),
		Chain: hex.EncodeToString(r.Chain[:]), Beacon: "none: the operator is trusted not to have joined last with a chosen key"}
	if r.Drawn {
		out.Seed = hex.EncodeToString(r.Seed[:])
	}
	switch {
	case r.Fallback:
		out.Beacon = "chain, done without, since the round did not come in time"
	case r.Beacon.Kind == holdfast.BeaconChain:
		out.Beacon = "chain"
	}
	if r.Round != nil {
		out.Round = r.Round.Round
	}
	if err := draw.Verify(r); err != nil {
		out.Broken = err.Error()
	}
	out.Holds = out.Broken == ""
	return out
}

func (o verifiedOut) table(w io.Writer) {
	result := "the draw holds"
	if !o.Holds {
		result = "BROKEN: " + o.Broken
	}
	row(w, o.Event, result)
	row(w, "took part", fmt.Sprintf("%d in %d headers", o.Cohort, o.Headers))
	row(w, "commitment", o.Commitment)
	row(w, "headers", o.Chain)
	if o.Seed != "" {
		row(w, "seed", o.Seed)
	}
	row(w, "beacon", o.Beacon)
}

type lineOut struct {
	Event    string            `json:"event"`
	State    string            `json:"state"`
	Paused   bool              `json:"paused"`
	Places   uint32            `json:"places"`
	Cohort   uint32            `json:"cohort"`
	Served   uint32            `json:"served"`
	Counts   map[string]uint32 `json:"counts"` // places by state; they add up to places
	Sessions uint32            `json:"sessions"`
	Looking  uint32            `json:"looking"`
	Called   uint32            `json:"called"`
	Ceiling  uint32            `json:"ceiling"`
	Rate     uint32            `json:"rate,omitempty"`
	Returns  uint32            `json:"returns"`
	Units    countsOut         `json:"units"`

	OpenedMs   int64  `json:"opened_ms,omitempty"`
	FrozenMs   int64  `json:"frozen_ms,omitempty"`
	DrawnMs    int64  `json:"drawn_ms,omitempty"`
	Commitment string `json:"commitment,omitempty"`
	Chain      string `json:"chain,omitempty"`
	Seed       string `json:"seed,omitempty"`

	Pace paceOut `json:"pace"`
}

type paceOut struct {
	Bound         string  `json:"bound"`
	Target        uint32  `json:"target"`
	Busy          float64 `json:"busy"`
	OrdersPerMin  uint32  `json:"orders_per_minute,omitempty"`
	ShowUp        float64 `json:"show_up"`
	UnitsPerHold  float64 `json:"units_per_hold"`
	Pays          float64 `json:"pays"`
	SessionMeanMs int64   `json:"session_mean_ms"`
}

func lineOutOf(l *client.Line) lineOut {
	o := lineOut{Event: l.Event.ID.String(), State: l.State.String(), Paused: l.Paused, Places: l.Issued, Cohort: l.Cohort, Served: uint32(l.Served),
		Counts: map[string]uint32{}, Sessions: l.Sessions, Looking: l.Looking, Called: l.Called, Ceiling: l.Ceiling, Rate: l.Rate, Returns: l.Returns,
		Units: countsOf(l.Units), OpenedMs: l.OpenedMs, FrozenMs: l.FrozenMs, DrawnMs: l.DrawnMs,
		Commitment: hashText(l.Commitment), Chain: hashText(l.Chain), Seed: hashText(l.Seed),
		Pace: paceOut{Bound: l.Bound.String(), Target: l.Target, Busy: l.Busy, OrdersPerMin: l.ProviderPerMinute, ShowUp: l.ShowUp, UnitsPerHold: l.UnitsPerHold, Pays: l.Pays,
			SessionMeanMs: l.SessionMean.Milliseconds()}}
	for s := range holdfast.PlaceState(holdfast.PlaceStates) {
		if n := l.Counts[s]; n > 0 {
			o.Counts[s.String()] = n
		}
	}
	return o
}

func hashText(h draw.Hash) string {
	if h == (draw.Hash{}) {
		return ""
	}
	return hex.EncodeToString(h[:])
}

func (o lineOut) table(w io.Writer) {
	state := o.State
	if o.Paused {
		state += ", paused"
	}
	row(w, o.Event, "line "+state, fmt.Sprintf("%d places", o.Places), fmt.Sprintf("%d called", o.Served))
	row(w)
	row(w, "INSIDE", "CEILING", "LOOKING", "CALLED", "FREE", "HELD", "PAYING", "SOLD", "RETURNS")
	row(w, o.Sessions, o.Ceiling, o.Looking, o.Called, o.Units.Free, o.Units.Held, o.Units.Paying, o.Units.Sold, o.Returns)
	row(w)
	row(w, "PLACES", "")
	for s := range holdfast.PlaceState(holdfast.PlaceStates) {
		if n := o.Counts[s.String()]; n > 0 {
			row(w, s.String(), n)
		}
	}
	row(w)
	row(w, "BOUND BY", "TARGET", "BUSY", "SHOW UP", "UNITS", "PAY", "SESSION", "RATE")
	rate := "no limit"
	if o.Rate > 0 {
		rate = fmt.Sprintf("%d/s", o.Rate)
	}
	row(w, o.Pace.Bound, o.Pace.Target, percent(o.Pace.Busy), percent(o.Pace.ShowUp), fmt.Sprintf("%.1f", o.Pace.UnitsPerHold), percent(o.Pace.Pays),
		time.Duration(o.Pace.SessionMeanMs)*time.Millisecond, rate)
	if o.Commitment != "" {
		row(w)
		row(w, "commitment", o.Commitment)
	}
	if o.Seed != "" {
		row(w, "seed", o.Seed)
	}
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
