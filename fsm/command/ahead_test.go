package command

import (
	"testing"

	"github.com/holdfast-db/holdfast"
)

// TestLookingAheadSeesWhatDecodingGives compares the ids that are taken from a packed command with those packed.
func TestLookingAheadSeesWhatDecodingGives(t *testing.T) {
	head := Header{ID: holdfast.CommandID{1, 2, 3}, Event: 7}
	buyer, hold, made := holdfast.BuyerID{4, 15: 5}, holdfast.HoldID{6, 15: 7}, holdfast.HoldID(head.ID)
	wants := []Want{{Kind: WantSeats, Seats: []holdfast.SeatIndex{300, 1}}, {Kind: WantGeneral, Section: 1, Count: 1}}
	for _, c := range []struct {
		c    Command
		hold holdfast.HoldID
	}{
		{&Hold{Header: head, Buyer: buyer, Wants: wants}, made},
		{&Swap{Header: head, Buyer: buyer, Hold: hold, Wants: wants}, hold},
		{&Extend{Header: head, Buyer: buyer, Hold: hold}, hold},
		{&Release{Header: head, Buyer: buyer, Hold: hold}, hold},
		{&BeginPayment{Header: head, Buyer: buyer, Hold: hold}, hold},
		{&Sell{Header: head, Hold: hold}, hold},
		{&Block{Header: head}, holdfast.HoldID{}},
		{&SetSale{Header: head}, holdfast.HoldID{}},
		{&Mark{Header: head}, holdfast.HoldID{}},
		{&Redeem{Header: head, Proof: Proof{Key: holdfast.PlaceKey{1}}}, holdfast.HoldID{}},
	} {
		cmd, _, err := Split(c.c.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := HoldOf(cmd); got != c.hold {
			t.Errorf("HoldOf(%s) is %s, want %s", KindOf(cmd), got, c.hold)
		}
		for n := 1; n < len(cmd); n++ { // one that is cut off is no reason to panic
			HoldOf(cmd[:n])
			HolderOf(cmd[:n])
		}
	}

	for _, c := range []struct {
		want  Want
		named bool
	}{{wants[0], true}, {wants[1], false}} {
		cmd, _, _ := Split((&Hold{Header: head, Buyer: buyer, Wants: []Want{c.want, c.want}}).Append(nil))
		b, unit, named := HolderOf(cmd)
		if b != buyer || named != c.named || named && unit != 300 {
			t.Errorf("HolderOf is %s, %d, %t", b, unit, named)
		}
	}
}
