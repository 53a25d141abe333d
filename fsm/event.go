package fsm

import (
	"bytes"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// event gives the event with this number; nil if this shard has none.
func (m *Machine) event(id holdfast.EventID) *event {
	if place, ok := m.places[id]; ok {
		return m.state.events[place]
	}
	return nil
}

// money is an amount in the event's currency.
func (e *event) money(amountMinor int64) holdfast.Money {
	return holdfast.Money{AmountMinor: amountMinor, Currency: e.spec.Currency}
}

// putEvent creates an event, or brings it to a new description. The same description again changes nothing, and
// is answered with the version that it has.
func (m *Machine) putEvent(c *command.PutEvent) holdfast.Outcome {
	spec := c.Spec // the command's memory is used again, what the description points to is ours
	e := m.event(c.Event)
	switch {
	case e == nil:
		return m.createEvent(c.Event, c.Expect, &spec)
	case bytes.Equal(spec.Append(nil), e.spec.Append(nil)):
		return holdfast.OK
	}
	return m.updateEvent(e, c.Expect, &spec)
}

func (m *Machine) createEvent(id holdfast.EventID, expect uint32, spec *command.EventSpec) holdfast.Outcome {
	switch {
	case id == 0 || expect != 0:
		return holdfast.EventUnknown
	case len(m.state.events) == holdfast.EventsPerShardMax:
		return holdfast.EventsFull
	}

	e := &event{
		id: id, place: uint16(len(m.state.events)), version: 1, spec: spec, prices: [][]int64{pricesOf(spec)},
	}
	e.setRules()
	e.units.extend(newGeometry(spec, nil))

	m.state.events = append(m.state.events, e)
	m.places[id] = e.place
	m.announce(e)
	m.onTime(e)
	m.wakeNext()
	return holdfast.OK
}

func (m *Machine) updateEvent(e *event, expect uint32, spec *command.EventSpec) holdfast.Outcome {
	if expect != e.version {
		return holdfast.EventChanged
	}
	fixed := e.line != nil && !spec.Line.SameDraw(&e.spec.Line) || e.sale != holdfast.SaleDraft && !sameAccount(spec, e.spec)
	if fixed || !extends(spec, e.spec) {
		return holdfast.EventConflict
	}
	prices, current, ok := withPrices(e.prices, pricesOf(spec))
	if !ok {
		return holdfast.EventConflict
	}

	geometry := newGeometry(spec, e.units.geometry)

	e.version++
	e.spec = spec
	e.setRules()
	e.prices, e.current = prices, current
	e.units.extend(geometry)
	m.noteReturn(e)
	m.announce(e)
	m.onTime(e)
	m.wakeNext()
	return holdfast.OK
}

// setRules fills in what follows from the description.
func (e *event) setRules() {
	e.rules, e.checkout, e.lined = e.spec.Rules.WithDefaults(), e.spec.Checkout.WithDefaults(), e.spec.Line.Enabled
}

func (m *Machine) tellPutEvent(c *command.PutEvent, _ holdfast.Outcome) { m.tellEvent(c.Event) }

// tellEvent tells which version of its description an event is at.
func (m *Machine) tellEvent(id holdfast.EventID) {
	if e := m.event(id); e != nil {
		r := &m.last.result
		r.Event, r.Shard, r.Version = e.id, m.shard, e.version
	}
}

// extends reports whether next keeps every unit that before has, where it is and in its tier. Title, prices, rules
// and allocations are free; tiers, sections and rows may be appended, places added.
func extends(next, before *command.EventSpec) bool {
	if next.Name != before.Name || next.Currency != before.Currency ||
		len(next.Tiers) < len(before.Tiers) || len(next.Sections) < len(before.Sections) {
		return false
	}
	for i := range before.Tiers {
		if next.Tiers[i].Name != before.Tiers[i].Name {
			return false
		}
	}
	for i := range before.Sections {
		n, b := &next.Sections[i], &before.Sections[i]
		if n.Name != b.Name || n.Tier != b.Tier || n.General() != b.General() || n.Places < b.Places ||
			len(n.Rows) < len(b.Rows) || !slices.Equal(n.Rows[:len(b.Rows)], b.Rows) {
			return false
		}
	}
	return true
}

// sameAccount reports whether payments go to where they went: that is for good once the sale was opened.
func sameAccount(next, before *command.EventSpec) bool {
	return next.Checkout.Mode == before.Checkout.Mode && next.Checkout.Account == before.Checkout.Account
}

// pricesOf gives the description's prices, tier by tier.
func pricesOf(spec *command.EventSpec) []int64 {
	prices := make([]int64, len(spec.Tiers))
	for i := range spec.Tiers {
		prices[i] = spec.Tiers[i].PriceMinor
	}
	return prices
}

// withPrices gives the price lists of an event whose prices become next, and the place of next among them. Tiers
// that are new have the same price in every list, so that a hold that was made before can be swapped into them.
// It fails when there are too many lists.
func withPrices(lists [][]int64, next []int64) (all [][]int64, current uint16, ok bool) {
	for _, list := range lists {
		all = append(all, slices.Concat(list, next[len(list):]))
	}
	if at := slices.IndexFunc(all, func(list []int64) bool { return slices.Equal(list, next) }); at >= 0 {
		return all, uint16(at), true
	}
	return append(all, next), uint16(len(all)), len(all) < priceListsMax
}

// setSale opens, pauses or closes the event's sale.
func (m *Machine) setSale(c *command.SetSale) holdfast.Outcome {
	e := m.event(c.Event)
	switch {
	case e == nil:
		return holdfast.EventUnknown
	case e.sale == c.State:
		return holdfast.OK
	case e.sale == holdfast.SaleDraft && c.State == holdfast.SalePaused:
		return holdfast.EventNotOpen
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	}

	m.changeSale(e, c.State)
	m.wakeNext()
	return holdfast.OK
}

// changeSale brings an event's sale into another state.
func (m *Machine) changeSale(e *event, to holdfast.SaleState) {
	e.sale = to
	if e.line != nil && to == holdfast.SaleClosed {
		e.line.closedMs = m.state.wallMs
	}
	m.stopOrGo(e)
	m.noteReturn(e)
	m.announce(e)
}

func (m *Machine) tellSetSale(c *command.SetSale, _ holdfast.Outcome) { m.tellEvent(c.Event) }

// announce makes a change of the event itself known.
func (m *Machine) announce(e *event) {
	e.revision++
	m.last.changes = append(m.last.changes, Change{Event: e.id, Revision: e.revision, Seat: NoSeat, Sale: e.sale})
}
