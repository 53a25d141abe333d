package fsm_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// A command to which several refusals apply gets the first of holdfast.Outcomes. Each ladder is one kind of command
// that has everything wrong with it, mended step by step until it is OK: so each refusal is seen while those below it
// apply too, and the outcomes must come in order. Together the ladders reach every outcome that there is.
//
// The language is that of the transcripts.

type rung struct {
	want holdfast.Outcome
	ask  string // the command
	mend string // what is done before it; all of it must be OK. "wait 1s" is among what can be done
}

// house has two rows and some places. It is full of trouble: see the ladders.
const house = `put 0
  tier std 1000
  tier free 0
  section stalls std
  row A 8
  row B 3
  row C 3 free
  section floor std
  places 3
  section ring std
  places 1
  allocation sponsor B3-3
  rules `

// changed is the same house with other rules.
func changed(version, rules string) string {
	return strings.Replace(house, "put 0", "put "+version, 1) + rules
}

// lined is the same house with a line.
const lined = house + "per-hold=2 per-buyer=2 ttl=1h\n  line idle=1h session=2h"

var ladders = map[string][]rung{
	"the id": {
		{holdfast.CommandExpired, "late = evt_2 hold ann A9", "late for 1s = mark\nwait 1s\nwait 1ms"},
		{holdfast.CommandTooFar, "far for 60001ms = evt_2 hold ann A9", ""},
		{holdfast.CommandReused, "used = evt_2 hold ann A9", "used = mark"},
		{holdfast.EventUnknown, "evt_2 hold ann A9", ""},
	},
	"hold": {
		{holdfast.EventUnknown, "evt_2 hold ann A9", ""},
		{holdfast.EventNotOpen, "hold ann A9", house + "ttl=2s cool-down=1h many-holds"},
		{holdfast.EventPaused, "hold ann A9", "open\npause"},
		{holdfast.EventClosed, "evt_3 hold ann A9", strings.Replace(house, "put", "evt_3 put", 1) + "\nevt_3 close"},
		{holdfast.WantInvalid, "hold ann A9 and best 9", "open"},
		// One hold lapses while another lives: its buyer has a hold, is cooling down, and has as many as may be.
		{holdfast.HoldTooLarge, "hold ann best 9", "hold ann A1\nwait 1s\nkept = hold ann A2\nextend ann kept\nwait 1s\n" +
			changed("1", "cool-down=1h per-buyer=1 per-hold=8 no-orphans")},
		{holdfast.BuyerHasHold, "hold ann B3", ""},
		{holdfast.BuyerCoolingDown, "hold ann B3", "sell kept invoiced 1000eur"},
		// From here on ben, who does not cool down but has his fill.
		{holdfast.BuyerOverLimit, "hold ben B3 A2", "filled = hold ben A1\nsell filled invoiced 1000eur"},
		// A1 and A2 are sold, A3 is in payment, A4 held, A5 free, A6 blocked. A7 would leave A8 alone; one place is left
		// on the floor, where one is held and one sold; the ring is sold.
		{holdfast.SeatNotForYou, "hold cid A6 A4 A3 A2 and general 1 ring", changed("2", "no-orphans") + "\npaying = hold dan A3\npay dan paying #1 1000eur\nhold eva A4\nblock A6\n" +
			"hold fay floor.1\nf = hold gus floor.2\nsell f invoiced 1000eur\nr = hold hal ring.1\nsell r invoiced 1000eur"},
		{holdfast.SeatNotForYou, "hold cid B3 A4 A3 A2 and general 1 ring", ""},
		{holdfast.SeatSold, "hold cid A4 A3 A2 and general 1 ring", ""},
		{holdfast.SeatInPayment, "hold cid A4 A3 and general 1 ring", ""},
		{holdfast.SeatHeld, "hold cid A4 and general 1 ring", ""},
		{holdfast.NotEnough, "hold cid B2 and general 2 floor", ""},
		{holdfast.SoldOut, "hold cid C2 and general 1 ring", ""},
		{holdfast.SeatOrphaned, "hold cid C2 and general 1 floor", ""},
		{holdfast.OK, "hold cid C1 and general 1 floor", ""},
	},
	"swap": {
		{holdfast.EventUnknown, "evt_2 swap ann none A9", ""},
		{holdfast.EventNotOpen, "swap ann none A9", house + "ttl=2s many-holds skip-cool-down"},
		{holdfast.EventPaused, "swap ann none A9", "open\npause"},
		{holdfast.EventClosed, "evt_3 swap ann none A9", strings.Replace(house, "put", "evt_3 put", 1) + "\nevt_3 close"},
		{holdfast.WantInvalid, "swap ann none A9 and best 9", "open"},
		{holdfast.HoldTooLarge, "swap ann none best 9", ""},
		{holdfast.HoldUnknown, "swap ann none A6", ""},
		{holdfast.HoldLapsed, "swap ben lapsed A6", "lapsed = hold ann A1\nwait 2s"},
		{holdfast.HoldReleased, "swap ben released A6", "released = hold ann A1\nrelease ann released"},
		{holdfast.HoldNotYours, "swap ben paying A6", "paying = hold ann A1\npay ann paying #1 1000eur"},
		{holdfast.HoldInPayment, "swap ann paying A6", ""},
		{holdfast.HoldAlreadySold, "swap ann paying A6", "sell paying paid #1 1000eur pi_1\n" + changed("1", "ttl=2s per-buyer=2 no-orphans")},
		{holdfast.BuyerOverLimit, "swap ann open A6 A1", "block A6\nopen = hold ann A2"},
		{holdfast.SeatNotForYou, "swap ann open A6 A1", changed("2", "no-orphans")},
		{holdfast.SeatSold, "swap ann open A1 and general 1 ring", "block ring.1"},
		{holdfast.SoldOut, "swap ann open B2 and general 1 ring", ""},
		{holdfast.SeatOrphaned, "swap ann open C2", ""},
		{holdfast.OK, "swap ann open C1", ""},
	},
	"extend": {
		{holdfast.EventUnknown, "evt_2 extend ben none", ""},
		{holdfast.HoldUnknown, "extend ben none", house + "ttl=2s many-holds skip-cool-down\nopen"},
		{holdfast.HoldLapsed, "extend ben lapsed", "lapsed = hold ann A1\nextended = hold ann A2\nextend ann extended\nwait 2s"},
		{holdfast.HoldReleased, "extend ben released", "released = hold ann A1\nrelease ann released"},
		{holdfast.HoldNotYours, "extend ben extended", "pay ann extended #1 1000eur"},
		{holdfast.HoldInPayment, "extend ann extended", ""},
		{holdfast.HoldAlreadySold, "extend ann extended", "sell extended paid #1 1000eur pi_1"},
		{holdfast.HoldNotExtendable, "extend ann again", "again = hold ann A3\nextend ann again"},
		{holdfast.OK, "extend ann once", "once = hold ann A4"},
	},
	"release": {
		{holdfast.EventUnknown, "evt_2 release ben none", ""},
		{holdfast.HoldUnknown, "release ben none", house + "ttl=2s many-holds skip-cool-down\nopen"},
		{holdfast.HoldLapsed, "release ben lapsed", "lapsed = hold ann A1\nwait 2s"},
		{holdfast.HoldReleased, "release ben released", "released = hold ann A1\nrelease ann released"},
		{holdfast.HoldNotYours, "release ben paying", "paying = hold ann A2\npay ann paying #1 1000eur"},
		{holdfast.HoldInPayment, "release ann paying", ""},
		{holdfast.HoldAlreadySold, "release ann paying", "sell paying paid #1 1000eur pi_1"},
		{holdfast.OK, "release ann open", "open = hold ann A3"},
	},
	"begin payment": {
		{holdfast.EventUnknown, "evt_2 pay ben none #9 1usd", ""},
		{holdfast.HoldUnknown, "pay ben none #9 1usd", house + "ttl=2s pay=1s many-holds skip-cool-down\nopen"},
		{holdfast.HoldLapsed, "pay ben lapsed #9 1usd", "lapsed = hold ann A1\nwait 2s"},
		{holdfast.HoldReleased, "pay ben released #9 1usd", "released = hold ann A1\nrelease ann released"},
		{holdfast.HoldNotYours, "pay ben closing #9 1usd", "closing = hold ann A2\npay ann closing #1 1000eur\nwait 1s"},
		{holdfast.HoldInPayment, "pay ann closing #9 1usd", ""},
		{holdfast.HoldAlreadySold, "pay ann closing #9 1usd", "sell closing paid #1 1000eur pi_1"},
		{holdfast.AttemptStale, "pay ann open #2 1usd", "open = hold ann A3\nfree = hold ann C1"},
		{holdfast.AmountMismatch, "pay ann open #1 1usd", ""},
		{holdfast.AmountMismatch, "pay ann free #1 0eur", ""},
		{holdfast.OK, "pay ann open #1 1000eur", ""},
	},
	"sell": {
		{holdfast.EventUnknown, "evt_2 sell none paid #9 1usd pi_1", ""},
		{holdfast.HoldUnknown, "sell none paid #9 1usd pi_1", house + "ttl=2s pay=1s many-holds skip-cool-down\nopen"},
		{holdfast.HoldLapsed, "sell lapsed paid #9 1usd pi_1", "lapsed = hold ann A1\nwait 2s"},
		{holdfast.HoldReleased, "sell released paid #9 1usd pi_1", "released = hold ann A1\nrelease ann released"},
		{holdfast.HoldInPayment, "sell paying invoiced 1usd", "paying = hold ann A2\npay ann paying #1 1000eur"},
		{holdfast.HoldInPayment, "sell paying free 1usd", ""},
		{holdfast.HoldAlreadySold, "sell paying paid #9 1usd pi_2", "sell paying paid #1 1000eur pi_1"},
		{holdfast.AttemptStale, "sell open paid #1 1usd pi_1", "open = hold ann A3"},
		{holdfast.AttemptStale, "sell open paid #2 1usd pi_1", "pay ann open #1 1000eur"},
		{holdfast.AmountMismatch, "sell open paid #1 1usd pi_1", ""},
		{holdfast.AmountMismatch, "sell costly free 1000eur", "costly = hold ann A4"},
		{holdfast.PaymentReused, "sell open paid #1 1000eur pi_1", ""},
		{holdfast.PaymentRequired, "sell costly free 0eur", ""},
		{holdfast.OK, "sell open paid #1 1000eur pi_2", ""},
	},
	"put event": {
		{holdfast.EventUnknown, changed("1", "ttl=1s"), ""},
		{holdfast.EventChanged, strings.Replace(changed("2", "ttl=1s"), "row A 8", "row A 7", 1), house},
		{holdfast.EventConflict, strings.Replace(changed("1", "ttl=1s"), "row A 8", "row A 7", 1), ""},
		{holdfast.OK, changed("1", "ttl=1s"), ""},
	},
	"set sale": {
		{holdfast.EventUnknown, "evt_2 pause", ""},
		{holdfast.EventNotOpen, "pause", house},
		{holdfast.EventClosed, "open", "close"},
		{holdfast.OK, "close", ""},
	},
	"hold in a line": {
		{holdfast.EventNotOpen, "hold ann A9", lined},
		{holdfast.SessionRequired, "hold ann A9 and best 9", "open\nopenline s\ndraw\nenter ann ben"},
		{holdfast.SessionRequired, "hold ben A9", "admit 9\nredeem ann"},
		{holdfast.WantInvalid, "hold ann A9 and best 9", ""},
		{holdfast.OK, "hold ann A1", ""},
	},
	"open line": {
		{holdfast.EventUnknown, "evt_2 openline s", ""},
		{holdfast.EventClosed, "evt_3 openline s", "evt_3 " + lined + "\nevt_3 close"},
		{holdfast.LineNotOpen, "openline s", house},
		{holdfast.LineConflict, "evt_4 openline s", "evt_4 " + lined + "\nevt_4 openline other"},
		{holdfast.OK, "evt_4 openline other", ""},
	},
	"enter": {
		{holdfast.EventUnknown, "evt_2 enter ann", ""},
		{holdfast.EventClosed, "evt_3 enter ann", "evt_3 " + lined + "\nevt_3 openline s\nevt_3 close"},
		{holdfast.LineNotOpen, "enter ann", lined},
		{holdfast.LineEnded, "evt_4 enter ann", "evt_4 " + lined + "\nevt_4 openline s\nevt_4 over"},
		{holdfast.OK, "enter ann", "openline s"},
	},
	"draw": {
		{holdfast.EventUnknown, "evt_2 draw round 9", ""},
		{holdfast.EventClosed, "evt_3 draw round 9", "evt_3 " + lined + "\nevt_3 openline s\nevt_3 close"},
		{holdfast.LineNotOpen, "draw round 9", lined + " beacon=1s fallback=5s"},
		{holdfast.LineEnded, "evt_4 draw round 9", "evt_4 " + lined + "\nevt_4 openline s\nevt_4 over"},
		{holdfast.LineConflict, "draw round 9", "openline s"},
		{holdfast.BeaconAwaited, "draw", "freeze"},
		{holdfast.BeaconInvalid, "draw round 9", ""},
		{holdfast.BeaconInvalid, "draw forged 2", ""},
		{holdfast.BeaconInvalid, "evt_5 draw round 2", "evt_5 " + lined + "\nevt_5 openline s"},
		{holdfast.OK, "draw round 2", ""},
	},
	"redeem": {
		{holdfast.EventUnknown, "evt_2 redeem ann", ""},
		{holdfast.EventClosed, "evt_3 redeem ann", "evt_3 " + lined + "\nevt_3 openline s\nevt_3 close"},
		{holdfast.LineNotOpen, "redeem ann as ben", lined + " call=2s ceiling=1"},
		{holdfast.LineEnded, "evt_4 redeem ann", "evt_4 " + lined + "\nevt_4 openline s\nevt_4 over"},
		{holdfast.LineNotDrawn, "redeem ann as ben", "open\nopenline s"},
		{holdfast.PlaceUnproven, "redeem ann as ben", "draw\nenter ann ben cid dan\nadmit 1\nstop"},
		{holdfast.PlaceSpent, "redeem cid", "leave cid"},
		{holdfast.TurnAwaited, "redeem ben", ""},
		{holdfast.TurnMissed, "redeem ann", "go\nwait 3s\nstop"},
		{holdfast.LinePaused, "redeem ben", "go\nadmit 1\nstop"},
		{holdfast.SessionsFull, "redeem dan", "go\nredeem ben\nceiling 3\nadmit 3\nceiling 1"},
		{holdfast.OK, "redeem dan", "ceiling 5"},
	},
	"admit": {
		{holdfast.EventUnknown, "evt_2 admit 1", ""},
		{holdfast.EventNotOpen, "admit 1", lined},
		{holdfast.EventPaused, "admit 1", "open\npause"},
		{holdfast.EventClosed, "evt_3 admit 1", "evt_3 " + lined + "\nevt_3 close"},
		{holdfast.LineNotOpen, "admit 1", "open"},
		{holdfast.LineEnded, "evt_4 admit 1", "evt_4 " + lined + "\nevt_4 open\nevt_4 openline s\nevt_4 over"},
		{holdfast.LineNotDrawn, "admit 1", "openline s\nstop"},
		{holdfast.LinePaused, "admit 1", "draw"},
		{holdfast.OK, "admit 1", "go"},
	},
	"set line": {
		{holdfast.EventUnknown, "evt_2 freeze", ""},
		{holdfast.LineNotOpen, "freeze", lined},
		{holdfast.LineEnded, "evt_3 freeze", "evt_3 " + lined + "\nevt_3 openline s\nevt_3 over"},
		{holdfast.LineConflict, "freeze", "openline s\ndraw"},
		{holdfast.LineConflict, "evt_4 freeze", "evt_4 " + lined + " draw=9s\nevt_4 openline s"},
		{holdfast.OK, "evt_5 freeze", "evt_5 " + lined + "\nevt_5 openline s"},
	},
	"leave line": {
		{holdfast.EventUnknown, "evt_2 leave ann", ""},
		{holdfast.LineNotOpen, "leave ann", lined},
		{holdfast.PlaceUnproven, "leave ann as ben", "open\nopenline s\ndraw\nenter ann ben cid\nadmit 5"},
		{holdfast.PlaceSpent, "leave ben", "redeem ben\nb = hold ben C1\nsell b free 0eur"},
		{holdfast.BuyerHasHold, "leave ann", "redeem ann\na = hold ann A1"},
		{holdfast.OK, "leave ann", "release ann a"},
	},
	"join returns": {
		{holdfast.EventUnknown, "evt_2 returns ann 9", ""},
		{holdfast.EventNotOpen, "returns ann 9", lined},
		{holdfast.EventPaused, "returns ann 9", "open\npause"},
		{holdfast.EventClosed, "evt_3 returns ann 9", "evt_3 " + lined + "\nevt_3 close"},
		{holdfast.LineNotOpen, "returns ann 9", "open"},
		{holdfast.LineEnded, "evt_4 returns ann 9", "evt_4 " + lined + "\nevt_4 open\nevt_4 openline s\nevt_4 over"},
		{holdfast.LineNotDrawn, "returns ann 9", "openline s"},
		{holdfast.PlaceUnproven, "returns zoe 9 in nowhere", "draw\nenter ann ben cid\nadmit 5"},
		{holdfast.PlaceSpent, "returns cid 9 in nowhere", "leave cid"},
		{holdfast.WantInvalid, "returns ann 9 in nowhere", "redeem ann\na = hold ann A1 A2"},
		{holdfast.HoldTooLarge, "returns ann 9", ""},
		{holdfast.BuyerHasHold, "returns ann 2", ""},
		{holdfast.BuyerOverLimit, "returns ben 2", changed("1", "per-hold=2 per-buyer=1 ttl=1h\n  line idle=1h session=2h")},
		{holdfast.ReturnsNotYet, "returns ben 2", changed("2", "per-hold=2 per-buyer=2 ttl=1h\n  line idle=1h session=2h")},
		{holdfast.OK, "returns ben 2 in ring", ""}, // which has one
	},
	"leave returns": {
		{holdfast.EventUnknown, "evt_2 noreturns ann", ""},
		{holdfast.LineNotOpen, "noreturns ann", lined},
		{holdfast.OK, "noreturns ann", "openline s"},
	},
	"block": {
		{holdfast.EventUnknown, "evt_2 block A1 A9", ""},
		{holdfast.WantInvalid, "block A1 A9", house + "\nopen\nhold ann A1"},
		{holdfast.SeatTaken, "block A1 A2", ""},
		{holdfast.OK, "block A2", ""},
	},
}

