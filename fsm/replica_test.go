package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestReplicasAreEqual lets a small crowd loose on a small hall, and applies what comes of it to a machine that
// answers, to one that does not, and to one that is restored from a snapshot now and then. All stay equal and sound.
func TestReplicasAreEqual(t *testing.T) {
	entries := 1500
	if testing.Short() {
		entries = 300
	}
	random := rand.New(rand.NewPCG(3, 4))
	leader := newSale(t, func(spec *command.EventSpec) {
		spec.Rules = command.Rules{HoldTTLMs: 2000, PayWindowMs: 3000, ExtensionMs: 1000, CoolDownMs: 500, SeatsPerBuyer: 9, NoOrphans: true}
		for i := range 20 { // the crowd fights for the first seats, and for the best
			spec.Sections[1].Rows = append(spec.Sections[1].Rows[:2+i:2+i], command.Row{Label: fmt.Sprint(i), Seats: 11, Tier: holdfast.AnyTier})
		}
	})
	follower, restored := New(Config{Shard: 3}), New(Config{Shard: 3})
	apply := func(m *Machine, entry []byte) *Machine {
		m.Apply(m.Index()+1, entry, &command.Output{})
		return m
	}
	restored = restore(t, leader.m)
	follower = restore(t, leader.m)

	w := walk{random: random, shard: leader, outcomes: map[holdfast.Outcome]int{}}
	for i := range entries {
		entry := w.entry()
		apply(follower, entry)
		apply(restored, entry)
		if i%50 == 0 {
			restored = restore(t, restored)
			for _, v := range restored.Check() {
				t.Fatal(v)
			}
		}
		if i%10 == 0 {
			want := digest(leader.m)
			if digest(follower) != want || digest(restored) != want {
				t.Fatalf("replicas differ at entry %d", i)
			}
		}
	}
	for _, o := range []holdfast.Outcome{
		holdfast.OK, holdfast.CommandExpired, holdfast.CommandReused, holdfast.EventPaused, holdfast.WantInvalid, holdfast.HoldTooLarge,
		holdfast.HoldUnknown, holdfast.HoldLapsed, holdfast.HoldReleased, holdfast.HoldNotYours, holdfast.HoldInPayment, holdfast.HoldAlreadySold,
		holdfast.HoldNotExtendable, holdfast.BuyerHasHold, holdfast.BuyerCoolingDown, holdfast.BuyerOverLimit, holdfast.SeatNotForYou,
		holdfast.SeatSold, holdfast.SeatInPayment, holdfast.SeatHeld, holdfast.NotEnough, holdfast.SeatOrphaned, holdfast.AttemptStale,
		holdfast.AmountMismatch, holdfast.PaymentReused, holdfast.PaymentRequired, holdfast.SeatTaken,
	} {
		if w.outcomes[o] == 0 && !testing.Short() {
			t.Errorf("the walk never met %s", o.String())
		}
	}
}

func restore(t *testing.T, m *Machine) *Machine {
	t.Helper()
	cut := m.Cut()
	defer cut.Release()
	var b bytes.Buffer
	if _, err := cut.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(Config{Shard: 3}, &b)
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

func digest(m *Machine) [32]byte {
	cut := m.Cut()
	defer cut.Release()
	return cut.Digest()
}

// walk makes random commands, most of which make sense.
type walk struct {
	*shard
	random   *rand.Rand
	holds    []holding
	past     []command.Command
	outcomes map[holdfast.Outcome]int
}

type holding struct {
	id     holdfast.HoldID
	buyer  holdfast.BuyerID
	amount holdfast.Money
}

// entry applies some commands to the leader and gives the entry for the others.
func (w *walk) entry() []byte {
	cmds := make([]command.Command, w.random.IntN(6))
	for i := range cmds {
		cmds[i] = w.command()
	}
	results := w.shard.entry(uint32(w.random.IntN(200)), cmds...)
	for i, r := range results {
		w.outcomes[r.Outcome]++
		if c, ok := cmds[i].(*command.Hold); ok && r.Outcome == holdfast.OK {
			w.holds = append(w.holds, holding{r.Hold, c.Buyer, r.Amount})
		}
		w.past = append(w.past, cmds[i])
	}
	return w.packed
}

func (w *walk) command() command.Command {
	if len(w.past) > 0 && w.random.IntN(20) == 0 {
		again := w.past[len(w.past)-1-w.random.IntN(min(len(w.past), 1000))]
		if w.random.IntN(4) == 0 {
			return &command.SetSale{Header: command.Header{ID: again.Head().ID}, State: holdfast.SaleOpen}
		}
		return again
	}
	var h holding
	if len(w.holds) > 0 {
		h = w.holds[len(w.holds)-1-w.random.IntN(min(len(w.holds), 30))]
	}
	if w.random.IntN(20) == 0 {
		h.buyer = buyerNo(200)
	}
	if w.random.IntN(30) == 0 {
		h.id[9]++
	}
	amount := h.amount
	if amount.Currency == "" || w.random.IntN(10) == 0 {
		amount = eur(int64(w.random.IntN(3)) * 1000)
	}
	attempt := holdfast.Attempt(1 + w.random.IntN(5)/4)
	switch w.random.IntN(18) {
	case 0, 1, 2, 3, 4, 5:
		return &command.Hold{Buyer: buyerNo(byte(w.random.IntN(20))), Allocation: holdfast.AllocationIndex(w.random.IntN(10) / 9), Wants: w.wants()}
	case 6:
		return &command.Swap{Buyer: h.buyer, Hold: h.id, Wants: w.wants()}
	case 7, 16, 17:
		return &command.Extend{Buyer: h.buyer, Hold: h.id}
	case 8:
		return &command.Release{Buyer: h.buyer, Hold: h.id}
	case 9, 10, 11:
		return &command.BeginPayment{Buyer: h.buyer, Hold: h.id, Attempt: attempt, Amount: amount}
	case 12, 13:
		sell := &command.Sell{Hold: h.id, As: command.SalePaid, Attempt: attempt, Amount: amount, Payment: fmt.Sprint("pi_", h.id)}
		if w.random.IntN(3) == 0 {
			sell.Payment = "pi_1"
		}
		if w.random.IntN(4) == 0 {
			sell.As, sell.Attempt, sell.Payment = command.SaleFree, 0, ""
			sell.Amount.AmountMinor = 0
		}
		return sell
	case 14:
		if w.random.IntN(4) > 0 {
			return &command.SetSale{State: holdfast.SaleOpen}
		}
		return &command.SetSale{State: holdfast.SalePaused}
	default:
		return &command.Block{Unblock: w.random.IntN(3) > 0, Seats: w.seats(3)}
	}
}

func (w *walk) seats(n int) (seats []holdfast.SeatIndex) {
	for range 1 + w.random.IntN(n) {
		seats = append(seats, holdfast.SeatIndex(w.random.IntN(100)))
	}
	return seats
}

func (w *walk) wants() (wants []command.Want) {
	for range 1 + w.random.IntN(4)/3 {
		count := uint8(1 + w.random.IntN(5))
		switch w.random.IntN(4) {
		case 0, 1:
			wants = append(wants, command.Want{Kind: command.WantSeats, Seats: w.seats(3)})
		case 2:
			wants = append(wants, command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: count, Adjacent: w.random.IntN(2) == 0})
		default:
			wants = append(wants, command.Want{Kind: command.WantGeneral, Section: 2, Count: count})
		}
	}
	return wants
}
