package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func (a *app) holdCommand() *cobra.Command {
	c := &cobra.Command{Use: "hold", Short: "Hold units for a buyer, look at holds, give them back"}
	c.AddCommand(a.holdCreate(), a.holdShow(), a.holdRelease())
	return c
}

// buyerArg reads a buyer: buyer_ and 32 hex digits, or any other text, which stands for its hash. Without any it
// draws one.
func buyerArg(text string) (id holdfast.BuyerID) {
	if text == "" {
		_, _ = rand.Read(id[:]) // crypto/rand does not fail
		return id
	}
	if id, err := holdfast.ParseBuyerID(text); err == nil {
		return id
	}
	sum := sha256.Sum256([]byte(text))
	copy(id[:], sum[:])
	return id
}

// wantFlags say what to hold.
type wantFlags struct {
	seats      []string
	best       uint8
	places     uint8
	section    string
	tier       string
	apart      bool
	allocation string
}

func (f *wantFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.seats, "seat", nil, "a seat, as SECTION/ROW/NUMBER; can be repeated")
	c.Flags().Uint8Var(&f.best, "best", 0, "this many of the best free seats, side by side")
	c.Flags().BoolVar(&f.apart, "apart", false, "with --best: the seats need not be side by side")
	c.Flags().Uint8Var(&f.places, "places", 0, "this many places of a section without seats")
	c.Flags().StringVar(&f.section, "section", "", "for --best and --places: in this section")
	c.Flags().StringVar(&f.tier, "tier", "", "for --best: in this price tier")
	c.Flags().StringVar(&f.allocation, "allocation", "", "hold from this allocation instead of what is public")
}

// wants turns the flags into what the event understands.
func (f *wantFlags) wants(cmd *cobra.Command, e *client.Event) (wants []command.Want, allocation holdfast.AllocationIndex, err error) {
	section, tier := holdfast.AnySection, holdfast.AnyTier
	if f.section != "" {
		i, err := nameIn(cmd, "section", f.section, len(e.Spec.Sections), func(i int) string { return e.Spec.Sections[i].Name })
		if err != nil {
			return nil, 0, err
		}
		section = holdfast.SectionIndex(i)
	}
	if f.tier != "" {
		i, err := nameIn(cmd, "tier", f.tier, len(e.Spec.Tiers), func(i int) string { return e.Spec.Tiers[i].Name })
		if err != nil {
			return nil, 0, err
		}
		tier = holdfast.TierIndex(i)
	}
	if f.allocation != "" {
		i, err := nameIn(cmd, "allocation", f.allocation, len(e.Spec.Allocations), func(i int) string { return e.Spec.Allocations[i].Name })
		if err != nil {
			return nil, 0, err
		}
		allocation = holdfast.AllocationIndex(i + 1)
	}
	if len(f.seats) > 0 {
		want := command.Want{Kind: command.WantSeats}
		for _, text := range f.seats {
			seat, err := seatArg(e, text)
			if err != nil {
				return nil, 0, usage(cmd, "--seat: %v", err)
			}
			want.Seats = append(want.Seats, seat)
		}
		wants = append(wants, want)
	}
	if f.best > 0 {
		wants = append(wants, command.Want{Kind: command.WantBest, Section: section, Tier: tier, Count: f.best, Adjacent: !f.apart})
	}
	if f.places > 0 {
		if section == holdfast.AnySection {
			return nil, 0, usage(cmd, "--places needs --section")
		}
		wants = append(wants, command.Want{Kind: command.WantGeneral, Section: section, Count: f.places})
	}
	if len(wants) == 0 {
		return nil, 0, usage(cmd, "nothing is wanted: give --seat, --best or --places")
	}
	return wants, allocation, nil
}

// nameIn finds a name of the event, or says which one may be meant.
func nameIn(cmd *cobra.Command, noun, name string, n int, at func(int) string) (int, error) {
	names := make([]string, n)
	for i := range names {
		if names[i] = at(i); names[i] == name {
			return i, nil
		}
	}
	return 0, usage(cmd, "the event has no %s %q%s", noun, name, didYouMean(name, names))
}

// seatArg finds a seat by what stands on it.
func seatArg(e *client.Event, text string) (holdfast.SeatIndex, error) {
	section, rest, ok1 := strings.Cut(text, "/")
	label, digits, ok2 := strings.Cut(rest, "/")
	number, err := strconv.ParseUint(digits, 10, 16)
	if !ok1 || !ok2 || err != nil {
		return 0, fmt.Errorf("%q is not a seat like 101/A/12", text)
	}
	for s := range e.Spec.Sections {
		sec := &e.Spec.Sections[s]
		if sec.Name != section {
			continue
		}
		for r, row := range sec.Rows {
			if row.Label != label || number < uint64(row.First) {
				continue
			}
			if seat, ok := e.Layout.Unit(command.Place{Section: holdfast.SectionIndex(s), Row: r, Seat: uint32(number) - uint32(row.First)}); ok {
				return seat, nil
			}
		}
	}
	return 0, fmt.Errorf("%q: %w", text, errNoSuchUnit)
}

