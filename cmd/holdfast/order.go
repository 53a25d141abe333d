package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func (a *app) orderCommand() *cobra.Command {
	c := &cobra.Command{Use: "order", Short: "Look at orders, find them, refund them"}
	c.AddCommand(a.orderShow(), a.orderList(), a.orderFind(), a.orderRefund(), a.orderInvoice())
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

	State            string         `json:"state"`
	Lines            []orderLineOut `json:"lines,omitempty"`
	Refunded         []seatOut      `json:"refunded,omitempty"` // of seats
	CapturedMinor    int64          `json:"captured_minor"`
	OwedMinor        int64          `json:"owed_minor"`
	RefundedMinor    int64          `json:"refunded_minor"`
	ChargedBackMinor int64          `json:"charged_back_minor"`
	Disputed         bool           `json:"disputed"`
	Contact          string         `json:"contact,omitempty"`
	Promo            string         `json:"promo,omitempty"`
}

type orderLineOut struct {
	Kind        string `json:"kind"`
	AmountMinor int64  `json:"amount_minor"`
}

var saleWords = map[command.SaleKind]string{command.SalePaid: "paid", command.SaleFree: "free", command.SaleInvoiced: "invoiced"}

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

func orderOutOf(o client.Order, layout *command.Layout) orderOut {
	out := orderOut{Order: o.ID.String(), Event: o.Event.ID.String(), Buyer: o.Buyer.String(), Seats: seatsOf(layout, o.Seats), Amount: o.Amount,
		As: saleWords[o.As], Payment: o.Payment, Attempt: o.Attempt, SoldAt: o.SoldAt.UTC().Format(timeLayout), Shard: o.Stamp.Shard, Index: o.Stamp.Index,
		State: o.State.String(), CapturedMinor: o.CapturedMinor, OwedMinor: o.OwedMinor, RefundedMinor: o.RefundedMinor, ChargedBackMinor: o.ChargedBackMinor,
		Disputed: o.Disputed}
	for _, l := range o.Lines {
		out.Lines = append(out.Lines, orderLineOut{l.Kind.String(), l.AmountMinor})
	}
	if len(o.Refunded) > 0 {
		out.Refunded = seatsOf(layout, o.Refunded)
	}
	if o.Contact != (holdfast.ContactID{}) {
		out.Contact = o.Contact.String()
	}
	if o.Promo != (holdfast.PromoCode{}) {
		out.Promo = o.Promo.String()
	}
	return out
}

func (o orderOut) table(w io.Writer) {
	money := func(name string, amount int64) {
		if amount != 0 {
			row(w, name, minor(amount, o.Amount.Currency))
		}
	}
	row(w, "order", o.Order)
	row(w, "event", o.Event)
	row(w, "buyer", o.Buyer)
	state := o.State
	if o.Disputed {
		state += ", disputed: the ticket is suspended"
	}
	row(w, "state", state)
	row(w, "amount", formatMoney(o.Amount))
	for _, l := range o.Lines {
		row(w, "  "+strings.ReplaceAll(l.Kind, "_", " "), minor(l.AmountMinor, o.Amount.Currency))
	}
	row(w, "as", o.As)
	if o.Payment != "" {
		row(w, "payment", o.Payment)
	}
	money("captured", o.CapturedMinor)
	money("refund owed", o.OwedMinor)
	money("refunded", o.RefundedMinor)
	money("charged back", o.ChargedBackMinor)
	row(w, "sold at", o.SoldAt)
	for _, s := range o.Seats {
		if slices.Contains(o.Refunded, s) {
			row(w, "seat", s.String()+", refunded")
			continue
		}
		row(w, "seat", s)
	}
}

func (a *app) orderList() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "list EVENT",
		Short: "List an event's orders, in the order in which they were sold",
		Long: `List an event's orders from one consistent cut, in the order in which they were sold. With -o json each order is a
line of its own, so that a large event streams.`,
		Example: `  holdfast order list harbour-arena-last-night --state unpaid
  holdfast order list harbour-arena-last-night -o json | wc -l`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := knownState(cmd, state); err != nil {
				return err
			}
			return a.printOrders(cmd, args[0], holdfast.ContactID{}, func(o client.Order) bool { return state == "" || o.State.String() == state })
		},
	}
	c.Flags().StringVar(&state, "state", "", "only in this state: capturing, paid, unpaid, refunded or cancelled")
	return c
}

func knownState(cmd *cobra.Command, state string) error {
	var names []string
	for s := holdfast.OrderCapturing; s <= holdfast.OrderCancelled; s++ {
		names = append(names, s.String())
	}
	if state != "" && !slices.Contains(names, state) {
		return usage(cmd, "--state: there is no %q%s", state, didYouMean(state, names))
	}
	return nil
}

// printOrders prints the orders of an event that are wanted, as they come.
func (a *app) printOrders(cmd *cobra.Command, event string, contact holdfast.ContactID, want func(client.Order) bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ref, err := c.Locate(cmd.Context(), eventArg(event))
	if err != nil {
		return err
	}
	layout := layoutOf(cmd.Context(), c, ref)
	orders := c.Orders(cmd.Context(), ref)
	if contact != (holdfast.ContactID{}) {
		orders = c.OrdersOf(cmd.Context(), ref, contact)
	}
	out := ordersOut{}
	for o, err := range orders {
		if err != nil {
			return err
		}
		if !want(o) {
			continue
		}
		if a.format == formatJSON {
			if err := printLine(a.out, orderOutOf(o, layout)); err != nil {
				return err
			}
			continue
		}
		out.items = append(out.items, orderOutOf(o, layout))
	}
	if a.format == formatJSON {
		return nil
	}
	return a.print(out)
}

