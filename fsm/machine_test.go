package fsm

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// shard drives a machine the way a leader would, and checks it after every entry.
type shard struct {
	testing.TB
	m     *Machine
	index uint64
	ids   uint64 // makes command ids
	out   command.Output

	packed []byte // the last entry
}

const theEvent = holdfast.EventID(7)

func newShard(t testing.TB) *shard {
	s := &shard{TB: t, m: New(Config{Shard: 3})}
	s.entry(1000) // the clock is not at 0, as it never is
	return s
}

// newSale makes a shard with one event on sale: two sections of two rows of ten, and twenty places.
func newSale(t testing.TB, change ...func(*command.EventSpec)) *shard {
	s := newShard(t)
	spec := hall()
	for _, c := range change {
		c(&spec)
	}
	s.must(holdfast.OK, &command.PutEvent{Spec: spec})
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	return s
}

func hall() command.EventSpec {
	rows := []command.Row{{Label: "A", First: 1, Seats: 10, Tier: holdfast.AnyTier}, {Label: "B", First: 1, Seats: 10, Tier: 1}}
	return command.EventSpec{
		Name: "hall", Title: "Hall", Currency: "eur",
		Tiers:       []command.Tier{{Name: "gold", PriceMinor: 5000}, {Name: "silver", PriceMinor: 3000}, {Name: "gift"}},
		Sections:    []command.Section{{Name: "left", Rows: rows}, {Name: "right", Rows: rows}, {Name: "floor", Tier: 2, Places: 20}},
		Allocations: []command.Allocation{{Name: "sponsor", Spans: []command.Span{{Section: 1, Row: 1, First: 0, Last: 4}}}},
	}
}

// entry applies one entry whose commands run stepMs after the last, and gives their results.
func (s *shard) entry(stepMs uint32, cmds ...command.Command) []command.Result {
	s.Helper()
	b := command.BeginEntry(nil)
	for _, c := range cmds {
		head := c.Head()
		if head.ID == (holdfast.CommandID{}) {
			head.ID = s.newID(30_000)
		}
		if head.Event == 0 {
			head.Event = theEvent
		}
		b = c.Append(b)
	}
	s.index++
	s.out.Answer = true
	s.packed = command.FinishEntry(b, stepMs*1000, int64(s.index)*1000, len(cmds))
	s.m.Apply(s.index, s.packed, &s.out)
	s.sound()
	results, rest := make([]command.Result, len(cmds)), s.out.Results
	for i := range results {
		var err error
		if rest, err = command.DecodeResult(rest, &results[i]); err != nil {
			s.Fatal(err)
		}
	}
	return results
}

// sound fails the test when an invariant is broken.
func (s *shard) sound() {
	s.Helper()
	for _, v := range s.m.Check() {
		s.Error(v)
	}
	if s.Failed() {
		s.FailNow()
	}
}

// newID makes the id of a command that is valid for so long.
func (s *shard) newID(validMs uint64) holdfast.CommandID {
	s.ids++
	var random [10]byte
	binary.BigEndian.PutUint64(random[2:], s.ids)
	return holdfast.NewCommandID(s.m.Clock()+holdfast.Clock(validMs)*1000, random)
}

// wait lets time pass without commands.
func (s *shard) wait(ms uint32) {
	s.Helper()
	for ; ms > 500; ms -= 500 {
		s.entry(500)
	}
	s.entry(ms)
}

// must runs one command and wants this outcome.
func (s *shard) must(want holdfast.Outcome, c command.Command) command.Result {
	s.Helper()
	r := s.entry(0, c)[0]
	if r.Outcome != want {
		s.Fatalf("%T: %s, want %s\n%+v", c, r.Outcome, want, r)
	}
	return r
}

// hold makes a hold of these units.
func (s *shard) hold(buyer byte, seats ...holdfast.SeatIndex) command.Result {
	s.Helper()
	return s.must(holdfast.OK, wantSeats(buyer, seats...))
}

