package fsm

import (
	"fmt"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestASaleGoesForward(t *testing.T) {
	s := newShard(t)
	set := func(state holdfast.SaleState, want holdfast.Outcome) {
		t.Helper()
		s.must(want, &command.SetSale{State: state})
	}
	set(holdfast.SaleOpen, holdfast.EventUnknown)
	s.must(holdfast.EventUnknown, wantSeats(1, 1))
	s.must(holdfast.OK, &command.PutEvent{Spec: hall()})
	s.must(holdfast.EventNotOpen, wantSeats(1, 1))
	set(holdfast.SalePaused, holdfast.EventNotOpen)
	set(holdfast.SaleOpen, holdfast.OK)
	equalAll(t, "changes", s.m.Changes(), Change{Event: theEvent, Revision: 2, Seat: NoSeat, Sale: holdfast.SaleOpen})
	set(holdfast.SaleOpen, holdfast.OK)
	equal(t, "changes", len(s.m.Changes()), 0)
	set(holdfast.SalePaused, holdfast.OK)
	s.must(holdfast.EventPaused, wantSeats(1, 1))
	set(holdfast.SaleOpen, holdfast.OK)
	set(holdfast.SaleClosed, holdfast.OK)
	set(holdfast.SaleClosed, holdfast.OK)
	set(holdfast.SaleOpen, holdfast.EventClosed)
	set(holdfast.SalePaused, holdfast.EventClosed)
}

func TestADescriptionIsPutOnceAndThenChanged(t *testing.T) {
	s := newShard(t)
	put := func(expect uint32, want holdfast.Outcome, change func(*command.EventSpec)) command.Result {
		t.Helper()
		spec := hall()
		change(&spec)
		return s.must(want, &command.PutEvent{Expect: expect, Spec: spec})
	}
	same := func(*command.EventSpec) {}
	title := func(spec *command.EventSpec) { spec.Title = "New" }
	put(1, holdfast.EventUnknown, same)
	r := put(0, holdfast.OK, same)
	equal(t, "version", r.Version, 1)
	equal(t, "event", r.Event, theEvent)
	equal(t, "shard", r.Shard, 3)
	equal(t, "version", put(0, holdfast.OK, same).Version, 1)
	equal(t, "version", put(0, holdfast.EventChanged, title).Version, 1)
	equal(t, "version", put(1, holdfast.OK, title).Version, 2)
	equalAll(t, "changes", s.m.Changes(), Change{Event: theEvent, Revision: 2, Seat: NoSeat})
	equal(t, "version", put(1, holdfast.OK, title).Version, 2)

	for name, change := range map[string]func(*command.EventSpec){
		"another name":     func(spec *command.EventSpec) { spec.Name = "other" },
		"another currency": func(spec *command.EventSpec) { spec.Currency = "gbp" },
		"a tier less":      func(spec *command.EventSpec) { spec.Tiers = spec.Tiers[:2]; spec.Sections[2].Tier = 0 },
		"a tier's name":    func(spec *command.EventSpec) { spec.Tiers[0].Name = "lead" },
		"a section less":   func(spec *command.EventSpec) { spec.Sections = spec.Sections[:2] },
		"a section's name": func(spec *command.EventSpec) { spec.Sections[0].Name = "middle" },
		"a section's tier": func(spec *command.EventSpec) { spec.Sections[0].Tier = 1 },
		"a row less":       func(spec *command.EventSpec) { spec.Sections[0].Rows = spec.Sections[0].Rows[:1] },
		"a shorter row":    func(spec *command.EventSpec) { spec.Sections[0].Rows[0].Seats-- },
		"a longer row":     func(spec *command.EventSpec) { spec.Sections[0].Rows[0].Seats++ },
		"a row in front":   func(spec *command.EventSpec) { spec.Sections[0].Rows[0].Label = "0" },
		"fewer places":     func(spec *command.EventSpec) { spec.Sections[2].Places-- },
		"seats for the places": func(spec *command.EventSpec) {
			spec.Sections[2].Rows, spec.Sections[2].Places = hall().Sections[0].Rows, 0
		},
	} {
		t.Run(name, func(t *testing.T) { put(2, holdfast.EventConflict, change) })
	}
}

func TestAnEventGrowsWhileItSells(t *testing.T) {
	s := newSale(t)
	s.hold(1, 0, 29)
	bigger := hall()
	bigger.Sections[0].Rows = append(bigger.Sections[0].Rows[:2:2], command.Row{Label: "C", Seats: 5, Tier: holdfast.AnyTier})
	bigger.Sections[2].Places = 30
	bigger.Sections = append(bigger.Sections, command.Section{Name: "box", Rows: bigger.Sections[0].Rows})
	bigger.Allocations = nil
	s.must(holdfast.OK, &command.PutEvent{Expect: 1, Spec: bigger})
	equalAll(t, "states", s.states(0, 29, 60, 64, 65, 75), holdfast.Held, holdfast.Held, holdfast.Free, holdfast.Free, holdfast.Free, holdfast.Free)
	equal(t, "units", s.m.event(theEvent).units.len(), bigger.Units())
	s.hold(2, 30, 60, 65)
}

func TestPriceListsAreKeptAndBounded(t *testing.T) {
	s := newShard(t)
	spec := hall()
	s.must(holdfast.OK, &command.PutEvent{Spec: spec})
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	old := s.hold(1, 1)
	for i := range 3 {
		spec.Tiers[0].PriceMinor = int64(1 + i%2)
		s.must(holdfast.OK, &command.PutEvent{Expect: uint32(1 + i), Spec: spec})
	}
	e := s.m.event(theEvent)
	equal(t, "lists", len(e.prices), 3)
	equal(t, "current list", e.current, 1)
	equal(t, "amount of a new hold", s.hold(2, 2).Amount, eur(1))
	view, _ := s.m.Hold(old.Hold)
	equal(t, "amount of the old one", view.Amount, eur(5000))

	for len(e.prices) < priceListsMax {
		e.prices = append(e.prices, []int64{int64(len(e.prices)), 0, 0})
	}
	spec.Tiers[0].PriceMinor = 7777777
	s.must(holdfast.EventConflict, &command.PutEvent{Expect: 4, Spec: spec})
}

func TestBlockAllOrNone(t *testing.T) {
	s := newSale(t)
	s.hold(1, 3)
	block := func(want holdfast.Outcome, unblock bool, seats ...holdfast.SeatIndex) command.Result {
		t.Helper()
		return s.must(want, &command.Block{Unblock: unblock, Seats: seats})
	}
	block(holdfast.WantInvalid, false, 1, 60)
	equalAll(t, "taken", block(holdfast.SeatTaken, false, 1, 2, 3).Taken, 3)
	equalAll(t, "states", s.states(1, 2, 3), holdfast.Free, holdfast.Free, holdfast.Held)
	block(holdfast.OK, false, 1, 2)
	block(holdfast.OK, false, 2, 4)
	equal(t, "changes", len(s.m.Changes()), 1)
	equalAll(t, "states", s.states(1, 2, 4), holdfast.Blocked, holdfast.Blocked, holdfast.Blocked)
	s.must(holdfast.SeatNotForYou, wantSeats(2, 1))
	equalAll(t, "taken", block(holdfast.SeatTaken, true, 1, 3).Taken, 3)
	block(holdfast.OK, true, 1, 2, 5)
	equalAll(t, "states", s.states(1, 2, 4, 5), holdfast.Free, holdfast.Free, holdfast.Blocked, holdfast.Free)
}

func TestNoEventBeyondTheLimit(t *testing.T) {
	s := newShard(t)
	spec := command.EventSpec{Name: "small", Currency: "eur", Tiers: []command.Tier{{Name: "one"}},
		Sections: []command.Section{{Name: "floor", Places: 1}}}
	var cmds []command.Command
	for i := range holdfast.EventsPerShardMax {
		spec.Name = fmt.Sprint("small-", i)
		cmds = append(cmds, &command.PutEvent{Header: command.Header{Event: holdfast.EventID(i + 1)}, Spec: spec})
	}
	for _, r := range s.entry(0, cmds...) {
		equal(t, "outcome", r.Outcome, holdfast.OK)
	}
	spec.Name = "one-more"
	s.must(holdfast.EventsFull, &command.PutEvent{Header: command.Header{Event: holdfast.EventsPerShardMax + 1}, Spec: spec})
}

func TestWhatIsSeenOfAnEvent(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 0, 10)
	s.must(holdfast.OK, begin(r, 1))
	s.must(holdfast.OK, paid(r, 1, "pi"))
	s.hold(2, 20)
	s.must(holdfast.OK, &command.Block{Seats: []holdfast.SeatIndex{30, 59}})

	v, ok := s.m.Event(theEvent)
	equal(t, "found", ok, true)
	equal(t, "title", v.Spec.Title, "Hall")
	equal(t, "sale", v.Sale, holdfast.SaleOpen)
	equal(t, "holds", v.Holds, 1)
	equal(t, "orders", v.Orders, 1)
	counts := func(free, held, paying, sold, blocked uint32) Counts {
		return Counts{free, held, paying, sold, blocked}
	}
	equal(t, "total", v.Total, counts(55, 1, 0, 2, 2))
	equalAll(t, "sections", v.Sections, counts(18, 0, 0, 2, 0), counts(18, 1, 0, 0, 1), counts(19, 0, 0, 0, 1))
	equalAll(t, "tiers", v.Tiers, counts(18, 1, 0, 1, 0), counts(18, 0, 0, 1, 1), counts(19, 0, 0, 0, 1))
	equalAll(t, "allocations", v.Allocations, counts(51, 1, 0, 2, 1), counts(4, 0, 0, 0, 1))
	equal(t, "events", len(s.m.Events()), 1)
	equal(t, "stats", s.m.Stats(), Stats{Events: 1, Holds: 1, Orders: 1, Remembered: s.m.Stats().Remembered, RememberedMax: OutcomesMaxDefault})
	_, ok = s.m.Event(8)
	equal(t, "found another", ok, false)

	cut := s.m.Cut()
	defer cut.Release()
	s.hold(3, 21)
	states, revision, ok := cut.Seats(theEvent)
	equal(t, "found in the cut", ok, true)
	equal(t, "revision", revision, v.Revision)
	equalAll(t, "states", states[19:22], byte(holdfast.Free), byte(holdfast.Held), byte(holdfast.Free))
	var orders []holdfast.OrderID
	for o := range cut.Orders(theEvent) {
		orders = append(orders, o.ID)
	}
	equalAll(t, "orders", orders, r.Hold.Order())
}

