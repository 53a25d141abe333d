package fsm

import (
	"fmt"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// What hurts people most in other systems, as far as a shard's rules can spare them it. The numbers are those of our
// list of such pains.

// queue is a sale with a line of single-person trees.
type queue struct {
	*shard
	people int
}

func lineKey(i int) (k holdfast.PlaceKey) {
	copy(k[:], fmt.Sprintf("person %d", i))
	return k
}

// newQueue opens a sale with a line of so many people, who are in it in the order of their numbers.
func newQueue(t testing.TB, rules command.LineRules, people int) *queue {
	t.Helper()
	q := &queue{shard: newSale(t)}
	spec := hall()
	rules.Enabled = true
	spec.Line = rules
	q.must(holdfast.OK, &command.PutEvent{Expect: 1, Spec: spec})
	q.must(holdfast.OK, &command.OpenLine{Secret: holdfast.LineSecret{1}})
	q.join(min(people, 1)) // a draw of one
	q.must(holdfast.OK, &command.Draw{})
	q.join(people - q.people)
	return q
}

func (q *queue) join(n int) {
	for range n {
		q.must(holdfast.OK, &command.Enter{Count: 1, Root: draw.Leaf(theEvent, lineKey(q.people))})
		q.people++
	}
}

func (q *queue) proof(i int) command.Proof {
	return command.Proof{Number: holdfast.PlaceNumber(i), Key: lineKey(i)}
}

func (q *queue) redeem(want holdfast.Outcome, i int) command.Result {
	q.Helper()
	return q.must(want, &command.Redeem{Proof: q.proof(i)})
}

func (q *queue) line() LineView {
	v, _ := q.m.Line(theEvent)
	return v
}

// admitUntil lets the leader ask every second until somebody's turn has come, and counts the seconds.
func (q *queue) admitUntil(i int) (seconds int) {
	q.Helper()
	for ; q.place(i).State == holdfast.PlaceWaiting || q.place(i).State == holdfast.PlaceDeferred; seconds++ {
		if seconds > 1000 {
			q.Fatalf("person %d is never called: %+v", i, q.line())
		}
		q.must(holdfast.OK, &command.Admit{Count: 10})
		q.wait(1_000)
	}
	return seconds
}

func (q *queue) place(i int) PlaceView {
	p := q.proof(i)
	v, _ := q.m.Place(theEvent, p.Number, p.Key, p.Path)
	return v
}

func TestPain08_AWaiterWhoLeavesDoesNotJamTheLine(t *testing.T) {
	q := newQueue(t, command.LineRules{CallMs: 5000, CeilingMax: 3}, 40)
	for i := range 30 { // of forty people thirty leave, or are gone without a word
		if i%2 == 0 {
			q.must(holdfast.OK, &command.LeaveLine{Proof: q.proof(i)})
		}
	}
	if s := q.admitUntil(35); s > 60 {
		t.Errorf("the 36th waited %d s behind people who had left", s)
	}
	q.redeem(holdfast.OK, 35)
	equal(t, "those who left", q.line().Counts[holdfast.PlaceLeft], 15)
	equal(t, "those who are gone are not dropped", q.place(1).State, holdfast.PlaceMissed)
	q.redeem(holdfast.TurnMissed, 1)
	q.admitUntil(1)
	q.redeem(holdfast.OK, 1)
}

func TestPain08_EveryPlaceIsCountedOnce(t *testing.T) {
	q := newQueue(t, command.LineRules{CallMs: 3000, IdleMs: 10_000}, 60)
	q.must(holdfast.OK, &command.Admit{Count: 20})
	q.redeem(holdfast.OK, 0)
	q.redeem(holdfast.OK, 1)
	q.must(holdfast.OK, &command.LeaveLine{Proof: q.proof(50)})
	q.wait(20_000)
	q.redeem(holdfast.TurnMissed, 2)
	v, sum := q.line(), uint32(0)
	for _, n := range v.Counts {
		sum += n
	}
	equal(t, "places", sum, v.Issued)
	equalAll(t, "the two who came, the one who left, and the one who came too late",
		[]uint32{v.Counts[holdfast.PlaceLapsed], v.Counts[holdfast.PlaceLeft], v.Counts[holdfast.PlaceDeferred]}, 2, 1, 1)
}

func TestPain08_ATwiceJoinedKeyHasOneSession(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 1)
	q.must(holdfast.OK, &command.Enter{Count: 1, Root: draw.Leaf(theEvent, lineKey(0))})
	q.must(holdfast.OK, &command.Admit{Count: 9})
	q.must(holdfast.OK, &command.Admit{Count: 9})
	again := command.Proof{Number: 1, Key: lineKey(0)}
	q.redeem(holdfast.OK, 0)
	r := q.must(holdfast.OK, &command.Redeem{Proof: again})
	equal(t, "the place that the second proof is answered with", r.Place, 0)
	equal(t, "sessions", q.line().Sessions, 1)
}

