package fsm_test

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What the property tests draw: small houses, so that everybody wants the same; short times, so that holds lapse;
// and commands about things that exist, mostly.

// uniform draws 0 to n-1, each as often. rapid's own generators prefer small numbers, which would make most commands
// of the first kind in every list.
func uniform(n int) *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) (number int) {
		for range bits.Len(uint(n)) + 6 {
			number *= 2
			if rapid.Bool().Draw(t, "bit") {
				number++
			}
		}
		return number % n
	})
}

// often is true in n of m cases.
func often(t *rapid.T, what string, n, m int) bool { return uniform(m).Draw(t, what) >= m-n }

// one draws one of a list, each as often.
func one[T any](t *rapid.T, what string, list ...T) T { return list[uniform(len(list)).Draw(t, what)] }

// between draws a number from least to most, each as often.
func between[T ~int | ~uint8 | ~uint16 | ~uint32](t *rapid.T, what string, least, most T) T {
	return least + T(uniform(int(most-least)+1).Draw(t, what))
}

// word draws one of the words, each as often as it stands there.
func word(t *rapid.T, what, words string) string { return one(t, what, strings.Fields(words)...) }

func drawSpec(t *rapid.T) command.EventSpec {
	s := command.EventSpec{Name: "gala", Currency: "eur", Rules: drawRules(t)}
	for i := range between(t, "tiers", 1, 3) {
		s.Tiers = append(s.Tiers, command.Tier{Name: fmt.Sprint(i), PriceMinor: drawPrice(t)})
	}
	for range between(t, "sections", 1, 3) {
		addSection(t, &s)
	}
	s.Allocations = drawAllocations(t, &s)
	s.Line = drawLineRules(t)
	return s
}

func drawPrice(t *rapid.T) int64 {
	return one[int64](t, "price", 0, 1500, 2500)
}

func drawRules(t *rapid.T) command.Rules {
	return command.Rules{
		HoldTTLMs:     one[uint32](t, "ttl", 0, 200, 1000, 2500),
		PayWindowMs:   one[uint32](t, "pay window", 0, 500, 3000),
		ExtensionMs:   one[uint32](t, "extension", 0, 1, 700),
		CoolDownMs:    one[uint32](t, "cool-down", 0, 1, 1000),
		SeatsPerHold:  one[uint8](t, "per hold", 0, 5, 64),
		SeatsPerBuyer: one[uint16](t, "per buyer", 0, 0, 4, 9),
		NoOrphans:     rapid.Bool().Draw(t, "no orphans"),
		ManyOpenHolds: rapid.Bool().Draw(t, "many holds"),
		SkipCoolDown:  rapid.Bool().Draw(t, "skip cool-down"),
	}
}

func addSection(t *rapid.T, s *command.EventSpec) {
	section := command.Section{Name: fmt.Sprint(len(s.Sections)), Tier: drawTier(t, s)}
	if often(t, "general", 1, 4) {
		section.Places = between[uint32](t, "places", 1, 9)
	} else {
		for range between(t, "rows", 1, 3) {
			addRow(t, s, &section)
		}
	}
	s.Sections = append(s.Sections, section)
}

func addRow(t *rapid.T, s *command.EventSpec, section *command.Section) {
	row := command.Row{Label: fmt.Sprint(len(section.Rows)), First: 1, Seats: between[uint16](t, "seats", 1, 9), Tier: holdfast.AnyTier}
	if often(t, "own tier", 1, 3) {
		row.Tier = drawTier(t, s)
	}
	section.Rows = append(section.Rows, row)
}

func drawTier(t *rapid.T, s *command.EventSpec) holdfast.TierIndex {
	return holdfast.TierIndex(uniform(len(s.Tiers)).Draw(t, "tier"))
}

func drawAllocations(t *rapid.T, s *command.EventSpec) (allocations []command.Allocation) {
	for i := range one(t, "allocations", 0, 0, 1, 2) {
		a := command.Allocation{Name: fmt.Sprint(i)}
		for range between(t, "spans", 0, 3) {
			at := uniform(len(s.Sections)).Draw(t, "section")
			span, size := command.Span{Section: holdfast.SectionIndex(at)}, s.Sections[at].Places
			if rows := s.Sections[at].Rows; len(rows) > 0 {
				span.Row = uint16(uniform(len(rows)).Draw(t, "row"))
				size = uint32(rows[span.Row].Seats)
			}
			span.First = between(t, "from", 0, size-1)
			span.Last = between(t, "to", span.First, size-1)
			a.Spans = append(a.Spans, span)
		}
		allocations = append(allocations, a)
	}
	s.Allocations = allocations
	for s.Validate() != nil { // spans overlap: the last ones go
		last := &allocations[len(allocations)-1]
		if len(last.Spans) == 0 {
			allocations = allocations[:len(allocations)-1]
			s.Allocations = allocations
			continue
		}
		if last.Spans = last.Spans[:len(last.Spans)-1]; len(last.Spans) == 0 {
			last.Spans = nil // as a decoder gives it
		}
	}
	return allocations
}

