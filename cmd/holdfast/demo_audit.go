package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// The audit reads the cluster as any client can, and compares it with what the buyers were told. It uses nothing of
// the server's own checks.

// evidence is what the audit looks at.
type evidence struct {
	event   client.Event // counters, as the cluster has them
	seats   []holdfast.SeatState
	orders  []client.Order
	blocked int // units that we took off sale
	told    []told
	unsure  map[holdfast.HoldID]bool
	broken  []string

	line    client.Line
	drawn   error         // what is wrong with the record of the draw
	places  int           // numbers that buyers were given
	twice   int           // numbers that two buyers were given
	lost    int           // buyers who were told that their place is not there
	money   settle.Report // the provider's books against the cluster's
	wallets []client.Payment
}

// collect reads the cluster and the provider when the sale is over.
func collect(ctx context.Context, c *client.Client, w *crowd, blocked int) (evidence, error) {
	e := evidence{blocked: blocked, told: w.told, unsure: w.unsure, broken: w.broken, places: len(w.places), twice: w.twice, lost: w.ended[lostPlace]}
	err := e.read(ctx, c, w.event.EventRef)
	if err != nil {
		return e, err
	}
	if e.line, err = c.Line(ctx, w.event.EventRef); err != nil {
		return e, err
	}
	record, err := c.DrawRecord(ctx, w.event.EventRef)
	if err != nil {
		return e, err
	}
	e.drawn = draw.Verify(record)
	book, err := c.Payments(ctx, w.event.EventRef)
	if err != nil {
		return e, err
	}
	e.wallets = book.Payments
	e.money, err = w.shop.reconcile(ctx, c, w.event.EventRef)
	return e, err
}

// read reads what there is of the event: counters, seats, orders.
func (e *evidence) read(ctx context.Context, c *client.Client, event client.EventRef) (err error) {
	if e.event, err = c.Event(ctx, event); err != nil {
		return err
	}
	seats, err := c.Seats(ctx, event)
	if err != nil {
		return err
	}
	e.seats = seats.States
	for order, err := range c.Orders(ctx, event) {
		if err != nil {
			return err
		}
		e.orders = append(e.orders, order)
	}
	return nil
}

// verdict is what the audit found.
type verdict struct {
	Capacity         int        `json:"capacity"`
	Sold             int        `json:"sold"`
	Held             int        `json:"held"`
	Paying           int        `json:"paying"`
	Free             int        `json:"free"`
	Blocked          int        `json:"blocked"`
	Orders           int        `json:"orders"`
	DoubleSells      int        `json:"double_sells"`      // units that two buyers were told are theirs, or that are another's
	Oversold         int        `json:"oversold"`          // units sold beyond what a section has
	LostAcknowledged int        `json:"lost_acknowledged"` // sales that a buyer was told of and the cluster does not have, or holds that ended early
	Unexplained      int        `json:"unexplained_orders"`
	Joined           int        `json:"joined"` // places in the line
	Admitted         int        `json:"admitted"`
	PlacesLost       int        `json:"places_lost"`
	DrawVerified     bool       `json:"draw_verified"`
	CapturedMinor    int64      `json:"captured_minor"`   // by the provider, less what it gave back
	SoldMinor        int64      `json:"sold_value_minor"` // of the orders that stand
	Differences      int        `json:"payment_differences"`
	Rescued          int        `json:"rescued"` // orders on money that came after its hold was over
	Voided           int        `json:"voided"`  // payments that took no money and cannot any more: cancelled, or given up
	Refunded         int        `json:"refunded"`
	Checks           []checkOut `json:"checks"`
}

type checkOut struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (v *verdict) check(name string, ok bool, format string, args ...any) {
	v.Checks = append(v.Checks, checkOut{name, ok, fmt.Sprintf(format, args...)})
}

// judge compares. It is a pure function, and tests give it false evidence.
func judge(e evidence) verdict {
	v := verdict{Capacity: e.event.Spec.Units(), Orders: len(e.orders)}
	states := [holdfast.SeatStates]int{}
	for _, s := range e.seats {
		states[s]++
	}
	v.Free, v.Held, v.Paying, v.Sold, v.Blocked =
		states[holdfast.Free], states[holdfast.Held], states[holdfast.Paying], states[holdfast.Sold], states[holdfast.Blocked]

	v.checkOwners(e)
	v.checkTold(e)
	v.checkSections(e)
	v.checkMap(e)
	v.checkLine(e)
	v.checkMoney(e)
	return v
}

