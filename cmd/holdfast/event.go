package main

import (
	"context"
	_ "embed"
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

// arenaFile is an event like those that holdfast is for: what the demonstration sells, and an example to copy.
//
//go:embed event.yaml
var arenaFile []byte

func (a *app) eventCommand() *cobra.Command {
	c := &cobra.Command{Use: "event", Short: "Describe, open and watch events"}
	c.AddCommand(a.eventApply(), a.eventExample(), a.eventList(), a.eventShow(), a.eventWatch(),
		a.eventSale("open", "Put an event on sale, or go on with a paused sale", (*client.Client).OpenSale),
		a.eventSale("pause", "Stop new holds; those that exist go on to be paid", (*client.Client).PauseSale),
		a.eventSale("close", "End an event's sale for good", (*client.Client).CloseSale))
	return c
}

// eventArg reads an event as people name it: by its name, or by its number as evt_7.
func eventArg(text string) client.EventRef {
	if id, err := holdfast.ParseEventID(text); err == nil {
		return client.EventRef{ID: id}
	}
	return client.Named(text)
}

func (a *app) eventApply() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create an event from its file, or bring it to that file",
		Long: `Create an event from its file, or bring it to that file. Applying the same file again changes nothing. An update may
change the title, prices for new holds, rules and allocations, and add tiers, sections, rows and places; what would take
away or move seats that exist is refused. The sale opens with "event open".`,
		Example: `  holdfast event example > event.yaml
  holdfast event apply -f event.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage(cmd, "which file? give -f FILE")
			}
			spec, err := loadEventFile(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			applied, err := c.ApplyEvent(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return a.print(appliedOut{Event: applied.ID.String(), Name: spec.Name, Shard: applied.Shard, Version: applied.Version, Capacity: spec.Units()})
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the event file; - reads standard input")
	return c
}

func loadEventFile(name string, stdin io.Reader) (command.EventSpec, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(io.LimitReader(stdin, eventFileBytesMax+1))
		name = "standard input"
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return command.EventSpec{}, &holdfast.Error{Kind: holdfast.Invalid, Op: "event file", Message: "nothing was changed", Err: err}
	}
	return readEventFile(name, text)
}

type appliedOut struct {
	Event    string           `json:"event"`
	Name     string           `json:"name"`
	Shard    holdfast.ShardID `json:"shard"`
	Version  uint32           `json:"version"`
	Capacity int              `json:"capacity"`
}

func (o appliedOut) table(w io.Writer) {
	row(w, "EVENT", "NAME", "SHARD", "VERSION", "CAPACITY")
	row(w, o.Event, o.Name, o.Shard, o.Version, o.Capacity)
}

func (a *app) eventExample() *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print an example of an event file",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(arenaFile)
			return err
		},
	}
}

func (a *app) eventList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the cluster's events",
		Example: `  holdfast event list -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			events, err := c.Events(cmd.Context())
			if err != nil {
				return err
			}
			out := eventsOut{Items: []eventLineOut{}}
			for _, e := range events {
				out.Items = append(out.Items, eventLineOut{Event: e.ID.String(), Name: e.Name, Title: e.Title, Shard: e.Shard})
			}
			return a.print(out)
		},
	}
}

type eventsOut struct {
	Items []eventLineOut `json:"items"`
}

type eventLineOut struct {
	Event string           `json:"event"`
	Name  string           `json:"name"`
	Title string           `json:"title"`
	Shard holdfast.ShardID `json:"shard"`
}

func (o eventsOut) table(w io.Writer) {
	row(w, "EVENT", "NAME", "SHARD", "TITLE")
	for _, e := range o.Items {
		row(w, e.Event, e.Name, e.Shard, e.Title)
	}
}

func (a *app) eventShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show EVENT",
		Short: "Show an event: its sale, and units by state, section, tier and allocation",
		Example: `  holdfast event show harbour-arena-last-night
  holdfast event show evt_1 -o yaml > event.yaml    # as it is now, as an event file`,
		Annotations: map[string]string{yamlOK: "yes"},
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			e, err := c.Event(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			if a.format == formatYAML {
				text, err := formatEventFile(&e.Spec)
				if err == nil {
					_, err = a.out.Write(text)
				}
				return err
			}
			return a.print(eventOutOf(e))
		},
	}
}

