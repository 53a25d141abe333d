package fsm_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestALargeHouseAgainstTheModel is about what a small house does not have: more rows than the machine looks at in
// one step, rows that are longer than any hold, more places than it keeps together; full to the brim and then freed
// again, so that what it knows about where free units are has to be unlearned and learned.
func TestALargeHouseAgainstTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &driver{cfg: fsm.Config{}, model: newModel(fsm.Config{}), answering: fsm.New(fsm.Config{}), silent: fsm.New(fsm.Config{}), singly: fsm.New(fsm.Config{}),
			seen: map[holdfast.EventID]*mirror{}, reached: reached{}}
		spec := drawLargeSpec(t)
		d.apply(t, 0, 1, func() command.Command { return &command.PutEvent{Header: d.header(7), Spec: spec} })
		d.apply(t, 0, 1, func() command.Command { return &command.SetSale{Header: d.header(7), State: holdfast.SaleOpen} })
		e := d.model.events[7]
		for range between(t, "entries", 1, 8) {
			d.apply(t, 500_000, between(t, "commands", 1, 5), func() command.Command { return d.largeCommand(t, e) })
			if often(t, "restore", 1, 8) {
				d.restore(t)
			}
		}
		d.verify(t)
	})
}

func drawLargeSpec(t *rapid.T) command.EventSpec {
	s := command.EventSpec{Name: "gala", Currency: "eur",
		Tiers:    []command.Tier{{Name: "std", PriceMinor: 1000}, {Name: "vip", PriceMinor: 3000}},
		Sections: []command.Section{{Name: "stalls"}, {Name: "long"}, {Name: "floor", Places: 4096 + between[uint32](t, "places", 1, 200)}},
		Rules: command.Rules{HoldTTLMs: one[uint32](t, "ttl", 0, 1200), SeatsPerHold: 64, ManyOpenHolds: true, SkipCoolDown: true,
			NoOrphans: rapid.Bool().Draw(t, "no orphans")},
		Allocations: []command.Allocation{{Name: "sponsor", Spans: []command.Span{{Section: 2, First: 4000, Last: 4095 + between[uint32](t, "over the edge", 0, 1)}}}},
	}
	salt := between(t, "salt", 0, 99)
	for i := range between(t, "rows", 60, 140) {
		row := command.Row{Label: fmt.Sprint(i), Seats: uint16(1 + (i*i+salt)%11), Tier: holdfast.AnyTier}
		if (i+salt)%3 == 0 {
			row.Tier = 1
		}
		if (i+salt)%4 == 0 {
			middle := uint32(row.Seats / 2)
			s.Allocations[0].Spans = append(s.Allocations[0].Spans, command.Span{Row: uint16(i), First: middle, Last: middle + uint32(row.Seats-1)/3})
		}
		s.Sections[0].Rows = append(s.Sections[0].Rows, row)
	}
	for i := range 3 {
		s.Sections[1].Rows = append(s.Sections[1].Rows, command.Row{Label: fmt.Sprint(i), Seats: between[uint16](t, "long", 60, 140), Tier: holdfast.AnyTier})
	}
	return s
}

func (d *driver) largeCommand(t *rapid.T, e *modelEvent) command.Command {
	h := d.header(e.id)
	switch word(t, "kind", "hold hold hold hold hold swap release block block put") {
	case "hold":
		return &command.Hold{Header: h, Buyer: d.buyer(t), Allocation: between[holdfast.AllocationIndex](t, "allocation", 0, 1), Wants: d.largeWants(t, e)}
	case "swap":
		buyer, hold := d.hold(t, &h.Event)
		return &command.Swap{Header: h, Buyer: buyer, Hold: hold, Allocation: between[holdfast.AllocationIndex](t, "allocation", 0, 1), Wants: d.largeWants(t, e)}
	case "release":
		buyer, hold := d.hold(t, &h.Event)
		return &command.Release{Header: h, Buyer: buyer, Hold: hold}
	case "put":
		c := &command.PutEvent{Header: h, Expect: e.version, Spec: copied(&e.spec)}
		if rapid.Bool().Draw(t, "places") {
			c.Spec.Sections[2].Places += between[uint32](t, "more", 1, 5000)
		} else {
			addRow(t, &c.Spec, &c.Spec.Sections[0])
		}
		return c
	default:
		return d.largeBlock(t, h, e)
	}
}

// largeBlock blocks almost all that is free, or frees some of it: every so manieth unit from somewhere on.
func (d *driver) largeBlock(t *rapid.T, h command.Header, e *modelEvent) command.Command {
	c := &command.Block{Header: h, Unblock: often(t, "unblock", 1, 3)}
	every, first := one(t, "every", 1, 2, 3, 7, 50), uniform(len(e.units)).Draw(t, "first")
	most := one(t, "most", 300, 1200, holdfast.UnitsPerBlockMax)
	for i := range e.units {
		u := (first + i) % len(e.units)
		left := i%every == 0
		if c.Unblock == left && e.units[u].hold == nil && len(c.Seats) < most {
			c.Seats = append(c.Seats, holdfast.SeatIndex(u))
		}
	}
	if len(c.Seats) == 0 {
		c.Seats = []holdfast.SeatIndex{0}
	}
	return c
}

func (d *driver) largeWants(t *rapid.T, e *modelEvent) (wants []command.Want) {
	left := holdfast.UnitsPerHoldMax
	for range one(t, "wants", 1, 1, 2) {
		count := min(one(t, "count", 1, 2, 3, 4, 6, 9, 14, 40, 63, 64), left)
		if count == 0 {
			break
		}
		w := command.Want{Kind: command.WantBest, Section: one(t, "section", holdfast.AnySection, 0, 1), Tier: one(t, "tier", holdfast.AnyTier, 0, 1),
			Count: uint8(count), Adjacent: rapid.Bool().Draw(t, "adjacent")}
		switch word(t, "want", "best best best general row") {
		case "general":
			w = command.Want{Kind: command.WantGeneral, Section: 2, Count: uint8(count)}
		case "row":
			first := uniform(len(e.units)).Draw(t, "first")
			w = command.Want{Kind: command.WantSeats}
			for u := first; u < min(first+count, len(e.units)); u++ {
				w.Seats = append(w.Seats, holdfast.SeatIndex(u))
			}
		}
		left -= count
		wants = append(wants, w)
	}
	return wants
}