// checkLine looks whether every place came to one end, and none was given out twice or lost.
func (v *verdict) checkLine(e evidence) {
	sum := 0
	for _, n := range e.line.Counts {
		sum += int(n)
	}
	v.Joined, v.PlacesLost, v.DrawVerified = int(e.line.Issued), e.lost, e.drawn == nil
	// Whoever had a session bought, let it be over, or left.
	for _, s := range []holdfast.PlaceState{holdfast.PlaceAdmitted, holdfast.PlaceFinished, holdfast.PlaceLapsed, holdfast.PlaceOffered, holdfast.PlaceLeft} {
		v.Admitted += int(e.line.Counts[s])
	}
	v.check("every place has one outcome", sum == v.Joined, "%d places, %d outcomes", v.Joined, sum)
	v.check("a place is one buyer's", e.twice == 0 && e.places <= v.Joined, "buyers were given %d of %d numbers, %d of them twice", e.places, v.Joined, e.twice)
	v.check("no place is lost", e.lost == 0, "%d buyers were told that their place is not there", e.lost)
	why := "anyone can recompute the order of " + fmt.Sprint(e.line.Cohort) + " places"
	if e.drawn != nil {
		why = e.drawn.Error()
	}
	v.check("the draw can be verified", v.DrawVerified, "%s", why)
}

// checkMoney compares what the provider took with what the orders that stand come to.
func (v *verdict) checkMoney(e evidence) {
	for _, o := range e.orders {
		v.SoldMinor += o.Amount.AmountMinor - o.RefundedMinor - o.OwedMinor
	}
	for _, p := range e.wallets {
		switch {
		case p.State == holdfast.PaymentVoided || p.State == holdfast.PaymentFailed:
			v.Voided++
		case p.Stray && p.Ordered:
			v.Rescued++
		}
		if p.RefundedMinor > 0 {
			v.Refunded++
		}
	}
	v.CapturedMinor, v.Differences = e.money.Captured-e.money.Refunded, len(e.money.Differences)
	currency, example := e.event.Spec.Currency, ""
	if v.Differences > 0 {
		example = ", as: " + string(e.money.Differences[0].Kind)
	}
	v.check("money equals seats", v.CapturedMinor == v.SoldMinor, "the provider took %s, the orders that stand come to %s",
		formatMoney(holdfast.Money{AmountMinor: v.CapturedMinor, Currency: currency}), formatMoney(holdfast.Money{AmountMinor: v.SoldMinor, Currency: currency}))
	v.check("the books are the provider's", v.Differences == 0 && e.money.Settling == 0, "%d of %d payments differ, %d are under way; %d were cancelled%s",
		v.Differences, e.money.Known, e.money.Settling, v.Voided, example)
}

// checkOwners looks for units that are two buyers', by what they were told and by the orders.
func (v *verdict) checkOwners(e evidence) {
	twice, owner := map[holdfast.SeatIndex]bool{}, map[holdfast.SeatIndex]holdfast.BuyerID{}
	claim := func(seat holdfast.SeatIndex, buyer holdfast.BuyerID) {
		if other, taken := owner[seat]; taken && other != buyer {
			twice[seat] = true
		}
		owner[seat] = buyer
	}
	for _, t := range e.told {
		for _, s := range t.Seats {
			claim(s, t.Buyer)
		}
	}
	inOrders := map[holdfast.SeatIndex]bool{}
	for _, o := range e.orders {
		for _, s := range o.Seats {
			if inOrders[s] {
				twice[s] = true
			}
			inOrders[s] = true
			claim(s, o.Buyer)
		}
	}
	v.DoubleSells = len(twice)
	v.check("one owner a seat", v.DoubleSells == 0, "%d of %d seats are two buyers'", v.DoubleSells, len(owner))
}