func TestTheFirstRefusalWinsAndEveryOneIsReached(t *testing.T) {
	order := holdfast.Outcomes()
	place := func(o holdfast.Outcome) int {
		if o == holdfast.OK {
			return len(order) // what is left when nothing is refused
		}
		return slices.Index(order, o)
	}
	reached := reached{}
	for name, ladder := range ladders {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, fsm.Config{})
			last := -1
			for _, r := range ladder {
				s.mend(r.mend)
				got := s.apply(0, strings.Split(r.ask, "\n"))[0].result.Outcome
				if got != r.want {
					t.Fatalf("%s: %s, want %s", r.ask, got.String(), r.want.String())
				}
				if place(got) < last {
					t.Errorf("%s: %s stands in the ladder below what it goes before", r.ask, got.String())
				}
				last = place(got)
				reached[got]++
			}
		})
	}
	t.Run("the memory", func(t *testing.T) {
		s := newStory(t, fsm.Config{OutcomesMax: 1})
		s.mend("used = mark")
		for _, r := range []rung{
			{holdfast.CommandReused, "used = evt_2 hold ann A1", ""},
			{holdfast.CommandUnremembered, "evt_2 hold ann A1", ""},
		} {
			if got := s.apply(0, []string{r.ask})[0].result.Outcome; got != r.want {
				t.Errorf("%s: %s, want %s", r.ask, got.String(), r.want.String())
			}
			reached[r.want]++
		}
	})
	t.Run("the line", func(t *testing.T) {
		for o, n := range fillLine(t) {
			reached[o] += n
		}
	})
	t.Run("the shard", func(t *testing.T) {
		reached[holdfast.EventsFull] += fillShard(t)
	})
	reached[holdfast.KeysFull]++ // the directory's: its own tests reach it
	for _, o := range order {
		if reached[o] == 0 && !(o >= holdfast.PaymentsPaused && o <= holdfast.IncarnationStale) { // these: TestPaymentsRefuseInOrder
			t.Errorf("no ladder reaches %s", o.String())
		}
	}
}

