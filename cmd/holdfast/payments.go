package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

func (a *app) paymentsCommand() *cobra.Command {
	c := &cobra.Command{Use: "payments", Short: "See what is owed to buyers and the payment provider, repeat it, reconcile"}
	c.AddCommand(a.paymentsStatus(), a.paymentsEffects(), a.paymentsRetry(), a.paymentsReconcile(), a.paymentsResume(), a.paymentsSandbox())
	return c
}

func (a *app) paymentsStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status [EVENT…]",
		Short: "Show what is owed, what is parked, and the books of each event",
		Long: `Show what the shards owe the world, by kind, and the books of each event, of all events or of those that are named.
It ends with exit code 3 when something is parked: nobody tries it any more until payments retry.`,
		Example: `  holdfast payments status
  holdfast payments status harbour-arena-last-night -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			events, err := eventsNamed(cmd, c, args)
			if err != nil {
				return err
			}
			out, err := paymentsStatusOf(cmd, c, events)
			if err != nil {
				return err
			}
			if err := a.print(out); err != nil {
				return err
			}
			for _, e := range out.Effects {
				if e.Parked > 0 {
					return &checkFailed{"something is parked: see payments effects --parked, mend the cause, then payments retry"}
				}
			}
			return nil
		},
	}
}

// eventsNamed gives the events that are named; without a name, all.
func eventsNamed(cmd *cobra.Command, c *client.Client, names []string) (events []client.EventRef, err error) {
	if len(names) == 0 {
		all, err := c.Events(cmd.Context())
		for _, e := range all {
			events = append(events, e.EventRef)
		}
		return events, err
	}
	for _, name := range names {
		e, err := c.Locate(cmd.Context(), eventArg(name))
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// shardsOf gives the shards of some events, each once.
func shardsOf(events []client.EventRef) (shards []holdfast.ShardID) {
	for _, e := range events {
		if !slices.Contains(shards, e.Shard) {
			shards = append(shards, e.Shard)
		}
	}
	slices.Sort(shards)
	return shards
}

func paymentsStatusOf(cmd *cobra.Command, c *client.Client, events []client.EventRef) (out paymentsStatusOut, err error) {
	byKind := map[holdfast.EffectKind]*effectCountOut{}
	for _, shard := range shardsOf(events) {
		for e, err := range c.Effects(cmd.Context(), shard) {
			if err != nil {
				return out, err
			}
			if !slices.ContainsFunc(events, func(ref client.EventRef) bool { return ref.ID == e.Event.ID }) {
				continue
			}
			n := byKind[e.Kind]
			if n == nil {
				n = &effectCountOut{Kind: e.Kind.String()}
				byKind[e.Kind] = n
			}
			n.add(e)
		}
	}
	out.Effects = []effectCountOut{}
	for kind := holdfast.EffectLook; kind <= holdfast.EffectNotify; kind++ {
		if n := byKind[kind]; n != nil {
			out.Effects = append(out.Effects, *n)
		}
	}
	out.Events = []ledgerOut{}
	for _, event := range events {
		book, err := c.Payments(cmd.Context(), event)
		if err != nil {
			return out, err
		}
		if len(book.Payments) > 0 {
			out.Events = append(out.Events, ledgerOutOf(event, book.Ledger, len(book.Payments)))
		}
	}
	return out, nil
}

type paymentsStatusOut struct {
	Effects []effectCountOut `json:"effects"`
	Events  []ledgerOut      `json:"events"`
}

type effectCountOut struct {
	Kind     string `json:"kind"`
	Owed     int    `json:"owed"`
	Retrying int    `json:"retrying"` // of those owed: tried before
	Parked   int    `json:"parked"`
	TriesMax int    `json:"tries_max"`
}

func (n *effectCountOut) add(e client.Effect) {
	n.TriesMax = max(n.TriesMax, e.Tries)
	switch {
	case e.Parked:
		n.Parked++
	case e.Tries > 0:
		n.Retrying++
		n.Owed++
	default:
		n.Owed++
	}
}

type ledgerOut struct {
	Event            string            `json:"event"`
	Name             string            `json:"name,omitempty"`
	Payments         int               `json:"payments"`
	Currency         holdfast.Currency `json:"currency"`
	CapturedMinor    int64             `json:"captured_minor"`
	CapturingMinor   int64             `json:"capturing_minor"`
	LiveMinor        int64             `json:"live_minor"`
	KeptMinor        int64             `json:"kept_minor"`
	OwedMinor        int64             `json:"owed_minor"`
	RefundedMinor    int64             `json:"refunded_minor"`
	ChargedBackMinor int64             `json:"charged_back_minor"`
}

func ledgerOutOf(event client.EventRef, l client.Ledger, payments int) ledgerOut {
	return ledgerOut{Event: event.ID.String(), Name: event.Name, Payments: payments, Currency: l.Currency, CapturedMinor: l.Captured, CapturingMinor: l.Capturing, LiveMinor: l.Live,
		KeptMinor: l.Kept, OwedMinor: l.Owed, RefundedMinor: l.Refunded, ChargedBackMinor: l.ChargedBack}
}

func (o paymentsStatusOut) table(w io.Writer) {
	if len(o.Effects) == 0 {
		row(w, "nothing is owed")
	} else {
		row(w, "EFFECT", "OWED", "RETRYING", "PARKED", "TRIES")
		for _, e := range o.Effects {
			row(w, e.Kind, e.Owed, e.Retrying, e.Parked, e.TriesMax)
		}
	}
	if len(o.Events) > 0 {
		row(w)
		row(w, "EVENT", "PAYMENTS", "CAPTURED", "TO CAPTURE", "LIVE", "FEES KEPT", "OWED", "REFUNDED", "CHARGED BACK")
	}
	for _, e := range o.Events {
		row(w, orElse(e.Name, e.Event), e.Payments, minor(e.CapturedMinor, e.Currency), minor(e.CapturingMinor, e.Currency), minor(e.LiveMinor, e.Currency), minor(e.KeptMinor, e.Currency),
			minor(e.OwedMinor, e.Currency), minor(e.RefundedMinor, e.Currency), minor(e.ChargedBackMinor, e.Currency))
	}
}

func minor(amount int64, c holdfast.Currency) string {
	return formatMoney(holdfast.Money{AmountMinor: amount, Currency: c})
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (a *app) paymentsEffects() *cobra.Command {
	var parked bool
	var kind string
	c := &cobra.Command{
		Use:   "effects [EVENT…]",
		Short: "List what is owed: looks, captures, cancellings, refunds, mails, notifications",
		Example: `  holdfast payments effects --parked
  holdfast payments effects harbour-arena-last-night --kind capture -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if err := knownKind(cmd, kind); err != nil {
				return err
			}
			events, err := eventsNamed(cmd, c, args)
			if err != nil {
				return err
			}
			out := effectsOut{Items: []effectOut{}}
			for _, shard := range shardsOf(events) {
				for e, err := range c.Effects(cmd.Context(), shard) {
					if err != nil {
						return err
					}
					named := slices.ContainsFunc(events, func(ref client.EventRef) bool { return ref.ID == e.Event.ID })
					if named && (!parked || e.Parked) && (kind == "" || e.Kind.String() == kind) {
						out.Items = append(out.Items, effectOutOf(e))
					}
				}
			}
			return a.print(out)
		},
	}
	c.Flags().BoolVar(&parked, "parked", false, "only those that nobody tries any more")
	c.Flags().StringVar(&kind, "kind", "", "only of this kind: look, capture, void, refund, receipt or notify")
	return c
}