// command draws one command: sometimes the repeat of another, or one whose id is at fault.
func (d *driver) command(t *rapid.T) command.Command {
	if len(d.past) > 0 && often(t, "repeat", 1, 8) {
		return d.past[len(d.past)-1-uniform(min(len(d.past), 60)).Draw(t, "back")]
	}
	c := d.fresh(t)
	switch {
	case len(d.past) > 0 && often(t, "reuse", 1, 20):
		c.Head().ID = d.past[len(d.past)-1-uniform(min(len(d.past), 20)).Draw(t, "back")].Head().ID
	case often(t, "validity", 1, 8):
		far := d.model.clock.Add(holdfast.ValidityMax)
		c.Head().ID = d.headerUntil(0, one(t, "valid until",
			0, max(d.model.clock, 1000)-1000, d.model.clock, d.model.clock+1000, d.model.clock.Add(1_000_000_000), far-1000, far, far+1000, 1<<57,
		)).ID
	}
	return c
}

// fresh draws a command of any kind with an id of its own.
func (d *driver) fresh(t *rapid.T) command.Command {
	id := one(t, "event", d.model.eventIDs()...)
	e := d.model.events[id]
	if e.sale != holdfast.SaleOpen && often(t, "open", 1, 4) {
		return &command.SetSale{Header: d.header(id), State: holdfast.SaleOpen}
	}
	kind := word(t, "kind", "hold hold hold hold hold hold swap swap swap extend release begin begin begin sell sell sell put put sale block block mark")
	if e.spec.Line.Enabled && often(t, "line", 1, 2) {
		return d.lineCommand(t, id, word(t, "of the line", "open-line enter enter draw redeem redeem redeem redeem redeem redeem admit admit admit set-line leave returns returns returns no-returns"))
	}
	buyer, hold := d.hold(t, &id)
	h := d.header(id)
	if often(t, "wrong event", 1, 40) {
		h.Event = one[holdfast.EventID](t, "wrong", 0, 7, 9, 99)
	}
	switch kind {
	case "hold":
		return &command.Hold{Header: h, Buyer: d.visitorOf(t, e), Allocation: d.allocation(t, e), Wants: d.wants(t, e)}
	case "swap":
		e = d.model.events[id]
		return &command.Swap{Header: h, Buyer: buyer, Hold: hold, Allocation: d.allocation(t, e), Wants: d.wants(t, e)}
	case "extend":
		return &command.Extend{Header: h, Buyer: buyer, Hold: hold}
	case "release":
		return &command.Release{Header: h, Buyer: buyer, Hold: hold}
	case "begin":
		return &command.BeginPayment{Header: h, Buyer: buyer, Hold: hold, Attempt: max(d.attempt(t, hold, 1), 1), Amount: d.amount(t, hold)}
	case "sell":
		return d.sell(t, h, hold)
	case "put":
		return d.put(t, h)
	case "sale":
		state := holdfast.SaleOpen
		switch {
		case often(t, "close", 1, 60):
			state = holdfast.SaleClosed
		case e.sale != holdfast.SalePaused && often(t, "pause", 1, 4):
			state = holdfast.SalePaused
		}
		return &command.SetSale{Header: h, State: state}
	case "block":
		seats := rapid.SliceOfN(d.unit(e), 1, 4).Draw(t, "seats")
		return &command.Block{Header: h, Unblock: rapid.Bool().Draw(t, "unblock"), Seats: seats}
	default:
		return &command.Mark{Header: h}
	}
}

func (d *driver) buyer(t *rapid.T) holdfast.BuyerID {
	return buyerNo(uniform(buyers).Draw(t, "buyer"))
}

