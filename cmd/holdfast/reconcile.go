package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/settle"
)

func (a *app) paymentsReconcile() *cobra.Command {
	var provider providerFlags
	var span settle.Span
	c := &cobra.Command{
		Use:   "reconcile EVENT --payments stripe|sandbox",
		Short: "Compare the payment provider's list with the order book, both ways",
		Long: `Compare what the payment provider says of all payments that carry this cluster's name with what the event's shard
says, and name every difference with what mends it. In a healthy system there is none, and what is under way is counted
apart; a difference counts when a second look, seconds later, finds it again. It ends with exit code 3 when anything
differs.`,
		Example: `  holdfast payments reconcile harbour-arena-last-night --payments stripe
  holdfast payments reconcile harbour-arena-last-night --payments stripe --repair -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := provider.open(cmd, false)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			host, _ := os.Hostname()
			w, err := settle.New(cmd.Context(), settle.Config{Client: c, Provider: p, Limits: provider.limits(), Name: "reconcile/" + host + "/" + strconv.Itoa(os.Getpid())})
			if err != nil {
				return err
			}
			defer w.Close()
			report, err := w.Reconcile(cmd.Context(), eventArg(args[0]), span)
			if err != nil {
				return err
			}
			if err := a.print(reportOutOf(report)); err != nil {
				return err
			}
			if n := len(report.Differences); n > 0 {
				return &checkFailed{fmt.Sprintf("%d differences between the provider and the order book", n)}
			}
			return nil
		},
	}
	provider.add(c)
	c.Flags().DurationVar(&span.Since, "since", 7*24*time.Hour, "how far back the provider's list is read at least; older payments that the shard knows are found in any case")
	c.Flags().BoolVar(&span.Repair, "repair", false, "look again at what another look mends")
	return c
}

type reportOut struct {
	Event         string          `json:"event"`
	Name          string          `json:"name,omitempty"`
	From          string          `json:"from"`
	Index         uint64          `json:"index"`
	Incarnation   uint32          `json:"incarnation"`
	Known         int             `json:"known"`
	Listed        int             `json:"listed"`
	Settling      int             `json:"settling"`
	Ledger        ledgerOut       `json:"ledger"`
	CapturedMinor int64           `json:"provider_captured_minor"`
	RefundedMinor int64           `json:"provider_refunded_minor"`
	Differences   []differenceOut `json:"differences"`
}

type differenceOut struct {
	Kind          string            `json:"kind"`
	Payment       string            `json:"payment,omitempty"`
	Order         string            `json:"order"`
	Attempt       holdfast.Attempt  `json:"attempt"`
	Shard         string            `json:"shard_state,omitempty"`
	Provider      string            `json:"provider_state,omitempty"`
	ShardMinor    int64             `json:"shard_minor"`
	ProviderMinor int64             `json:"provider_minor"`
	Currency      holdfast.Currency `json:"currency"`
	Effect        string            `json:"effect,omitempty"`
	Repair        string            `json:"repair"`
	Repaired      bool              `json:"repaired"`
}

func reportOutOf(r settle.Report) reportOut {
	out := reportOut{Event: r.Event.ID.String(), Name: r.Event.Name, From: r.From.UTC().Format(timeLayout), Index: r.Index, Incarnation: uint32(r.Incarnation),
		Known: r.Known, Listed: r.Listed, Settling: r.Settling, Ledger: ledgerOutOf(r.Event, r.Ledger, r.Known),
		CapturedMinor: r.Captured, RefundedMinor: r.Refunded, Differences: []differenceOut{}}
	for _, d := range r.Differences {
		o := differenceOut{Kind: string(d.Kind), Payment: string(d.Payment), Order: d.Hold.Order().String(), Attempt: d.Attempt, ShardMinor: d.ShardMinor,
			ProviderMinor: d.ProviderMinor, Currency: d.Currency, Repair: d.Repair, Repaired: d.Repaired}
		if d.Shard != 0 {
			o.Shard = d.Shard.String()
		}
		if d.Provider != 0 {
			o.Provider = d.Provider.String()
		}
		if d.Effect != 0 {
			o.Effect = d.Effect.String()
		}
		out.Differences = append(out.Differences, o)
	}
	return out
}

func (o reportOut) table(w io.Writer) {
	c := o.Ledger.Currency
	row(w, "event", orElse(o.Name, o.Event))
	row(w, "payments", fmt.Sprintf("%d in the books, %d at the provider since %s, %d under way", o.Known, o.Listed, o.From, o.Settling))
	row(w, "captured", fmt.Sprintf("%s in the books, %s at the provider", minor(o.Ledger.CapturedMinor, c), minor(o.CapturedMinor, c)))
	row(w, "refunded", fmt.Sprintf("%s in the books, %s at the provider, %s owed", minor(o.Ledger.RefundedMinor, c), minor(o.RefundedMinor, c), minor(o.Ledger.OwedMinor, c)))
	row(w, "differences", len(o.Differences))
	for _, d := range o.Differences {
		row(w)
		row(w, d.Kind, orElse(d.Payment, "no payment"))
		row(w, "  order", fmt.Sprintf("%s, attempt %d", d.Order, d.Attempt))
		row(w, "  books", fmt.Sprintf("%s, %s", orElse(d.Shard, "unknown"), minor(d.ShardMinor, d.Currency)))
		row(w, "  provider", fmt.Sprintf("%s, %s", orElse(d.Provider, "unknown"), minor(d.ProviderMinor, d.Currency)))
		mend := d.Repair
		if d.Repaired {
			mend = "looked again: the shard has been told"
		}
		row(w, "  what mends it", mend)
	}
}