// commandFlag lets a command be repeated whose outcome is unknown.
func commandFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "command", "", "repeat the command with this id, whose outcome was unknown")
}

func parseCommandFlag(cmd *cobra.Command, text string) (id holdfast.CommandID, err error) {
	if text != "" {
		if id, err = holdfast.ParseCommandID(text); err != nil {
			return id, usage(cmd, "--command: %v", err)
		}
	}
	return id, nil
}

func (a *app) holdCreate() *cobra.Command {
	var buyer, id string
	var want wantFlags
	c := &cobra.Command{
		Use:   "create EVENT",
		Short: "Hold units for a buyer: all that are wanted, or none",
		Example: `  holdfast hold create harbour-arena-last-night --buyer ada --best 2 --tier "lower bowl"
  holdfast hold create evt_1 --buyer ada --seat 105/C/7 --seat 105/C/8
  holdfast hold create evt_1 --buyer ada --places 2 --section Floor`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			commandID, err := parseCommandFlag(cmd, id)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			e, err := c.Event(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			a.layout = e.Layout
			wants, allocation, err := want.wants(cmd, &e)
			if err != nil {
				return err
			}
			h, err := c.Hold(cmd.Context(), client.HoldRequest{ID: commandID, Event: e.EventRef, Buyer: buyerArg(buyer), Allocation: allocation, Wants: wants})
			if err != nil {
				return err
			}
			return a.print(holdOutOf(h, e.Layout))
		},
	}
	c.Flags().StringVar(&buyer, "buyer", "", "whose hold it is: buyer_… or any text, which stands for its hash; drawn when not given")
	want.add(c)
	commandFlag(c, &id)
	return c
}

func (a *app) holdShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show EVENT HOLD",
		Short:   "Show a hold",
		Example: `  holdfast hold show evt_1 hold_0000018b0a5e4f1c9d2a6b3c8e7f0011`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := holdfast.ParseHoldID(args[1])
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			h, err := c.GetHold(cmd.Context(), eventArg(args[0]), id)
			if err != nil {
				return err
			}
			return a.print(holdOutOf(h, layoutOf(cmd.Context(), c, h.Event)))
		},
	}
}

func (a *app) holdRelease() *cobra.Command {
	var buyer, id string
	c := &cobra.Command{
		Use:     "release EVENT HOLD --buyer BUYER",
		Short:   "Give an open hold's units back",
		Example: `  holdfast hold release evt_1 hold_0000018b0a5e4f1c9d2a6b3c8e7f0011 --buyer ada`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if buyer == "" {
				return usage(cmd, "whose hold? give --buyer, as it was given to create")
			}
			hold, err := holdfast.ParseHoldID(args[1])
			if err != nil {
				return err
			}
			commandID, err := parseCommandFlag(cmd, id)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			err = c.Release(cmd.Context(), client.HoldRef{ID: commandID, Event: eventArg(args[0]), Buyer: buyerArg(buyer), Hold: hold})
			if err != nil {
				return err
			}
			return a.print(releasedOut{Hold: hold.String(), State: "released"})
		},
	}
	c.Flags().StringVar(&buyer, "buyer", "", "whose hold it is, as given to create")
	commandFlag(c, &id)
	return c
}

type releasedOut struct {
	Hold  string `json:"hold"`
	State string `json:"state"`
}

func (o releasedOut) table(w io.Writer) { row(w, o.Hold, o.State) }

type holdOut struct {
	Hold        string           `json:"hold"`
	Event       string           `json:"event"`
	Buyer       string           `json:"buyer"`
	State       string           `json:"state"`
	Seats       []seatOut        `json:"seats"`
	Amount      holdfast.Money   `json:"amount"`
	RemainingMs int64            `json:"remaining_ms"`
	Attempt     holdfast.Attempt `json:"attempt,omitempty"`
	Extended    bool             `json:"extended,omitempty"`
	Allowance   int              `json:"allowance,omitempty"`
	Repeated    bool             `json:"repeated,omitempty"`
	Shard       holdfast.ShardID `json:"shard"`
	Index       uint64           `json:"index"`
}

func holdOutOf(h client.Hold, layout *command.Layout) holdOut {
	return holdOut{Hold: h.ID.String(), Event: h.Event.ID.String(), Buyer: h.Buyer.String(), State: h.State.String(), Seats: seatsOf(layout, h.Seats),
		Amount: h.Amount, RemainingMs: h.Remaining.Milliseconds(), Attempt: h.Attempt, Extended: h.Extended, Allowance: h.Allowance,
		Repeated: h.Repeated, Shard: h.Stamp.Shard, Index: h.Stamp.Index}
}

func (o holdOut) table(w io.Writer) {
	row(w, "hold", o.Hold)
	row(w, "event", o.Event)
	row(w, "buyer", o.Buyer)
	row(w, "state", o.State)
	row(w, "amount", formatMoney(o.Amount))
	row(w, "remaining", (time.Duration(o.RemainingMs) * time.Millisecond).Round(time.Second))
	if o.Repeated {
		row(w, "repeated", "yes: the command was executed before")
	}
	for _, s := range o.Seats {
		row(w, "seat", s)
	}
}