func knownKind(cmd *cobra.Command, kind string) error {
	var names []string
	for k := holdfast.EffectLook; k <= holdfast.EffectNotify; k++ {
		names = append(names, k.String())
	}
	if kind != "" && !slices.Contains(names, kind) {
		return usage(cmd, "--kind: there is no %q%s", kind, didYouMean(kind, names))
	}
	return nil
}

type effectsOut struct {
	Items []effectOut `json:"items"`
}

type effectOut struct {
	Effect  string           `json:"effect"`
	Event   string           `json:"event"`
	Shard   holdfast.ShardID `json:"shard"`
	Kind    string           `json:"kind"`
	State   string           `json:"state"`
	Hold    string           `json:"hold"`
	Attempt holdfast.Attempt `json:"attempt,omitempty"`
	Payment string           `json:"payment,omitempty"`
	Amount  *holdfast.Money  `json:"amount,omitempty"`
	Topic   string           `json:"topic,omitempty"`
	Tries   int              `json:"tries"`
	Code    string           `json:"code,omitempty"`
	Latest  string           `json:"latest,omitempty"`
}

func effectOutOf(e client.Effect) effectOut {
	out := effectOut{Effect: e.ID.String(), Event: e.Event.ID.String(), Shard: e.Event.Shard, Kind: e.Kind.String(), State: holdfast.EffectOwed.String(),
		Hold: e.Hold.String(), Attempt: e.Attempt, Payment: e.Payment, Tries: e.Tries, Code: e.Code}
	if e.Parked {
		out.State = holdfast.EffectParked.String()
	}
	if e.Amount.AmountMinor != 0 {
		out.Amount = &e.Amount
	}
	if e.Topic != 0 {
		out.Topic = e.Topic.String()
	}
	if !e.Latest.IsZero() {
		out.Latest = e.Latest.UTC().Format(timeLayout)
	}
	return out
}