// checkTold looks for every sale that a buyer was told of, and for orders that nobody was told of.
func (v *verdict) checkTold(e evidence) {
	orders := make(map[holdfast.OrderID]client.Order, len(e.orders))
	for _, o := range e.orders {
		orders[o.ID] = o
	}
	known, lost := map[holdfast.OrderID]bool{}, 0
	var toldMinor, ordersMinor int64
	for _, t := range e.told {
		known[t.Order] = true
		toldMinor += t.Amount.AmountMinor
		o, ok := orders[t.Order]
		if !ok || o.Buyer != t.Buyer || o.Amount != t.Amount || !sameSeats(o.Seats, t.Seats) {
			lost++
		}
	}
	for _, o := range e.orders {
		switch {
		case known[o.ID]:
			ordersMinor += o.Amount.AmountMinor
		case !e.unsure[o.ID.Hold()]:
			v.Unexplained++
		}
	}
	v.LostAcknowledged = lost + len(e.broken)
	v.check("what was acknowledged is there", lost == 0, "%d of %d sales that buyers were told of are missing or other", lost, len(e.told))
	v.check("holds last as promised", len(e.broken) == 0, "%d holds ended before their time%s", len(e.broken), example(e.broken))
	v.check("nothing is there that nobody was told of", v.Unexplained == 0, "%d of %d orders are unexplained; %d answers never came", v.Unexplained, len(e.orders), len(e.unsure))
	currency := e.event.Spec.Currency
	v.check("the money is right", toldMinor == ordersMinor, "buyers were told of %s, their orders come to %s",
		formatMoney(holdfast.Money{AmountMinor: toldMinor, Currency: currency}), formatMoney(holdfast.Money{AmountMinor: ordersMinor, Currency: currency}))
}

func example(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return ", as: " + all[0]
}

func sameSeats(a, b []holdfast.SeatIndex) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// checkSections counts what was sold of each section against what it has, and against the cluster's counters.
func (v *verdict) checkSections(e evidence) {
	sold := make([]int, len(e.event.Spec.Sections))
	astray := 0
	for _, o := range e.orders {
		for _, s := range o.Seats {
			if p, ok := e.event.Layout.Place(s); ok {
				sold[p.Section]++
			} else {
				astray++
			}
		}
	}
	wrong := 0
	for i, n := range sold {
		sec := &e.event.Spec.Sections[i]
		units := int(sec.Places)
		for _, row := range sec.Rows {
			units += int(row.Seats)
		}
		v.Oversold += max(n-units, 0)
		if c := countsOf(e.event.Sections[i]); c.Sold != n || c.Capacity != units {
			wrong++
		}
	}
	v.Oversold += astray
	v.check("no section is oversold", v.Oversold == 0, "%d units beyond the capacity", v.Oversold)
	v.check("the counters are right", wrong == 0, "%d of %d sections are counted otherwise by the cluster", wrong, len(sold))
}

// checkMap compares the map of all units with the orders and the counters.
func (v *verdict) checkMap(e evidence) {
	differ, sold := 0, 0
	for _, o := range e.orders {
		for _, s := range o.Seats {
			if sold++; int(s) >= len(e.seats) || e.seats[s] != holdfast.Sold {
				differ++
			}
		}
	}
	v.check("the map shows the orders", differ == 0 && v.Sold == sold, "%d units sold on the map, %d in orders, %d differ", v.Sold, sold, differ)
	sum := v.Free + v.Held + v.Paying + v.Sold + v.Blocked
	total := countsOf(e.event.Total)
	adds := sum == v.Capacity && total == countsOut{v.Capacity, v.Free, v.Held, v.Paying, v.Sold, v.Blocked}
	v.check("nothing is lost or made", adds, "free %d + held %d + paying %d + sold %d + blocked %d = %d of %d", v.Free, v.Held, v.Paying, v.Sold, v.Blocked, sum, v.Capacity)
	v.check("what was let go has returned", v.Held+v.Paying == 0, "%d held and %d in payment when nobody is there any more", v.Held, v.Paying)
	v.check("what was blocked stayed", v.Blocked == e.blocked, "%d blocked, %d were taken off sale", v.Blocked, e.blocked)
}
