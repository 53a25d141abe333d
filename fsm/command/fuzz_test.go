package command_test

import (
	"bytes"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The fuzz targets hold one rule: what a decoder accepts has exactly one form, which encoding gives again. What it
// does not accept it refuses with the field at fault, without a panic.

func seedCommands() (seeds [][]byte) {
	eur := holdfast.Money{AmountMinor: 100, Currency: "eur"}
	for _, c := range []command.Command{
		&command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{1, 2}}, {Kind: command.WantBest, Count: 2, Adjacent: true}}},
		&command.Swap{Wants: []command.Want{{Kind: command.WantGeneral, Count: 3}}},
		&command.Extend{}, &command.Release{}, &command.Mark{},
		&command.BeginPayment{Attempt: 1, Amount: eur},
		&command.Sell{As: command.SalePaid, Attempt: 1, Amount: eur, Payment: "pi_1"},
		&command.PutEvent{Spec: wide(2, 2)}, &command.AssignEvent{Spec: wide(0, 1)},
		&command.PutKey{Key: holdfast.FrontendKey{Frontend: "f", Public: [32]byte{1}, NotAfterMs: 1}},
		&command.SetSale{State: holdfast.SaleOpen}, &command.Block{Seats: []holdfast.SeatIndex{1}},
		&command.OpenLine{Secret: holdfast.LineSecret{1}}, &command.Enter{Count: 2, Root: [32]byte{1}},
		&command.Draw{}, &command.Draw{Beacon: holdfast.BeaconRound{Round: 1}},
		&command.Redeem{Proof: command.Proof{Number: 1, Path: [][32]byte{{1}, {2}}}}, &command.Admit{Count: 1, Target: 2, BusyPermille: 3, ProviderPerMinute: 4, Bound: 5},
		&command.SetLine{Change: command.LineCeiling, Value: 5}, &command.LeaveLine{Proof: command.Proof{Path: [][32]byte{{3}}}},
		&command.JoinReturns{Count: 1}, &command.LeaveReturns{Buyer: holdfast.BuyerID{1}},
		&command.BeginPayment{Attempt: 1, Amount: eur, Capture: holdfast.CaptureAtOnce, Promo: holdfast.PromoCode{1}},
		&command.Sell{As: command.SalePaid, Attempt: 1, Amount: eur, Payment: "pi_1", Mode: holdfast.ModeLive, Account: "acct"},
		&command.AttachPayment{Attempt: 1, Payment: "pi_1"}, &command.FailPayment{Attempt: 1},
		&command.AckEffect{Effect: 1, Result: holdfast.EffectFailed, Amount: eur, Payment: "pi_1", Code: "expired"},
		&command.Refund{Reason: holdfast.RefundBuyer, Seats: []holdfast.SeatIndex{1}, ReturnSeats: true},
		&command.StrayMoney{Attempt: 1, Amount: eur, Captured: true, Mode: holdfast.ModeTest, Account: "acct", Payment: "pi_1"},
		&command.Dispute{State: holdfast.DisputeLost, Amount: eur, Payment: "pi_1"}, &command.RetryEffect{Effect: 1},
		&command.SetIncarnation{Incarnation: 2, Reconciled: true}, &command.PutPerson{Blob: []byte{1}}, &command.ForgetPerson{},
		&command.PutEvent{Spec: priced()},
	} {
		seeds = append(seeds, c.Append(nil))
	}
	return seeds
}

func FuzzSplit(f *testing.F) {
	for _, seed := range seedCommands() {
		f.Add(seed)
		f.Add(append(seed, seed...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, rest, err := command.Split(b)
		if err != nil {
			if fieldOf(err) != "length" {
				t.Fatal(err)
			}
			return
		}
		head := len(b) - len(cmd) - len(rest)
		if want := map[bool]int{false: 2, true: 6}[command.KindOf(cmd).Long()]; head != want {
			t.Fatalf("a length of %d bytes before a %s", head, command.KindOf(cmd))
		}
		if !bytes.Equal(append(append(b[:head:head], cmd...), rest...), b) {
			t.Fatal("the parts are not the whole")
		}
	})
}

func FuzzDecoder(f *testing.F) {
	for _, seed := range seedCommands() {
		f.Add(seed)
	}
	var d command.Decoder // one for all: what one input leaves behind may not show in the next
	f.Fuzz(func(t *testing.T, b []byte) {
		count, err := d.CheckBatch(b)
		if err != nil {
			if f := fieldOf(err); f == "" {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		for rest := b; len(rest) > 0; count-- {
			var cmd []byte
			if cmd, rest, err = command.Split(rest); err != nil {
				t.Fatal(err)
			}
			c, err := decode(&d, cmd)
			if err != nil {
				t.Fatal(err)
			}
			again = c.Append(again)
		}
		if count != 0 || !bytes.Equal(again, b) {
			t.Fatalf("%d commands more than counted; encoded again:\n%x\n%x", -count, again, b)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	for _, r := range []command.Result{
		{Outcome: holdfast.OK, Hold: holdfast.HoldID{1}, Deadline: 5, Amount: holdfast.Money{AmountMinor: 3, Currency: "eur"}, Seats: []holdfast.SeatIndex{1, 2}, Allowance: 3},
		{Outcome: holdfast.SeatSold, Repeated: true, Taken: []holdfast.SeatIndex{1}, Near: []holdfast.SeatIndex{2}},
		{Outcome: holdfast.BuyerCoolingDown, RetryAfterMs: 1},
		{Outcome: holdfast.OK, Event: 1, Shard: 2, Version: 3, Attempt: 4, OrderState: 2, Effect: 5},
	} {
		f.Add(r.Append(nil))
	}
	var used command.Result
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, err := command.DecodeResult(b, &used)
		if err != nil {
			if f := fieldOf(err); f == "" {
				t.Fatal(err)
			}
			return
		}
		if again := used.Append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("encoded again:\n%x\n%x", again, b[:len(b)-len(rest)])
		}
	})
}

func FuzzOpenEntry(f *testing.F) {
	for _, seed := range seedCommands() {
		b := append(command.BeginEntry(nil), seed...)
		f.Add(command.FinishEntry(b, 1000, 2000, 1))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, seal(b)} { // as it is, and with the right checksum
			e, err := command.OpenEntry(b)
			if err != nil {
				if fieldOf(err) != "entry" {
					t.Fatal(err)
				}
				continue
			}
			again := command.FinishEntry(append(command.BeginEntry(nil), e.Commands...), e.StepMicros, e.WallMs, e.Count)
			if !bytes.Equal(again, b) {
				t.Fatalf("finished again:\n%x\n%x", again, b)
			}
		}
	})
}

func FuzzDecodeSpec(f *testing.F) {
	general, reserved := wide(0, 1), wide(2, 2)
	general.Sections = append(general.Sections, command.Section{Name: "g", Places: 100})
	f.Add(general.Append(nil))
	f.Add(reserved.Append(nil))
	reserved.Line = command.LineRules{Enabled: true, OpensMs: 1, DrawMs: 2, SaleMs: 3, WorkBits: 4, Challenge: command.ChallengeWork,
		Beacon: holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte{5}, GenesisMs: 6, PeriodMs: 1000, Round: 7}}
	f.Add(reserved.Append(nil))
	withCheckout := priced()
	f.Add(withCheckout.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := command.DecodeSpec(b)
		if err != nil {
			if f := fieldOf(err); f == "" {
				t.Fatal(err)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Fatalf("accepted, but not valid: %v", err)
		}
		if again := s.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("encoded again:\n%x\n%x", again, b)
		}
	})
}
