package fsm

import (
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// wentTwoWays is a hold that somebody began to pay with a method that captures at once, and then by card, until it
// lapsed: the first payment is not cancelled yet. Somebody's name was put to it.
func wentTwoWays(t *testing.T) (s *shard, r command.Result, void holdfast.EffectID) {
	s = newCheckout(t, func(spec *command.EventSpec) {
		spec.Rules.PayWindowMs, spec.Checkout.AtOnceMs = 5_000, 5_000
	})
	r = s.hold(1, 1)
	first := begin(r, 1)
	first.Capture, first.Contact = holdfast.CaptureAtOnce, holdfast.ContactID{1}
	s.must(holdfast.OK, first)
	s.must(holdfast.OK, &command.PutPerson{Hold: r.Hold, Blob: []byte("ann")})
	void = s.must(holdfast.OK, begin(r, 2)).Effect
	s.wait(5_000 + 15_000)
	equal(t, "holds", s.m.Stats().Holds, 0)
	return s, r, void
}

func (s *shard) knows(hold holdfast.HoldID, want string) {
	s.Helper()
	b, ok := s.m.Person(hold)
	if string(b) != want || ok != (want != "") {
		s.Errorf("of %s is known %q: %t, want %q", hold, b, ok, want)
	}
	equal(s, "persons", s.m.state.persons.live(), map[bool]int{true: 1}[ok])
}

// TestWhoIsRescuedGetsMail: what is known of a person outlives the hold as long as a payment may still bring its seats
// back, and goes with the first that says it will not.
func TestWhoIsRescuedGetsMail(t *testing.T) {
	stray := func(r command.Result, minor int64) *command.StrayMoney {
		return &command.StrayMoney{Hold: r.Hold, Attempt: 1, Amount: eur(minor), Captured: true, Mode: holdfast.ModeTest, Account: "acct", Payment: "pi_1"}
	}
	for name, c := range map[string]struct {
		then func(s *shard, r command.Result, void holdfast.EffectID)
		want string
	}{
		"nothing more": {func(*shard, command.Result, holdfast.EffectID) {}, "ann"},
		"a restart":    {func(s *shard, _ command.Result, _ holdfast.EffectID) { s.m = restored(s, snapshot(s, s.m)) }, "ann"},
		"its money": {func(s *shard, r command.Result, _ holdfast.EffectID) {
			s.must(holdfast.OK, stray(r, 5000))
			mail := s.m.Effects(1, 100)
			x := mail[len(mail)-1]
			if x.Kind != holdfast.EffectReceipt || x.Hold != r.Hold {
				s.Errorf("owed last is %+v, and no mail about %s", x, r.Hold)
			}
		}, "ann"},
		"its money, told when it was to be cancelled": {func(s *shard, r command.Result, void holdfast.EffectID) {
			s.must(holdfast.OK, &command.AckEffect{Effect: void, Result: holdfast.EffectFailed, Amount: eur(5000), Payment: "pi_1"})
		}, "ann"},
		"other money": {func(s *shard, r command.Result, _ holdfast.EffectID) { s.must(holdfast.OK, stray(r, 1)) }, ""},
		"its money, and the seat is gone": {func(s *shard, r command.Result, _ holdfast.EffectID) {
			s.hold(2, 1)
			s.must(holdfast.OK, stray(r, 5000))
		}, ""},
		"cancelled": {func(s *shard, _ command.Result, void holdfast.EffectID) {
			s.must(holdfast.OK, &command.AckEffect{Effect: void, Result: holdfast.EffectDone, Amount: eur(0)})
		}, ""},
		"failed": {func(s *shard, r command.Result, _ holdfast.EffectID) {
			s.must(holdfast.OK, &command.FailPayment{Hold: r.Hold, Attempt: 1})
		}, ""},
		"forgotten": {func(s *shard, r command.Result, _ holdfast.EffectID) {
			s.must(holdfast.OK, &command.ForgetPerson{Hold: r.Hold})
		}, ""},
		"forgotten by another event": {func(s *shard, r command.Result, _ holdfast.EffectID) {
			s.must(holdfast.OK, &command.PutEvent{Header: command.Header{Event: 8}, Spec: hall()})
			s.must(holdfast.OK, &command.ForgetPerson{Header: command.Header{Event: 8}, Hold: r.Hold})
		}, "ann"},
	} {
		t.Run(name, func(t *testing.T) {
			s, r, void := wentTwoWays(t)
			s.knows(r.Hold, "ann")
			c.then(s, r, void)
			s.knows(r.Hold, c.want)
		})
	}
}

// TestNobodyIsKnownForNothing: a hold that no payment can bring back is gone with what is known of who held it.
func TestNobodyIsKnownForNothing(t *testing.T) {
	s := newCheckout(t, func(spec *command.EventSpec) { spec.Rules.PayWindowMs = 5_000 })
	r := s.hold(1, 1)
	s.must(holdfast.OK, begin(r, 1)) // by card: money that comes later is given back
	s.must(holdfast.OK, &command.PutPerson{Hold: r.Hold, Blob: []byte("ann")})
	s.wait(5_000 + 15_000)
	equal(t, "payments that are to be cancelled", len(s.m.Effects(1, 9)), 1)
	s.knows(r.Hold, "")
}