func TestPain09_AnAbandonedHoldReturnsAndCannotBeRenewedForEver(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 2)
	q.must(holdfast.OK, &command.Admit{Count: 9})
	q.redeem(holdfast.OK, 0)
	h := q.must(holdfast.OK, holdBy(lineKey(0), 1))
	q.must(holdfast.OK, &command.Extend{Buyer: lineKey(0).Buyer(), Hold: h.Hold})
	q.must(holdfast.HoldNotExtendable, &command.Extend{Buyer: lineKey(0).Buyer(), Hold: h.Hold})
	q.wait(600_000)
	view, _ := q.m.Event(theEvent)
	equal(t, "held seats", view.Total[holdfast.Held], 0)
	// Holding again and again: the session went with the hold, and the turn comes again behind everybody.
	q.must(holdfast.SessionRequired, holdBy(lineKey(0), 1))
	q.redeem(holdfast.TurnAwaited, 0)
	equal(t, "the place of who let the hold lapse", q.place(0).Position, 2)
}

func TestPain10_YourOwnHoldDoesNotBlockYou(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 1)
	q.must(holdfast.OK, &command.Admit{Count: 1})
	q.redeem(holdfast.OK, 0)
	h := q.must(holdfast.OK, holdBy(lineKey(0), 1, 2))
	r := q.must(holdfast.BuyerHasHold, holdBy(lineKey(0), 1, 2))
	equal(t, "the hold that is in the way is named", r.Hold, h.Hold)
	q.redeem(holdfast.OK, 0) // the session is still one's own
	q.must(holdfast.OK, &command.Swap{Buyer: lineKey(0).Buyer(), Hold: h.Hold, Wants: seatsWanted(2, 3)})
	q.must(holdfast.OK, &command.Release{Buyer: lineKey(0).Buyer(), Hold: h.Hold})
	q.must(holdfast.OK, holdBy(lineKey(0), 1, 2))
}

func TestPain12_TheWaitingListGoesByTheLineAndSaysWhereOneStands(t *testing.T) {
	q := newQueue(t, command.LineRules{OfferMs: 10_000, IdleMs: 3_600_000, SessionMs: 3_600_000}, 6)
	q.must(holdfast.OK, &command.Admit{Count: 1})
	q.redeem(holdfast.OK, 0)
	q.must(holdfast.ReturnsNotYet, &command.JoinReturns{Proof: q.proof(4), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2})
	q.blockAllBut(1, 2)
	h := q.must(holdfast.OK, holdBy(lineKey(0), 1, 2))
	for _, i := range []int{4, 2, 5} { // who is quick to ask is not ahead
		q.must(holdfast.OK, &command.JoinReturns{Proof: q.proof(i), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2})
	}
	equal(t, "the rank of the third in line", q.place(2).Rank, 0)
	equal(t, "the rank of the fifth", q.place(4).Rank, 1)

	q.must(holdfast.OK, &command.Release{Buyer: lineKey(0).Buyer(), Hold: h.Hold})
	equal(t, "what the third has", q.place(2).State, holdfast.PlaceOffered)
	q.must(holdfast.SeatHeld, holdBy(lineKey(0), 1)) // who has a session and is there at once does not get it
	q.wait(11_000)
	equal(t, "what the third has who did not take it", q.place(2).State, holdfast.PlaceLapsed)
	equal(t, "what the fifth has then", q.place(4).State, holdfast.PlaceOffered)
	v, _ := q.m.Visitor(theEvent, lineKey(4).Buyer())
	q.must(holdfast.OK, &command.Sell{Hold: v.Holds[0], As: command.SaleInvoiced, Amount: q.amountOf(v.Holds[0])})
	equal(t, "what became of the fifth", q.place(4).State, holdfast.PlaceFinished)
	equal(t, "who waits still", q.line().Returns, 1)
}