func TestTheLeaderTicksWhileSomethingWaits(t *testing.T) {
	s := newShard(t)
	equal(t, "timed", s.m.Timed(), false)
	s.must(holdfast.OK, &command.PutEvent{Spec: hall()})
	equal(t, "timed by a remembered outcome", s.m.Timed(), true)
	s.wait(31_000)
	equal(t, "timed", s.m.Timed(), false)
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	s.hold(1, 1)
	s.wait(31_000)
	equal(t, "timed by a sale", s.m.Timed(), true)
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleClosed})
	s.wait(31_000)
	equal(t, "timed by a hold", s.m.Timed(), true)
	s.wait(300_000)
	equal(t, "timed", s.m.Timed(), false)
}

func TestBuyersWhoMeanNothingAreForgotten(t *testing.T) {
	s := newSale(t)
	for n := range byte(20) {
		s.hold(n+1, holdfast.SeatIndex(n))
	}
	kept := s.hold(30, 39)
	s.must(holdfast.OK, &command.Sell{Hold: kept.Hold, As: command.SaleInvoiced, Amount: kept.Amount})
	equal(t, "buyers", s.m.state.buyers.live(), 21)
	s.wait(330_000)
	s.entry(0)
	s.entry(0)
	equal(t, "buyers", s.m.state.buyers.live(), 1)
	s.hold(30, 38)
}