func wantSeats(buyer byte, seats ...holdfast.SeatIndex) *command.Hold {
	return &command.Hold{Buyer: buyerNo(buyer), Wants: []command.Want{{Kind: command.WantSeats, Seats: seats}}}
}

func buyerNo(n byte) holdfast.BuyerID { return holdfast.BuyerID{0: n, 15: n} }

func eur(amount int64) holdfast.Money { return holdfast.Money{AmountMinor: amount, Currency: "eur"} }

// states gives the states of units.
func (s *shard) states(units ...holdfast.SeatIndex) (states []holdfast.SeatState) {
	for _, u := range units {
		states = append(states, s.m.event(theEvent).units.state(u))
	}
	return states
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func equalAll[T comparable](t testing.TB, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s are %v, want %v", what, got, want)
	}
}

func TestAHoldTellsWhatTheBuyerNeeds(t *testing.T) {
	s := newSale(t, func(spec *command.EventSpec) { spec.Rules.SeatsPerBuyer = 6 })
	r := s.hold(1, 3, 12)
	equal(t, "hold", r.Hold, holdfast.HoldID(s.lastID()))
	equal(t, "deadline", r.Deadline, s.m.Clock()+300_000_000)
	equal(t, "amount", r.Amount, eur(8000))
	equalAll(t, "seats", r.Seats, 3, 12)
	equal(t, "allowance", r.Allowance, 4)
	equalAll(t, "states", s.states(3, 12, 4), holdfast.Held, holdfast.Held, holdfast.Free)

	changes := s.m.Changes()
	equalAll(t, "changes", changes,
		Change{Event: theEvent, Revision: 3, Seat: 3, State: holdfast.Held, Sale: holdfast.SaleOpen},
		Change{Event: theEvent, Revision: 4, Seat: 12, State: holdfast.Held, Sale: holdfast.SaleOpen})

	view, ok := s.m.Hold(r.Hold)
	equal(t, "found", ok, true)
	equal(t, "buyer", view.Buyer, buyerNo(1))
	equal(t, "state", view.State, holdfast.HoldOpen)
	equalAll(t, "seats", view.Seats, 3, 12)
}

// lastID gives the id that was made last.
func (s *shard) lastID() holdfast.CommandID {
	s.ids--
	return s.newID(30_000)
}

func TestAllOrNothing(t *testing.T) {
	s := newSale(t)
	s.hold(1, 5)
	r := s.must(holdfast.SeatHeld, wantSeats(2, 4, 5, 6))
	equalAll(t, "taken", r.Taken, 5)
	equal(t, "alternatives", len(r.Near), 3)
	equalAll(t, "states", s.states(4, 5, 6), holdfast.Free, holdfast.Held, holdfast.Free)
	s.must(holdfast.SeatNotForYou, wantSeats(2, 5, 30))
	s.must(holdfast.OK, &command.Hold{Buyer: buyerNo(2), Allocation: 1, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{30}}}})
}

func TestAWantIsRefusedThatTheEventCannotMeet(t *testing.T) {
	s := newSale(t)
	for name, want := range map[string]command.Want{
		"a unit beyond the last":      {Kind: command.WantSeats, Seats: []holdfast.SeatIndex{60}},
		"a unit twice":                {Kind: command.WantSeats, Seats: []holdfast.SeatIndex{1, 2, 1}},
		"the best of the floor":       {Kind: command.WantBest, Section: 2, Tier: holdfast.AnyTier, Count: 1},
		"the best of a tier too many": {Kind: command.WantBest, Section: holdfast.AnySection, Tier: 3, Count: 1},
		"a place among seats":         {Kind: command.WantGeneral, Section: 0, Count: 1},
		"a place nowhere":             {Kind: command.WantGeneral, Section: 3, Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s.TB = t
			s.must(holdfast.WantInvalid, &command.Hold{Buyer: buyerNo(1), Wants: []command.Want{want}})
		})
	}
	s.TB = t
	s.must(holdfast.WantInvalid, &command.Hold{Buyer: buyerNo(1), Allocation: 2, Wants: []command.Want{{Kind: command.WantGeneral, Section: 2, Count: 1}}})
	s.must(holdfast.HoldTooLarge, &command.Hold{Buyer: buyerNo(1), Wants: []command.Want{{Kind: command.WantGeneral, Section: 2, Count: 9}}})
}