func TestPain12_NothingIsOfferedWhenTheSaleIsNotOpen(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 3)
	q.must(holdfast.OK, &command.Admit{Count: 1})
	q.redeem(holdfast.OK, 0)
	q.blockAllBut(1)
	h := q.must(holdfast.OK, holdBy(lineKey(0), 1))
	q.must(holdfast.OK, &command.JoinReturns{Proof: q.proof(2), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 1})
	q.must(holdfast.OK, &command.SetSale{State: holdfast.SalePaused})
	q.must(holdfast.OK, &command.Release{Buyer: lineKey(0).Buyer(), Hold: h.Hold})
	equal(t, "while the sale is paused", q.place(2).State, holdfast.PlaceWaiting)
	q.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	equal(t, "when it goes on", q.place(2).State, holdfast.PlaceOffered)
}

func TestPain13_FreezingStockCostsTheTurn(t *testing.T) {
	q := newQueue(t, command.LineRules{CallMs: 30_000}, 3)
	frozen := 0
	for range 20 { // a bot that holds until the clock runs out, and comes again at once
		q.must(holdfast.OK, &command.Admit{Count: 1})
		if r := q.entry(0, &command.Redeem{Proof: q.proof(0)})[0]; r.Outcome != holdfast.OK {
			break
		}
		if r := q.entry(0, holdBy(lineKey(0), 1))[0]; r.Outcome == holdfast.OK {
			frozen++
		}
		q.join(30) // the line goes on growing
		q.wait(310_000)
	}
	if frozen != 1 {
		t.Errorf("one place froze seats %d times", frozen)
	}
}

func TestPain13_ManyTabsAreOneBuyer(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 1)
	q.must(holdfast.OK, &command.Admit{Count: 1})
	for range 5 {
		q.redeem(holdfast.OK, 0)
	}
	equal(t, "sessions of five tabs", q.line().Sessions, 1)
	q.must(holdfast.OK, holdBy(lineKey(0), 1))
	q.must(holdfast.BuyerHasHold, holdBy(lineKey(0), 2))
}

func TestPain13_PollingForReturnsGetsNothing(t *testing.T) {
	q := newQueue(t, command.LineRules{}, 3)
	q.must(holdfast.OK, &command.Admit{Count: 3})
	q.redeem(holdfast.OK, 0)
	q.redeem(holdfast.OK, 1)
	q.blockAllBut(1)
	h := q.must(holdfast.OK, holdBy(lineKey(0), 1))
	q.must(holdfast.OK, &command.JoinReturns{Proof: q.proof(2), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 1})
	// The release and the poller's hold come in one entry, right behind each other.
	r := q.entry(0, &command.Release{Buyer: lineKey(0).Buyer(), Hold: h.Hold}, holdBy(lineKey(1), 1))
	equal(t, "what the poller gets", r[1].Outcome, holdfast.SeatHeld)
	equal(t, "what the first of the list has", q.place(2).State, holdfast.PlaceOffered)
}

func holdBy(k holdfast.PlaceKey, units ...holdfast.SeatIndex) *command.Hold {
	return &command.Hold{Buyer: k.Buyer(), Wants: seatsWanted(units...)}
}

func seatsWanted(units ...holdfast.SeatIndex) []command.Want {
	return []command.Want{{Kind: command.WantSeats, Seats: units}}
}

// blockAllBut takes all units of the public off sale but some.
func (q *queue) blockAllBut(units ...holdfast.SeatIndex) {
	keep := map[holdfast.SeatIndex]bool{}
	for _, u := range units {
		keep[u] = true
	}
	var rest []holdfast.SeatIndex
	e := q.m.event(theEvent)
	for u := range holdfast.SeatIndex(e.units.len()) {
		if !keep[u] && e.units.state(u) == holdfast.Free {
			rest = append(rest, u)
		}
	}
	q.must(holdfast.OK, &command.Block{Seats: rest})
}

func (q *queue) amountOf(id holdfast.HoldID) holdfast.Money {
	h, _ := q.m.Hold(id)
	return h.Amount
}