type eventOut struct {
	Event       string             `json:"event"`
	Name        string             `json:"name"`
	Title       string             `json:"title"`
	Shard       holdfast.ShardID   `json:"shard"`
	Sale        string             `json:"sale"`
	Version     uint32             `json:"version"`
	Revision    holdfast.Revision  `json:"revision"`
	Index       uint64             `json:"index"`
	Currency    holdfast.Currency  `json:"currency"`
	Holds       int                `json:"holds"`
	Orders      int                `json:"orders"`
	Total       countsOut          `json:"total"`
	Sections    []sectionCountsOut `json:"sections"`
	Tiers       []tierCountsOut    `json:"tiers"`
	Allocations []partCountsOut    `json:"allocations"`
}

type sectionCountsOut struct {
	Name    string `json:"name"`
	Tier    string `json:"tier"`
	General bool   `json:"general"`
	countsOut
}

type tierCountsOut struct {
	Name  string         `json:"name"`
	Price holdfast.Money `json:"price"`
	countsOut
}

type partCountsOut struct {
	Name string `json:"name"`
	countsOut
}

func eventOutOf(e client.Event) eventOut {
	o := eventOut{Event: e.ID.String(), Name: e.Name, Title: e.Spec.Title, Shard: e.Shard, Sale: e.Sale.String(), Version: e.Version,
		Revision: e.Revision, Index: e.Stamp.Index, Currency: e.Spec.Currency, Holds: e.Holds, Orders: e.Orders, Total: countsOf(e.Total)}
	for i, n := range e.Sections {
		sec := &e.Spec.Sections[i]
		o.Sections = append(o.Sections, sectionCountsOut{Name: sec.Name, Tier: e.Spec.Tiers[sec.Tier].Name, General: sec.General(), countsOut: countsOf(n)})
	}
	for i, n := range e.Tiers {
		t := e.Spec.Tiers[i]
		o.Tiers = append(o.Tiers, tierCountsOut{Name: t.Name, Price: holdfast.Money{AmountMinor: t.PriceMinor, Currency: e.Spec.Currency}, countsOut: countsOf(n)})
	}
	for i, n := range e.Allocations {
		name := "public"
		if i > 0 {
			name = e.Spec.Allocations[i-1].Name
		}
		o.Allocations = append(o.Allocations, partCountsOut{Name: name, countsOut: countsOf(n)})
	}
	return o
}

func (o eventOut) table(w io.Writer) {
	row(w, o.Name, o.Event, "shard "+o.Shard.String(), "sale "+o.Sale, fmt.Sprintf("version %d", o.Version))
	row(w, fmt.Sprintf("%d holds", o.Holds), fmt.Sprintf("%d orders", o.Orders), "", "", o.Title)
	line := func(name, note any, n countsOut) {
		row(w, name, note, n.Capacity, n.Free, n.Held, n.Paying, n.Sold, n.Blocked)
	}
	head := func(noun, note string) {
		row(w)
		row(w, noun, note, "CAPACITY", "FREE", "HELD", "PAYING", "SOLD", "BLOCKED")
	}
	head("TIER", "PRICE")
	for _, t := range o.Tiers {
		line(t.Name, formatMoney(t.Price), t.countsOut)
	}
	line("all", "", o.Total)
	head("ALLOCATION", "")
	for _, p := range o.Allocations {
		line(p.Name, "", p.countsOut)
	}
	head("SECTION", "TIER")
	for _, s := range o.Sections {
		line(s.Name, s.Tier, s.countsOut)
	}
}

func (a *app) eventSale(verb, short string, set func(*client.Client, context.Context, client.EventRef) error) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " EVENT",
		Short:   short,
		Example: "  holdfast event " + verb + " harbour-arena-last-night",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if err := set(c, cmd.Context(), eventArg(args[0])); err != nil {
				return err
			}
			e, err := c.Event(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			return a.print(saleOut{Event: e.ID.String(), Name: e.Name, Sale: e.Sale.String()})
		},
	}
}