func TestNamedGeneralAndBestInOneHold(t *testing.T) {
	s := newSale(t)
	r := s.must(holdfast.OK, &command.Hold{Buyer: buyerNo(1), Wants: []command.Want{
		{Kind: command.WantGeneral, Section: 2, Count: 2},
		{Kind: command.WantBest, Section: holdfast.AnySection, Tier: 0, Count: 2, Adjacent: true},
		{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{5}},
	}})
	equalAll(t, "seats", r.Seats, 5, 40, 41, 3, 4)
	equal(t, "amount", r.Amount, eur(15000))
}

func TestOneHoldABuyer(t *testing.T) {
	s := newSale(t)
	first := s.hold(1, 1)
	r := s.must(holdfast.BuyerHasHold, wantSeats(1, 2))
	equal(t, "hold in the way", r.Hold, first.Hold)
	s.must(holdfast.OK, &command.BeginPayment{Buyer: buyerNo(1), Hold: first.Hold, Attempt: 1, Amount: first.Amount})
	s.must(holdfast.BuyerHasHold, wantSeats(1, 2))
	s.must(holdfast.OK, &command.Sell{Hold: first.Hold, As: command.SalePaid, Attempt: 1, Amount: first.Amount, Payment: "pi_1"})
	s.hold(1, 2)
}

func TestTheBuyersLimitCountsWhatIsHeldAndSold(t *testing.T) {
	s := newSale(t, func(spec *command.EventSpec) { spec.Rules.SeatsPerBuyer, spec.Rules.ManyOpenHolds = 3, true })
	first := s.hold(1, 1)
	s.must(holdfast.OK, &command.Sell{Hold: first.Hold, As: command.SaleInvoiced, Amount: first.Amount})
	equal(t, "allowance", s.hold(1, 2).Allowance, 1)
	equal(t, "allowance", s.must(holdfast.BuyerOverLimit, wantSeats(1, 3, 4)).Allowance, 1)
	equal(t, "allowance", s.hold(1, 3).Allowance, 0)
	s.hold(2, 4, 5, 6)
}

func TestALapsedHoldGivesItsSeatsBackAndCoolsItsBuyer(t *testing.T) {
	s := newSale(t)
	hold := s.hold(1, 1, 2).Hold
	s.wait(299_999)
	equalAll(t, "states", s.states(1, 2), holdfast.Held, holdfast.Held)
	s.wait(1)
	equalAll(t, "states", s.states(1, 2), holdfast.Free, holdfast.Free)
	equal(t, "changes", len(s.m.Changes()), 2)
	how, _ := s.m.Ended(hold)
	equal(t, "end", how, holdfast.HoldLapsed)
	s.must(holdfast.HoldLapsed, &command.Extend{Buyer: buyerNo(1), Hold: hold})

	r := s.must(holdfast.BuyerCoolingDown, wantSeats(1, 1))
	equal(t, "retry after", r.RetryAfterMs, 30_000)
	s.wait(29_999)
	equal(t, "retry after", s.must(holdfast.BuyerCoolingDown, wantSeats(1, 1)).RetryAfterMs, 1)
	s.wait(1)
	s.hold(1, 1)
}

func TestLapsesGoInOrderOfDeadlineAndThenOfId(t *testing.T) {
	s := newSale(t)
	late := &command.Hold{Header: command.Header{ID: s.newID(40_000)}, Buyer: buyerNo(1), Wants: wantSeats(1, 9).Wants}
	soon := &command.Hold{Header: command.Header{ID: s.newID(20_000)}, Buyer: buyerNo(2), Wants: wantSeats(2, 5).Wants}
	s.entry(0, late, soon)
	s.entry(1, wantSeats(3, 1))
	s.wait(300_000)
	var seats []holdfast.SeatIndex
	for _, c := range s.m.Changes() {
		seats = append(seats, c.Seat)
	}
	equalAll(t, "seats in order", seats, 5, 9, 1)
}

