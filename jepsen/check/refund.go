package check

import (
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// refunds are what organizers wanted to be given back, order by order.
type refunds map[holdfast.OrderID]*refund

// refund is what was wanted of one order. Of what is not known to be done nobody knows whether it is.
type refund struct {
	may, must     map[holdfast.SeatIndex]bool // tickets that may have ended, and that have
	mayGo, mustGo map[holdfast.SeatIndex]bool // seats that may be on sale again, and that are, or were
}

func givenBack(all []history.Refund) refunds {
	orders := refunds{}
	for _, one := range all {
		if one.Told == history.ToldRefused {
			continue
		}
		r := orders[one.Order]
		if r == nil {
			r = &refund{map[holdfast.SeatIndex]bool{}, map[holdfast.SeatIndex]bool{}, map[holdfast.SeatIndex]bool{}, map[holdfast.SeatIndex]bool{}}
			orders[one.Order] = r
		}
		for _, s := range one.Seats {
			done := one.Told == history.ToldOK
			r.may[s], r.must[s] = true, r.must[s] || done
			r.mayGo[s], r.mustGo[s] = r.mayGo[s] || one.Back, r.mustGo[s] || done && one.Back
		}
	}
	return orders
}

// explains reports whether an order has the seats that it was sold with but for some that may have gone back.
func (r refunds) explains(o *history.Order, sold []holdfast.SeatIndex) bool {
	one := r[o.ID]
	if one == nil {
		return false
	}
	for _, s := range sold {
		if !slices.Contains(o.Seats, s) && !one.mayGo[s] {
			return false
		}
	}
	return !slices.ContainsFunc(o.Seats, func(s holdfast.SeatIndex) bool { return !slices.Contains(sold, s) })
}

// wrong says what is wrong with an order when all is quiet: as much was given back as was wanted, and the seats went.
// Every seat of an order costs the same here.
func (r refunds) wrong(o *history.Order) string {
	one := r[o.ID]
	if one == nil {
		if o.Refunded != 0 {
			return fmt.Sprintf("%d were given back, and nobody wanted that", o.Refunded)
		}
		return ""
	}
	units := map[holdfast.SeatIndex]bool{}
	for _, s := range o.Seats {
		units[s] = true
		if one.mustGo[s] {
			return fmt.Sprintf("seat %d was to go back on sale and is in it", s)
		}
	}
	for s := range one.mayGo {
		if one.mayGo[s] {
			units[s] = true
		}
	}
	each, ended, may := o.Amount/int64(max(1, len(units))), 0, 0
	for s := range one.may {
		if may++; one.must[s] {
			ended++
		}
	}
	if o.Refunded < int64(ended)*each || o.Refunded > int64(may)*each {
		return fmt.Sprintf("%d of %d were given back for %d tickets that ended, %d at most", o.Refunded, o.Amount, ended, may)
	}
	return ""
}