type ordersOut struct{ items []orderOut }

func (o ordersOut) table(w io.Writer) {
	row(w, "ORDER", "STATE", "AMOUNT", "SEATS", "SOLD AT", "PAYMENT")
	for _, item := range o.items {
		state := item.State
		if item.Disputed {
			state += ", disputed"
		}
		row(w, item.Order, state, formatMoney(item.Amount), len(item.Seats)-len(item.Refunded), item.SoldAt, item.Payment)
	}
}

func (a *app) orderFind() *cobra.Command {
	var contact, payment, buyer, keys string
	var mail bool
	c := &cobra.Command{
		Use:   "find EVENT --mail | --contact CONTACT | --payment REFERENCE | --buyer BUYER",
		Short: "Find orders by who bought them or how they were paid",
		Long: `Find orders by the buyer's mail address, which is read from standard input, so that it stands in no list of processes; by
the keyed hash of one, as order show prints it; by the payment provider's reference; or by the buyer that limits count on.
The shard knows no mail address: for --mail the frontends' master keys are needed.`,
		Example: `  holdfast order find harbour-arena-last-night --mail --person-keys /etc/holdfast/fleet < address.txt
  holdfast order find harbour-arena-last-night --payment pi_3Mt1abc
  holdfast order find harbour-arena-last-night --contact contact_5f0c2b7d9a1e4c3f8b6d0e2a4c6f8091 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := 0
			for _, flag := range []string{contact, payment, buyer} {
				if flag != "" {
					given++
				}
			}
			if mail {
				given++
			}
			if given != 1 {
				return usage(cmd, "give one of --mail, --contact, --payment and --buyer")
			}
			var id holdfast.ContactID
			if contact != "" {
				var err error
				if id, err = holdfast.ParseContactID(contact); err != nil {
					return err
				}
			}
			if mail {
				var err error
				if id, err = a.contactOfMail(cmd, args[0], keys); err != nil {
					return err
				}
			}
			return a.printOrders(cmd, args[0], id, func(o client.Order) bool {
				return mail || contact != "" || payment != "" && o.Payment == payment || buyer != "" && o.Buyer == buyerArg(buyer)
			})
		},
	}
	c.Flags().BoolVar(&mail, "mail", false, "the address that is read from standard input")
	c.Flags().StringVar(&keys, "person-keys", os.Getenv(personKeysEnv), "file with the master keys, for --mail; also from "+personKeysEnv)
	c.Flags().StringVar(&contact, "contact", "", "the keyed hash of a mail address")
	c.Flags().StringVar(&payment, "payment", "", "the payment provider's reference")
	c.Flags().StringVar(&buyer, "buyer", "", "the buyer, as for hold create")
	return c
}

func (a *app) orderRefund() *cobra.Command {
	var seats []string
	var keep bool
	var reason, repeat string
	c := &cobra.Command{
		Use:   "refund EVENT ORDER",
		Short: "Give the money for an order, or for some of its seats, back",
		Long: `Give the money for an order, or for some of its seats, back. The refund is owed from the moment this command answers;
a settlement worker makes it at the payment provider. The seats go back on sale at once, unless --keep-seats.

With --reason buyer the event's rules decide whether fees are kept; with --reason organizer fees go back too.`,
		Example: `  holdfast order refund harbour-arena-last-night ord_0000018b0a5e4f1c9d2a6b3c8e7f0011
  holdfast order refund house ord_0000018b0a5e4f1c9d2a6b3c8e7f0011 --seat Stalls/A/2 --reason organizer --keep-seats`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := client.RefundRequest{ReturnSeats: !keep}
			var err error
			if q.Order, err = holdfast.ParseOrderID(args[1]); err != nil {
				return err
			}
			switch reason {
			case holdfast.RefundBuyer.String():
				q.Reason = holdfast.RefundBuyer
			case holdfast.RefundOrganizer.String():
				q.Reason = holdfast.RefundOrganizer
			default:
				return usage(cmd, "--reason is buyer or organizer, not %q", reason)
			}
			if repeat != "" {
				if q.ID, err = holdfast.ParseCommandID(repeat); err != nil {
					return err
				}
			}
			return a.refund(cmd, args[0], q, seats)
		},
	}
	c.Flags().StringArrayVar(&seats, "seat", nil, "only this seat, as SECTION/ROW/NUMBER; can be repeated")
	c.Flags().BoolVar(&keep, "keep-seats", false, "the seats stay off sale")
	c.Flags().StringVar(&reason, "reason", holdfast.RefundBuyer.String(), "whose wish it is: buyer or organizer")
	commandFlag(c, &repeat)
	return c
}

func (a *app) refund(cmd *cobra.Command, event string, q client.RefundRequest, seats []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	e, err := c.Event(cmd.Context(), eventArg(event))
	if err != nil {
		return err
	}
	a.layout, q.Event = e.Layout, e.EventRef
	for _, text := range seats {
		seat, err := seatArg(&e, text)
		if err != nil {
			return usage(cmd, "--seat: %v", err)
		}
		q.Seats = append(q.Seats, seat)
	}
	slices.Sort(q.Seats)
	if _, err := c.Refund(cmd.Context(), q); err != nil {
		return err
	}
	o, err := c.GetOrder(cmd.Context(), e.EventRef, q.Order)
	if err != nil {
		return fmt.Errorf("the refund is owed, but the order cannot be read: %w", err)
	}
	return a.print(orderOutOf(o, e.Layout))
}