func TestExtendOnce(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1)
	s.must(holdfast.HoldNotYours, &command.Extend{Buyer: buyerNo(2), Hold: r.Hold})
	extended := s.must(holdfast.OK, &command.Extend{Buyer: buyerNo(1), Hold: r.Hold})
	equal(t, "deadline", extended.Deadline, r.Deadline+120_000_000)
	s.must(holdfast.HoldNotExtendable, &command.Extend{Buyer: buyerNo(1), Hold: r.Hold})
	s.wait(419_999)
	equalAll(t, "states", s.states(1), holdfast.Held)
	s.wait(1)
	equalAll(t, "states", s.states(1), holdfast.Free)
}

func TestReleaseGivesBackAtOnce(t *testing.T) {
	s := newSale(t)
	hold := s.hold(1, 1, 2).Hold
	s.must(holdfast.HoldUnknown, &command.Release{Buyer: buyerNo(1), Hold: holdfast.HoldID{1}})
	s.must(holdfast.HoldNotYours, &command.Release{Buyer: buyerNo(2), Hold: hold})
	s.must(holdfast.OK, &command.Release{Buyer: buyerNo(1), Hold: hold})
	equalAll(t, "states", s.states(1, 2), holdfast.Free, holdfast.Free)
	s.must(holdfast.HoldReleased, &command.Release{Buyer: buyerNo(1), Hold: hold})
	s.hold(1, 2, 3)
}

func TestSwapKeepsDeadlineAndPrices(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1, 2)
	dearer := hall()
	dearer.Tiers[0].PriceMinor = 9000
	dearer.Tiers = append(dearer.Tiers, command.Tier{Name: "platinum", PriceMinor: 20000})
	dearer.Sections = append(dearer.Sections, command.Section{Name: "box", Tier: 3, Rows: []command.Row{{Label: "A", Seats: 4, Tier: holdfast.AnyTier}}})
	s.must(holdfast.OK, &command.PutEvent{Expect: 1, Spec: dearer})

	swap := func(seats ...holdfast.SeatIndex) *command.Swap {
		return &command.Swap{Buyer: buyerNo(1), Hold: r.Hold, Wants: wantSeats(1, seats...).Wants}
	}
	s.hold(2, 4)
	s.must(holdfast.SeatHeld, swap(2, 3, 4))
	equalAll(t, "states", s.states(1, 2, 3), holdfast.Held, holdfast.Held, holdfast.Free)
	got := s.must(holdfast.OK, swap(2, 3, 60))
	equalAll(t, "seats", got.Seats, 2, 3, 60)
	equal(t, "deadline", got.Deadline, r.Deadline)
	equal(t, "amount", got.Amount, eur(5000+5000+20000))
	equalAll(t, "states", s.states(1, 2, 3, 60), holdfast.Free, holdfast.Held, holdfast.Held, holdfast.Held)
	var moved []holdfast.SeatIndex
	for _, c := range s.m.Changes() {
		moved = append(moved, c.Seat)
	}
	equalAll(t, "moved seats", moved, 1, 3, 60)
	equal(t, "amount of a new hold", s.hold(3, 1).Amount, eur(9000))
	s.must(holdfast.HoldNotYours, &command.Swap{Buyer: buyerNo(2), Hold: r.Hold, Wants: wantSeats(2, 9).Wants})
}