// mend does what stands in the lines, each command in an entry of its own, and fails if any of it is refused.
func (s *story) mend(lines string) {
	s.t.Helper()
	for rest := meaningful(lines); len(rest) > 0; {
		n := 1
		for n < len(rest) && strings.HasPrefix(rest[n], " ") {
			n++
		}
		if d, ok := strings.CutPrefix(rest[0], "wait "); ok {
			s.wait(duration(s.t, d))
		} else if r := s.apply(0, rest[:n])[0].result; r.Outcome != holdfast.OK {
			s.t.Fatalf("%s: %s", rest[0], r.Outcome.String())
		}
		rest = rest[n:]
	}
}

// fillLine gives out as many places as may be, puts as many on the list for returns as may be, and counts the refusals
// of one more.
func fillLine(t *testing.T) reached {
	m, refused, serial := fsm.New(fsm.Config{}), reached{}, uint64(0)
	do := func(cmds ...command.Command) {
		b := command.BeginEntry(nil)
		for _, c := range cmds {
			serial++
			c.Head().ID = holdfast.NewCommandID(m.Clock().Add(holdfast.ValidityMax), [10]byte(binary.BigEndian.AppendUint64([]byte{0, 0}, serial)))
			c.Head().Event = 1
			b = c.Append(b)
		}
		out := command.Output{Answer: true}
		m.Apply(m.Index()+1, command.FinishEntry(b, 500_000, 0, len(cmds)), &out)
		var r command.Result
		for rest := out.Results; len(rest) > 0; {
			var err error
			if rest, err = command.DecodeResult(rest, &r); err != nil {
				t.Fatal(err)
			}
			refused[r.Outcome]++
		}
	}
	key := func(i int) (k holdfast.PlaceKey) {
		binary.BigEndian.PutUint32(k[:], uint32(i))
		return k
	}
	spec := command.EventSpec{Name: "small", Currency: "eur", Tiers: []command.Tier{{Name: "std"}}, Sections: []command.Section{{Name: "floor", Places: 1}},
		Line: command.LineRules{Enabled: true}}
	do(&command.PutEvent{Spec: spec}, &command.SetSale{State: holdfast.SaleOpen}, &command.OpenLine{Secret: holdfast.LineSecret{1}}, &command.Draw{})
	three := leavesOf(1, []holdfast.PlaceKey{key(0), key(1), key(2)})
	cmds := []command.Command{&command.Enter{Count: 3, Root: draw.Root(three)}}
	for i := 3; i < holdfast.EntersMax+2; i++ { // each a tree of one leaf, whose path is empty
		cmds = append(cmds, &command.Enter{Count: 1, Root: draw.Leaf(1, key(i))})
	}
	do(cmds...)
	do(&command.Enter{Count: 1}, &command.Admit{Count: 1})
	first := command.Proof{Key: key(0), Path: draw.Path(three, 0)}
	do(&command.Redeem{Proof: first}, &command.Hold{Buyer: key(0).Buyer(), Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}})
	cmds = []command.Command{&command.JoinReturns{Proof: command.Proof{Number: 1, Key: key(1), Path: draw.Path(three, 1)}, Count: 1}}
	for i := holdfast.EntersMax + 1; i >= 3; i-- { // each before all those before it
		cmds = append(cmds, &command.JoinReturns{Proof: command.Proof{Number: holdfast.PlaceNumber(i), Key: key(i)}, Count: 1})
	}
	do(cmds...)
	line, _ := m.Line(1)
	if line.Issued != holdfast.EntersMax+2 || line.Returns != holdfast.ReturnsMax || refused[holdfast.LineFull] != 1 || refused[holdfast.ReturnsFull] != 0 {
		t.Errorf("%d places, %d on the list, %v", line.Issued, line.Returns, refused)
	}
	last := command.Proof{Number: 2, Key: key(2), Path: draw.Path(three, 2)}
	do(&command.JoinReturns{Proof: last, Count: 1})
	do(&command.LeaveReturns{Buyer: key(5).Buyer()}, &command.JoinReturns{Proof: last, Count: 1})
	if line, _ = m.Line(1); line.Returns != holdfast.ReturnsMax || refused[holdfast.ReturnsFull] != 1 {
		t.Errorf("%d on the list, %v", line.Returns, refused)
	}
	for _, v := range m.Check() {
		t.Error(v)
	}
	return refused
}

