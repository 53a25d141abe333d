package main

import (
	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func (a *app) orderInvoice() *cobra.Command {
	var repeat string
	c := &cobra.Command{
		Use:   "invoice EVENT HOLD",
		Short: "Sell a hold to a buyer who pays by invoice",
		Long: `Sell a hold to a buyer who pays by invoice: the seats are sold and the tickets valid at once, and the payment provider is
not asked for anything. The event's checkout rules must allow it with invoices: true. What it costs, fees and tax included,
stands in the order; that the invoice is paid is yours to see to.`,
		Example: `  holdfast hold create harbour-arena-last-night --buyer acme --best 8
  holdfast order invoice harbour-arena-last-night hold_0000018b0a5e4f1c9d2a6b3c8e7f0011`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			hold, err := holdfast.ParseHoldID(args[1])
			if err != nil {
				return err
			}
			id, err := parseCommandFlag(cmd, repeat)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			event, err := c.Event(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			a.layout = event.Layout
			return a.invoice(cmd, c, event.EventRef, hold, id)
		},
	}
	commandFlag(c, &repeat)
	return c
}

func (a *app) invoice(cmd *cobra.Command, c *client.Client, event client.EventRef, hold holdfast.HoldID, id holdfast.CommandID) error {
	h, err := c.GetHold(cmd.Context(), event, hold)
	if err != nil {
		return err
	}
	amount := h.Amount // of an order: selling again in the same way gives the same order, and in another is refused
	if h.State != holdfast.HoldSold {
		q, err := c.Quote(cmd.Context(), event, hold, holdfast.PromoCode{})
		if err != nil {
			return err
		}
		if q.Mode != 0 {
			amount = q.Total
		}
	}
	if _, err := c.Sell(cmd.Context(), client.SellRequest{ID: id, Event: event, Hold: hold, As: command.SaleInvoiced, Amount: amount}); err != nil {
		return err
	}
	o, err := c.GetOrder(cmd.Context(), event, hold.Order())
	if err != nil {
		return err
	}
	return a.print(orderOutOf(o, a.layout))
}