func TestARepeatHasTheFirstOutcome(t *testing.T) {
	s := newSale(t)
	first := wantSeats(1, 1)
	won := s.must(holdfast.OK, first)
	again := s.must(holdfast.OK, first)
	equal(t, "repeated", again.Repeated, true)
	equal(t, "deadline", again.Deadline, won.Deadline)
	equal(t, "changes", len(s.m.Changes()), 0)

	lost := wantSeats(2, 1)
	s.must(holdfast.SeatHeld, lost)
	s.must(holdfast.OK, &command.Release{Buyer: buyerNo(1), Hold: won.Hold})
	refused := s.must(holdfast.SeatHeld, lost)
	equal(t, "repeated", refused.Repeated, true)
	equal(t, "taken now", len(refused.Taken), 0)
	gone := s.must(holdfast.OK, first)
	equal(t, "hold", gone.Hold, won.Hold)
	equal(t, "seats that the hold has now", len(gone.Seats), 0)

	other := wantSeats(1, 2)
	other.ID = first.ID
	s.must(holdfast.CommandReused, other)
	s.wait(30_001)
	s.must(holdfast.CommandExpired, lost)
	far := wantSeats(1, 2)
	far.ID = s.newID(60_001)
	s.must(holdfast.CommandTooFar, far)
}

func TestNothingIsDoneThatCannotBeRemembered(t *testing.T) {
	s := &shard{TB: t, m: New(Config{OutcomesMax: 2})}
	put := &command.PutEvent{Spec: hall()}
	s.must(holdfast.OK, put)
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	s.must(holdfast.CommandUnremembered, wantSeats(1, 1))
	s.must(holdfast.OK, put)
	equalAll(t, "states", s.states(1), holdfast.Free)
	s.wait(31_000)
	s.hold(1, 1)
}

func TestApplyStopsAtWhatItCannotBe(t *testing.T) {
	good := command.FinishEntry((&command.Mark{Header: command.Header{ID: holdfast.CommandID{5: 9}}}).Append(command.BeginEntry(nil)), 0, 0, 1)
	for name, apply := range map[string]func(*Machine){
		"a damaged entry": func(m *Machine) {
			bad := slices.Clone(good)
			bad[9] ^= 1
			m.Apply(1, bad, &command.Output{})
		},
		"an entry again": func(m *Machine) {
			m.Apply(1, good, &command.Output{})
			m.Apply(1, good, &command.Output{})
		},
		"a command of the directory's": func(m *Machine) {
			m.Apply(1, command.FinishEntry((&command.AssignEvent{Spec: hall()}).Append(command.BeginEntry(nil)), 0, 0, 1), &command.Output{})
		},
		"a command that does not decode": func(m *Machine) {
			m.Apply(1, command.FinishEntry((&command.SetSale{State: 9}).Append(command.BeginEntry(nil)), 0, 0, 1), &command.Output{})
		},
		"more commands than counted": func(m *Machine) {
			m.Apply(1, command.FinishEntry((&command.Mark{}).Append(command.BeginEntry(nil)), 0, 0, 0), &command.Output{})
		},
		"fewer commands than counted": func(m *Machine) {
			m.Apply(1, command.FinishEntry((&command.Mark{}).Append(command.BeginEntry(nil)), 0, 0, 2), &command.Output{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				var failed *AssertionError
				if err, ok := recover().(error); !ok || !errors.As(err, &failed) {
					t.Errorf("Apply gave %v, want an AssertionError", err)
				}
			}()
			apply(New(Config{}))
		})
	}
}

func TestAMarkIsSeenUntilTheNextEntry(t *testing.T) {
	s := newShard(t)
	mark := &command.Mark{}
	s.must(holdfast.OK, mark)
	equal(t, "marked", s.m.Marked(), true)
	s.entry(0)
	equal(t, "marked", s.m.Marked(), false)
	s.must(holdfast.OK, mark)
	equal(t, "marked by a repeat", s.m.Marked(), true)
}

func TestTheClockGoesByStepsAndTheWallClockNeverBack(t *testing.T) {
	s := newShard(t)
	before := s.m.Clock()
	s.entry(10_000)
	equal(t, "step", s.m.Clock()-before, 500_000)
	wall := s.m.WallMs()
	s.index++
	s.m.Apply(s.index, command.FinishEntry(command.BeginEntry(nil), 0, 5, 0), &s.out)
	equal(t, "wall clock", s.m.WallMs(), wall)
}
