package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// checkout: buyers who hold seats of an event that takes money, and pay for them at the provider, with cards that are
// good, declined, late, or ask for more; some vanish at every point. Frontends carry the shard's effects out. When all is
// healed money and seats must come to rest, and agree.
type checkout struct {
	world *world
	plan  Scene
	event remote.EventRef
	seats int

	mu      sync.Mutex
	visits  []history.Visit
	refunds []history.Refund
}

func newCheckout(w *world, s Scene) scene { return &checkout{world: w, plan: s} }

const (
	checkoutTTL, checkoutWindow = 8 * time.Second, 10 * time.Second
	payAgain                    = 15 * time.Second
)

func (s *checkout) open(ctx context.Context, c *remote.Client) error {
	rows := 3 + s.plan.People*int(s.world.plan.Length.Seconds())/60
	spec := command.EventSpec{
		Name: "checkout", Title: "Checkout", Currency: currency, Tiers: []command.Tier{{Name: "all", PriceMinor: priceMinor}},
		Rules: command.Rules{HoldTTLMs: ms(checkoutTTL), PayWindowMs: ms(checkoutWindow), SkipCoolDown: true},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: bankAccount, FeePerUnitMinor: 150, TaxBps: 1900, TaxIncluded: true, LeastMinor: 50,
			PayAgainMs: ms(payAgain), AtOnceMs: ms(checkoutWindow)},
		Sections: []command.Section{{Name: "floor", Rows: houseRows(rows)}},
	}
	s.seats = rows * rowSeats
	applied, err := c.ApplyEvent(ctx, spec)
	if err != nil {
		return err
	}
	s.event = applied.EventRef
	return c.OpenSale(ctx, s.event)
}

func houseRows(n int) (rows []command.Row) {
	for i := range n {
		rows = append(rows, command.Row{Label: fmt.Sprint(i + 1), First: 1, Seats: rowSeats, Tier: holdfast.AnyTier})
	}
	return rows
}

func (s *checkout) work(until time.Duration) {
	var working sync.WaitGroup
	for i := range s.plan.People {
		working.Go(func() {
			for n := 0; s.world.now() < until; n++ {
				s.visit(i + n*s.plan.People)
			}
		})
	}
	working.Wait()
}

// visit is one buyer on his way.
type visit struct {
	*checkout
	guest
	hold remote.Hold
}

func (s *checkout) visit(number int) {
	v := &visit{checkout: s, guest: newGuest(s.world, number, 7, s.plan.Think)}
	if v.choose() {
		v.buy()
	}
	seen := v.end("visits: ")
	s.mu.Lock()
	s.visits = append(s.visits, seen)
	s.mu.Unlock()
	v.think()
}

// choose holds some seats.
func (v *visit) choose() bool {
	q := remote.HoldRequest{Event: v.event, Buyer: visitor(v.seen.Number)}
	for range 3 {
		first, want := v.random.IntN(v.seats-4), command.Want{Kind: command.WantSeats}
		for i := range 1 + v.random.IntN(4) {
			want.Seats = append(want.Seats, holdfast.SeatIndex(first+i))
		}
		q.ID, q.Wants = holdfast.CommandID{}, []command.Want{want}
		err := v.ask(func(ctx context.Context, l *frontLife) (err error) {
			v.hold, err = l.client.Hold(ctx, q)
			var failure *holdfast.Error
			if errors.As(err, &failure) && failure.Kind == holdfast.Unknown && failure.Command != (holdfast.CommandID{}) {
				q.ID = failure.Command // whoever is asked next, it is the same
			}
			return err
		})
		if err == nil {
			v.seen.Hold, v.seen.Seats = v.hold.ID, slices.Clone(v.hold.Seats)
			return true
		}
		v.seen.Told = "no seats"
		if !definite(err) {
			v.seen.Told = "gave up"
			return false
		}
	}
	return false
}

// visitor is the buyer of a visit.
func visitor(number int) (id holdfast.BuyerID) {
	copy(id[:], fmt.Sprintf("visitor %d", number))
	return id
}

// cards are what people pay with.
var cards = []string{
	goodCard, goodCard, goodCard, goodCard, goodCard, goodCard, "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired", "pm_sandbox_late",
	"pm_sandbox_lateDecline", "pm_sandbox_captureFail", "pm_sandbox_hang", "pm_card_pendingRefund",
}

const goodCard = "pm_card_visa"

// buy goes on with a hold, or stops somewhere.
func (v *visit) buy() {
	v.think()
	switch v.random.IntN(20) {
	case 0:
		v.seen.Told = "vanished with a hold"
		return
	case 1:
		_ = v.ask(func(ctx context.Context, l *frontLife) error {
			return l.client.Release(ctx, remote.HoldRef{Event: v.event, Buyer: v.hold.Buyer, Hold: v.hold.ID})
		})
		v.seen.Told = "gave the seats back"
		return
	}
	for attempt := holdfast.Attempt(1); attempt <= 2; attempt++ {
		if over := v.attempt(attempt); over {
			break
		}
	}
	if v.seen.Sold && v.random.IntN(6) == 0 {
		v.giveBack()
	}
}

// attempt pays once, or tries to. It reports whether that is the end of it.
func (v *visit) attempt(attempt holdfast.Attempt) (over bool) {
	v.seen.Told = "never began to pay"
	err := v.ask(func(ctx context.Context, l *frontLife) error {
		q, err := l.client.Quote(ctx, v.event, v.hold.ID, holdfast.PromoCode{})
		if err == nil {
			v.hold, err = l.client.BeginPayment(ctx, remote.PaymentRequest{Event: v.event, Buyer: v.hold.Buyer, Hold: v.hold.ID, Attempt: attempt, Amount: q.Total, Contact: holdfast.ContactID(v.hold.Buyer)})
		}
		return err
	})
	if err != nil {
		return true
	}
	v.seen.Amount, v.hold.Attempt = v.hold.Amount.AmountMinor, attempt
	if v.random.IntN(15) == 0 {
		v.seen.Told = "vanished before there was a payment"
		return true
	}
	secret := ""
	err = v.ask(func(ctx context.Context, l *frontLife) (err error) {
		secret, err = "", errRefused
		if till := l.till.Load(); till != nil {
			secret, err = till.Begin(ctx, v.begun())
		}
		return err
	})
	ref, _, ok := strings.Cut(secret, "_secret")
	if err != nil || !ok {
		v.seen.Told = "got no payment"
		return false
	}
	return v.pay(ref)
}

// begun is the attempt as the frontend names it.
func (v *visit) begun() frontend.PaymentBegin {
	return frontend.PaymentBegin{Event: v.event, Hold: v.hold.ID, Attempt: v.hold.Attempt, Amount: v.hold.Amount, Since: time.Now().Add(-checkoutWindow - holdfast.GraceMax)}
}
