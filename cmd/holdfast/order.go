package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func (a *app) orderCommand() *cobra.Command {
	c := &cobra.Command{Use: "order", Short: "Look at orders"}
	c.AddCommand(a.orderShow())
	return c
}

func (a *app) orderShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show EVENT ORDER",
		Short:   "Show an order",
		Example: `  holdfast order show evt_1 ord_0000018b0a5e4f1c9d2a6b3c8e7f0011`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := holdfast.ParseOrderID(args[1])
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			o, err := c.GetOrder(cmd.Context(), eventArg(args[0]), id)
			if err != nil {
				return err
			}
			return a.print(orderOutOf(o, layoutOf(cmd.Context(), c, o.Event)))
		},
	}
}

type orderOut struct {
	Order   string           `json:"order"`
	Event   string           `json:"event"`
	Buyer   string           `json:"buyer"`
	Seats   []seatOut        `json:"seats"`
	Amount  holdfast.Money   `json:"amount"`
	As      string           `json:"as"`
	Payment string           `json:"payment,omitempty"`
	Attempt holdfast.Attempt `json:"attempt,omitempty"`
	SoldAt  string           `json:"sold_at"`
	Shard   holdfast.ShardID `json:"shard"`
	Index   uint64           `json:"index"`
}

var saleWords = map[command.SaleKind]string{command.SalePaid: "paid", command.SaleFree: "free", command.SaleInvoiced: "invoiced"}

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

func orderOutOf(o client.Order, layout *command.Layout) orderOut {
	return orderOut{Order: o.ID.String(), Event: o.Event.ID.String(), Buyer: o.Buyer.String(), Seats: seatsOf(layout, o.Seats), Amount: o.Amount,
		As: saleWords[o.As], Payment: o.Payment, Attempt: o.Attempt, SoldAt: o.SoldAt.UTC().Format(timeLayout), Shard: o.Stamp.Shard, Index: o.Stamp.Index}
}

func (o orderOut) table(w io.Writer) {
	row(w, "order", o.Order)
	row(w, "event", o.Event)
	row(w, "buyer", o.Buyer)
	row(w, "amount", formatMoney(o.Amount))
	row(w, "as", o.As)
	if o.Payment != "" {
		row(w, "payment", o.Payment)
	}
	row(w, "sold at", o.SoldAt)
	for _, s := range o.Seats {
		row(w, "seat", s)
	}
}
