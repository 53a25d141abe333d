package check

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// shop is a history of two buyers who were let in one after the other, of whom one has bought, and a third who waits.
func shop() *history.History {
	poll := func(visit int, at time.Duration, place, position int64, state string) history.Poll {
		return history.Poll{Visit: visit, Call: at, Return: at + ms, Place: place, Position: position, State: state}
	}
	secret, chain := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{9}, 32)
	commitment := sha256.Sum256(append([]byte{4, 0, 0, 0, 6}, secret...))
	seed := hmac.New(sha256.New, secret)
	seed.Write(append(append([]byte{}, chain...), 0, 0, 0, 2))
	told := hex.EncodeToString(commitment[:])
	// Keys of which the first draws position 1 of 2, and the second 0.
	var keys [2]string
	for n := byte(0); keys[0] == "" || keys[1] == ""; n++ {
		key := bytes.Repeat([]byte{n}, 32)
		lot := hmac.New(sha256.New, seed.Sum(nil))
		lot.Write(key)
		keys[1-lot.Sum(nil)[0]>>7] = hex.EncodeToString(key)
	}
	return &history.History{
		Head: history.Head{Waited: true},
		Draw: &history.Draw{Event: 6, Told: told, Commitment: told, Secret: hex.EncodeToString(secret), Chain: hex.EncodeToString(chain),
			Seed: hex.EncodeToString(seed.Sum(nil)), Cohort: 2},
		Visits: []history.Visit{
			{Number: 1, Place: 0, Key: keys[0], Hold: id(1), Seats: seats{0, 1}, Paid: true, Sold: true, Amount: 100},
			{Number: 2, Place: 1, Key: keys[1], Hold: id(2), Seats: seats{2}, Amount: 50},
			{Number: 3, Place: 2},
		},
		Polls: []history.Poll{
			poll(1, 0, 0, -1, waiting), poll(2, ms, 1, -1, waiting), poll(3, 2*ms, 2, -1, waiting),
			poll(1, time.Second, 0, 1, admitted), poll(2, 2*time.Second, 1, 0, admitted), poll(3, time.Minute, 2, 2, waiting),
		},
		Charges: []history.Charge{{Payment: "pi_1", Hold: id(1), Captured: 100}, {Payment: "pi_2", Hold: id(2)}},
		Final: history.Final{Quiet: true, Seats: []holdfast.SeatState{holdfast.Sold, holdfast.Sold, holdfast.Free},
			Orders: []history.Order{{ID: id(1).Order(), Seats: seats{0, 1}, Amount: 100, Captured: 100}}},
	}
}

func TestAnHonestShopPasses(t *testing.T) {
	for _, v := range Judge(shop()) {
		t.Error(v)
	}
}

// A seat that was refunded is somebody else's by now, and what is not known to be refunded may be.
func TestAShopThatRefundsPasses(t *testing.T) {
	h := shop()
	h.Refunds = []history.Refund{{Order: id(1).Order(), Seats: seats{0}, Back: true, Told: history.ToldOK}, {Order: id(1).Order(), Seats: seats{1}, Told: ""}}
	h.Final.Orders[0].Seats, h.Final.Orders[0].Refunded, h.Charges[0].Refunded = seats{1}, 50, 50
	h.Final.Seats[0] = holdfast.Free
	for _, v := range Judge(h) {
		t.Error(v)
	}
}

func TestEveryMutationOfAShopIsCaught(t *testing.T) {
	for _, c := range []struct {
		name, check string
		mutate      func(h *history.History)
	}{
		{"a sale that is lost", "money", func(h *history.History) { h.Final.Orders, h.Final.Seats[0], h.Final.Seats[1] = nil, 0, 0 }},
		{"an order of other seats", "money", func(h *history.History) { h.Visits[0].Seats = seats{1, 2} }},
		{"another price than was told", "money", func(h *history.History) { h.Visits[0].Amount = 90 }},
		{"an order of somebody who never paid", "money", func(h *history.History) { h.Visits[0].Paid = false }},
		{"money taken twice", "money", func(h *history.History) {
			h.Charges = append(h.Charges, history.Charge{Payment: "pi_3", Hold: id(1), Captured: 100})
		}},
		{"money kept for seats that are gone", "money", func(h *history.History) { h.Charges[1].Captured = 50 }},
		{"an order without money", "money", func(h *history.History) { h.Charges[0].Captured = 0 }},
		{"seats that never come back", "money", func(h *history.History) { h.Final.Seats[2] = holdfast.Paying }},
		{"a shop that does not come to rest", "liveness", func(h *history.History) { h.Final.Quiet = false }},
		{"a difference that the system found", "money", func(h *history.History) { h.Differences = []string{"unsold"} }},
		{"a seat in two orders", "double_sell", func(h *history.History) {
			h.Final.Orders = append(h.Final.Orders, history.Order{ID: id(2).Order(), Seats: seats{1}})
		}},
		{"a refund that nobody wanted", "money", func(h *history.History) { h.Final.Orders[0].Refunded, h.Charges[0].Refunded = 50, 50 }},
		{"a refund that was not made", "money", func(h *history.History) {
			h.Refunds = []history.Refund{{Order: id(1).Order(), Seats: seats{0}, Told: history.ToldOK}}
		}},
		{"a refund of more than was wanted", "money", func(h *history.History) {
			h.Refunds = []history.Refund{{Order: id(1).Order(), Seats: seats{0}, Told: history.ToldOK}}
			h.Final.Orders[0].Refunded, h.Charges[0].Refunded = 100, 100
		}},
		{"a refunded seat that does not go back", "money", func(h *history.History) {
			h.Refunds = []history.Refund{{Order: id(1).Order(), Seats: seats{0}, Back: true, Told: history.ToldOK}}
			h.Final.Orders[0].Refunded, h.Charges[0].Refunded = 50, 50
		}},
		{"a seat that goes without being asked back", "money", func(h *history.History) {
			h.Refunds = []history.Refund{{Order: id(1).Order(), Seats: seats{0}, Told: history.ToldOK}}
			h.Final.Orders[0].Refunded, h.Charges[0].Refunded = 50, 50
			h.Final.Orders[0].Seats, h.Final.Seats[0] = seats{1}, holdfast.Free
		}},
		{"a refund that was refused and made", "money", func(h *history.History) {
			h.Refunds = []history.Refund{{Order: id(1).Order(), Seats: seats{0}, Told: history.ToldRefused}}
			h.Final.Orders[0].Refunded, h.Charges[0].Refunded = 50, 50
		}},
		{"a place that two have", "fairness", func(h *history.History) { h.Polls[1].Place = 0 }},
		{"a place that became another", "fairness", func(h *history.History) { h.Polls[5].Place = 7 }},
		{"a position that the draw does not give", "draw", func(h *history.History) { h.Polls[3].Position = 0 }},
		{"a place behind the draw that is put before it", "draw", func(h *history.History) { h.Polls[5].Position = 0 }},
		{"another secret than was committed to", "draw", func(h *history.History) { h.Draw.Secret = h.Draw.Chain }},
		{"a commitment that was changed", "draw", func(h *history.History) { h.Draw.Told = h.Draw.Chain }},
		{"a seed that does not follow", "draw", func(h *history.History) { h.Draw.Seed = h.Draw.Chain }},
		{"somebody who was overtaken", "fairness", func(h *history.History) { h.Polls[5].Position, h.Polls[3].Position = 1, 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := shop()
			c.mutate(h)
			for _, v := range Judge(h) {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not caught by %s; found: %v", c.check, Judge(h))
		})
	}
}