func (o effectsOut) table(w io.Writer) {
	row(w, "EFFECT", "EVENT", "KIND", "STATE", "HOLD", "PAYMENT", "AMOUNT", "TRIES", "LAST")
	for _, e := range o.Items {
		amount := ""
		if e.Amount != nil {
			amount = formatMoney(*e.Amount)
		}
		row(w, e.Effect, e.Event, e.Kind, e.State, e.Hold, e.Payment, amount, e.Tries, e.Code)
	}
}

func (a *app) paymentsRetry() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "retry EVENT [EFFECT…]",
		Short: "Have effects tried again: those that are named, or with --all every one that is parked",
		Example: `  holdfast payments retry harbour-arena-last-night eff_712
  holdfast payments retry harbour-arena-last-night --all`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 1) {
				return usage(cmd, "name effects, or give --all")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			event, err := c.Locate(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			ids, err := effectArgs(cmd, c, event, args[1:])
			if err != nil {
				return err
			}
			out := retriedOut{Event: event.ID.String(), Effects: []string{}}
			for _, id := range ids {
				if err := c.RetryEffect(cmd.Context(), event, id); err != nil {
					return err
				}
				out.Effects = append(out.Effects, id.String())
			}
			return a.print(out)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every effect of the event that is parked")
	return c
}

// effectArgs reads effects; without any, it gives those that are parked.
func effectArgs(cmd *cobra.Command, c *client.Client, event client.EventRef, args []string) (ids []holdfast.EffectID, err error) {
	for _, arg := range args {
		id, err := holdfast.ParseEffectID(arg)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(args) > 0 {
		return ids, nil
	}
	for e, err := range c.Effects(cmd.Context(), event.Shard) {
		if err != nil {
			return nil, err
		}
		if e.Parked && e.Event.ID == event.ID {
			ids = append(ids, e.ID)
		}
	}
	return ids, nil
}

type retriedOut struct {
	Event   string   `json:"event"`
	Effects []string `json:"effects"`
}

func (o retriedOut) table(w io.Writer) {
	if len(o.Effects) == 0 {
		row(w, "nothing is parked")
	}
	for _, e := range o.Effects {
		row(w, e, "is tried again")
	}
}

func (a *app) paymentsResume() *cobra.Command {
	var incarnation uint32
	c := &cobra.Command{
		Use:   "resume EVENT --incarnation N",
		Short: "Let a restored shard take payments again, once its events are reconciled",
		Long: `Let the shard of an event take payments again. After a restore the shard has a new incarnation: what it owed before is
parked, and no payment begins, because the backup does not know what happened after it. Reconcile every event of the
shard first, repair what differs, then resume and have what is parked tried again.`,
		Example: `  holdfast payments reconcile harbour-arena-last-night --payments stripe --repair
  holdfast payments resume harbour-arena-last-night --incarnation 2
  holdfast payments retry harbour-arena-last-night --all`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if incarnation == 0 {
				return usage(cmd, "--incarnation: the one that payments reconcile told")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			event, err := c.Locate(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			if err := c.SetIncarnation(cmd.Context(), event.Shard, holdfast.Incarnation(incarnation), true); err != nil {
				return err
			}
			return a.print(resumedOut{Shard: event.Shard, Incarnation: incarnation})
		},
	}
	c.Flags().Uint32Var(&incarnation, "incarnation", 0, "the shard's present incarnation, so that nobody resumes another life than was reconciled")
	return c
}

type resumedOut struct {
	Shard       holdfast.ShardID `json:"shard"`
	Incarnation uint32           `json:"incarnation"`
}

func (o resumedOut) table(w io.Writer) {
	row(w, fmt.Sprintf("shard %d takes payments again, in incarnation %d", o.Shard, o.Incarnation))
}