type saleOut struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	Sale  string `json:"sale"`
}

func (o saleOut) table(w io.Writer) {
	row(w, "EVENT", "NAME", "SALE")
	row(w, o.Event, o.Name, o.Sale)
}

func (a *app) eventWatch() *cobra.Command {
	var from uint64
	c := &cobra.Command{
		Use:   "watch EVENT",
		Short: "Follow what changes in an event, until interrupted",
		Long: `Follow what changes in an event, until interrupted. Any member serves it. As JSON each line is one message with the
units that changed and their new states; as a table each line is a second in which something changed.`,
		Example: `  holdfast event watch harbour-arena-last-night
  holdfast event watch evt_1 -o json --from 4711`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			w := watchPrinter{app: a}
			for changes, err := range c.Watch(cmd.Context(), eventArg(args[0]), holdfast.Revision(from)) {
				if err != nil && cmd.Context().Err() != nil {
					return nil // whoever watches ends it by interrupting
				}
				if err == nil {
					err = w.print(changes)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().Uint64Var(&from, "from", 0, "first revision wanted; 0 begins with the state of all units")
	return c
}

// watchPrinter keeps the counters that a watcher can work out from the changes.
type watchPrinter struct {
	app     *app
	states  []holdfast.SeatState // empty when the watch began in the middle
	counts  [holdfast.SeatStates]int
	changed int // since the last line
	printed time.Time
}

type changesOut struct {
	Revision holdfast.Revision `json:"revision"`
	Index    uint64            `json:"index"`
	Sale     string            `json:"sale"`
	Cut      bool              `json:"cut,omitempty"`
	Counts   *countsOut        `json:"counts,omitempty"`
	Seats    []seatChangeOut   `json:"seats,omitempty"`
}

type seatChangeOut struct {
	Seat  holdfast.SeatIndex `json:"seat"`
	State string             `json:"state"`
}

func (w *watchPrinter) print(c client.Changes) error {
	if c.Cut {
		w.states, w.counts = c.States, [holdfast.SeatStates]int{}
		for _, s := range c.States {
			w.counts[s]++
		}
	}
	out := changesOut{Revision: c.Revision, Index: c.Stamp.Index, Sale: c.Sale.String(), Cut: c.Cut}
	for i, seat := range c.Seats {
		if int(seat) < len(w.states) {
			w.counts[w.states[seat]]--
			w.states[seat] = c.SeatStates[i]
			w.counts[w.states[seat]]++
		}
		out.Seats = append(out.Seats, seatChangeOut{seat, c.SeatStates[i].String()})
	}
	w.changed += len(c.Seats)
	if len(w.states) > 0 {
		n := countsOf(client.Counts{Free: w.counts[holdfast.Free], Held: w.counts[holdfast.Held], Paying: w.counts[holdfast.Paying],
			Sold: w.counts[holdfast.Sold], Blocked: w.counts[holdfast.Blocked]})
		out.Counts = &n
	}
	if w.app.format == formatJSON {
		return printLine(w.app.out, out)
	}
	return w.line(out)
}

// line prints at most one line a second, and none when nothing changed.
func (w *watchPrinter) line(o changesOut) error {
	if !o.Cut && (w.changed == 0 || time.Since(w.printed) < time.Second) {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  revision %d  sale %s  changed %d", time.Now().Format(time.TimeOnly), o.Revision, o.Sale, w.changed)
	if n := o.Counts; n != nil {
		fmt.Fprintf(&b, "  free %d  held %d  paying %d  sold %d  blocked %d", n.Free, n.Held, n.Paying, n.Sold, n.Blocked)
	}
	w.changed, w.printed = 0, time.Now()
	_, err := fmt.Fprintln(w.app.out, b.String())
	return err
}

// layoutOf names an event's units. It is a help for people, so an event that cannot be read costs the names only.
func layoutOf(ctx context.Context, c *client.Client, event client.EventRef) *command.Layout {
	e, err := c.Event(ctx, event, client.AllowStale())
	if err != nil {
		return nil
	}
	return e.Layout
}

var errNoSuchUnit = errors.New("there is no such unit")