// hold draws a hold to do something with: mostly one that lives, by its buyer and in its event.
func (d *driver) hold(t *rapid.T, event *holdfast.EventID) (holdfast.BuyerID, holdfast.HoldID) {
	var live, other []holdfast.HoldID
	for id, h := range d.model.holds {
		if h.state == holdfast.HoldSold {
			other = append(other, id)
		} else {
			live = append(live, id)
		}
	}
	for id := range d.model.ended {
		other = append(other, id)
	}
	byID := func(a, b holdfast.HoldID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(live, byID)
	slices.SortFunc(other, byID)
	buyer, id := d.buyer(t), holdfast.HoldID{1, 2, 3}
	switch {
	case len(live) > 0 && often(t, "live", 4, 5):
		id = one(t, "hold", live...)
	case len(other) > 0 && often(t, "gone", 7, 8):
		id = one(t, "hold", other...)
	}
	if h := d.model.holds[id]; h != nil {
		*event = h.event.id
		if often(t, "own", 15, 16) {
			buyer = h.buyer
		}
	}
	return buyer, id
}

func (d *driver) attempt(t *rapid.T, id holdfast.HoldID, more holdfast.Attempt) holdfast.Attempt {
	var current holdfast.Attempt
	if h := d.model.holds[id]; h != nil {
		current = h.attempt
	}
	if often(t, "attempt", 3, 4) {
		return current + holdfast.Attempt(one(t, "more", 0, more))
	}
	return between[holdfast.Attempt](t, "number", 0, 4)
}

func (d *driver) amount(t *rapid.T, id holdfast.HoldID) holdfast.Money {
	if h := d.model.holds[id]; h != nil && often(t, "right amount", 7, 8) {
		return h.amount()
	}
	return one(t, "amount", []holdfast.Money{{AmountMinor: 1500, Currency: "eur"}, {AmountMinor: 0, Currency: "eur"}, {AmountMinor: 1500, Currency: "usd"}}...)
}

func (d *driver) sell(t *rapid.T, header command.Header, id holdfast.HoldID) *command.Sell {
	c := &command.Sell{Header: header, Hold: id, Amount: d.amount(t, id), As: command.SalePaid, Attempt: max(d.attempt(t, id, 0), 1)}
	if h := d.model.holds[id]; h == nil || h.state == holdfast.HoldOpen || often(t, "other kind", 1, 6) {
		c.As = one(t, "as", command.SalePaid, command.SaleFree, command.SaleInvoiced)
	}
	if h := d.model.holds[id]; h != nil && h.state == holdfast.HoldSold && often(t, "the same", 1, 2) {
		again := h.sale
		again.Header = header
		return &again
	}
	if c.As != command.SalePaid {
		c.Attempt = 0
	}
	if c.As == command.SaleFree && often(t, "nothing", 3, 4) {
		c.Amount.AmountMinor = 0
	}
	if c.As != command.SaleFree {
		c.Payment = fmt.Sprintf("pi_%x", id[:])
		if often(t, "a payment of others", 1, 4) {
			c.Payment = "pi_1"
		}
	}
	return c
}

// put draws a description: a new event's, or a change of one that exists.
func (d *driver) put(t *rapid.T, h command.Header) *command.PutEvent {
	if often(t, "new event", 1, 6) {
		h.Event = one[holdfast.EventID](t, "new", 0, 7, 9, 11)
	}
	e := d.model.events[h.Event]
	if e == nil {
		return &command.PutEvent{Header: h, Expect: one[uint32](t, "expect", 0, 0, 0, 1), Spec: drawSpec(t)}
	}
	c := &command.PutEvent{Header: h, Expect: e.version, Spec: copied(&e.spec)}
	if often(t, "other version", 1, 6) {
		c.Expect = between[uint32](t, "expect", 0, 3)
	}
	s := &c.Spec
	at := uniform(len(s.Sections)).Draw(t, "changed section")
	section := &s.Sections[at]
	switch word(t, "change", "same title price price rules rules allocations tier section size size size line not") {
	case "title":
		s.Title = one(t, "title", "", "Gala", "Great gala")
	case "price":
		s.Tiers[drawTier(t, s)].PriceMinor = drawPrice(t)
	case "rules":
		s.Rules = drawRules(t)
	case "allocations":
		s.Allocations = drawAllocations(t, s)
	case "tier":
		s.Tiers = append(s.Tiers, command.Tier{Name: fmt.Sprint(len(s.Tiers)), PriceMinor: drawPrice(t)})
	case "section":
		addSection(t, s)
	case "size":
		if section.General() {
			section.Places++
		} else {
			addRow(t, s, section)
		}
	case "line":
		if s.Line = drawLineRules(t); e.spec.Line.Enabled && often(t, "the same draw", 3, 4) {
			fresh := s.Line.WithDefaults()
			s.Line = e.spec.Line
			s.Line.CeilingMax, s.Line.RateMax, s.Line.IdleMs, s.Line.CallMs = fresh.CeilingMax, fresh.RateMax, fresh.IdleMs, fresh.CallMs
		}
	case "not":
		d.spoil(t, s, section)
	}
	if s.Validate() != nil { // it has grown beyond what may be
		return &command.PutEvent{Header: h, Expect: e.version, Spec: copied(&e.spec)}
	}
	return c
}

// spoil makes a change that may not be.
func (d *driver) spoil(t *rapid.T, s *command.EventSpec, section *command.Section) {
	switch word(t, "not", "name currency tier sections section price-tier fewer seats label first row-tier") {
	case "name":
		s.Name = "other"
	case "currency":
		s.Currency = "usd"
	case "tier":
		s.Tiers[0].Name = "other"
	case "sections":
		s.Sections, s.Allocations = s.Sections[:1], nil
	case "section":
		section.Name = "other"
	case "price-tier":
		section.Tier = drawTier(t, s)
	case "fewer":
		s.Allocations = nil
		if section.Places--; section.Rows != nil {
			section.Places, section.Rows = 0, section.Rows[:1]
		} else if section.Places == 0 {
			section.Rows = []command.Row{{Label: "0", Seats: 1, Tier: holdfast.AnyTier}}
		}
	default:
		if section.Rows == nil {
			return
		}
		row := &section.Rows[0]
		switch word(t, "row", "seats label first tier") {
		case "seats":
			row.Seats++
		case "label":
			row.Label = "other"
		case "first":
			row.First++
		case "tier":
			row.Tier = drawTier(t, s)
		}
	}
}

// copied copies a description through its packed form.
func copied(s *command.EventSpec) command.EventSpec {
	c, err := command.DecodeSpec(s.Append(nil))
	if err != nil {
		panic(err)
	}
	return c
}

func (d *driver) allocation(t *rapid.T, e *modelEvent) holdfast.AllocationIndex {
	if often(t, "another allocation", 1, 4) {
		return holdfast.AllocationIndex(between(t, "allocation", 0, len(e.spec.Allocations)))
	}
	if often(t, "none", 1, 60) {
		return holdfast.AllocationIndex(len(e.spec.Allocations) + 1)
	}
	return holdfast.Public
}

// unit draws a unit, and sometimes the one behind the last.
func (d *driver) unit(e *modelEvent) *rapid.Generator[holdfast.SeatIndex] {
	return rapid.Custom(func(t *rapid.T) holdfast.SeatIndex {
		if often(t, "beyond", 1, 200) {
			return holdfast.SeatIndex(len(e.units))
		}
		return holdfast.SeatIndex(uniform(len(e.units)).Draw(t, "unit"))
	})
}

func (d *driver) wants(t *rapid.T, e *modelEvent) (wants []command.Want) {
	for n := one(t, "wants", 1, 1, 1, 1, 2, 3); len(wants) < n; {
		switch word(t, "want", "row row seats best best general") {
		case "row": // some side by side
			first := d.unit(e).Draw(t, "first")
			w := command.Want{Kind: command.WantSeats}
			for i := range holdfast.SeatIndex(between(t, "count", 1, 4)) {
				w.Seats = append(w.Seats, min(first, holdfast.SeatIndex(len(e.units)-1))+i)
			}
			if last := w.Seats[len(w.Seats)-1]; int(last) >= len(e.units) && often(t, "within", 9, 10) {
				w.Seats = w.Seats[:1]
			}
			wants = append(wants, w)
		case "seats": // some anywhere, rarely one of them twice
			seats := rapid.SliceOfN(d.unit(e), 1, 4).Draw(t, "seats")
			if often(t, "distinct", 9, 10) {
				slices.Sort(seats)
				seats = slices.Compact(seats)
			}
			wants = append(wants, command.Want{Kind: command.WantSeats, Seats: seats})
		case "best":
			w := command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier,
				Count: uint8(between(t, "count", 1, 6)), Adjacent: rapid.Bool().Draw(t, "adjacent")}
			if at := d.section(t, e, false); at >= 0 && often(t, "in a section", 1, 2) {
				w.Section = holdfast.SectionIndex(at)
			}
			if often(t, "of a tier", 1, 3) {
				w.Tier = drawTier(t, &e.spec)
			}
			if often(t, "of no tier", 1, 60) {
				w.Tier = holdfast.TierIndex(len(e.spec.Tiers))
			}
			wants = append(wants, w)
		case "general":
			if at := d.section(t, e, true); at >= 0 {
				wants = append(wants, command.Want{Kind: command.WantGeneral, Section: holdfast.SectionIndex(at), Count: uint8(between(t, "count", 1, 5))})
			}
		}
	}
	return wants
}

// section draws a section, mostly of the kind that is wanted; -1 if there is none.
func (d *driver) section(t *rapid.T, e *modelEvent, general bool) int {
	if often(t, "any section", 1, 30) {
		return between(t, "section", 0, len(e.spec.Sections))
	}
	var fit []int
	for i := range e.spec.Sections {
		if e.spec.Sections[i].General() == general {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return one(t, "section", fit...)
}