// fillShard puts as many events as may be, and counts the refusals of one more.
func fillShard(t *testing.T) (refused int) {
	m := fsm.New(fsm.Config{})
	spec := command.EventSpec{Name: "small", Currency: "eur", Tiers: []command.Tier{{Name: "std"}}, Sections: []command.Section{{Name: "floor", Places: 1}}}
	put := func(index uint64, from, count int, expect uint32) (outcomes []holdfast.Outcome) {
		b := command.BeginEntry(nil)
		for i := range count {
			id := holdfast.CommandID{6: byte(index), 14: byte(i >> 8), 15: byte(i)}
			b = (&command.PutEvent{Header: command.Header{ID: id, Event: holdfast.EventID(from + i)}, Expect: expect, Spec: spec}).Append(b)
		}
		out := command.Output{Answer: true}
		m.Apply(index, command.FinishEntry(b, 0, 0, count), &out)
		for rest := out.Results; len(rest) > 0; {
			var r command.Result
			var err error
			if rest, err = command.DecodeResult(rest, &r); err != nil {
				t.Fatal(err)
			}
			outcomes = append(outcomes, r.Outcome)
		}
		return outcomes
	}
	for _, o := range put(1, 1, holdfast.EventsPerShardMax, 0) {
		if o != holdfast.OK {
			t.Fatalf("an event was refused: %s", o.String())
		}
	}
	for _, c := range []struct {
		want   holdfast.Outcome
		event  int
		expect uint32
	}{{holdfast.EventUnknown, holdfast.EventsPerShardMax + 1, 1}, {holdfast.EventsFull, holdfast.EventsPerShardMax + 1, 0}, {holdfast.OK, holdfast.EventsPerShardMax, 0}} {
		o := put(m.Index()+1, c.event, 1, c.expect)[0]
		if o != c.want {
			t.Errorf("event %d, expected at %d: %s, want %s", c.event, c.expect, o.String(), c.want.String())
		}
		if o == holdfast.EventsFull {
			refused++
		}
	}
	for _, v := range m.Check() {
		t.Error(v)
	}
	return refused
}
