package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/visitor"
)

// How the crowd pays: with the sandbox's test cards, some of which are declined, ask for more, or answer late. What the
// sandbox tells a buyer proves nothing; a buyer has bought when a frontend says so.

// The cards of the crowd.
const (
	cardSound    = "pm_card_visa"
	cardDeclined = "pm_card_visa_chargeDeclined"
	cardAction   = "pm_card_authenticationRequired"
	cardLate     = "pm_sandbox_late"
)

// pay begins a payment, pays at the provider, and asks the frontend what became of it.
func (b *buyer) pay(ctx context.Context, hold heldUnits) ending {
	key, sent := visitor.NewKey(), time.Now()
	var c visitor.Checkout
	who := visitor.Buyer{Mail: fmt.Sprintf("buyer-%d@example.org", b.number), Name: fmt.Sprintf("Buyer %d", b.number)}
	err := b.ask(ctx, func(ctx context.Context) (err error) {
		sent = time.Now()
		c, err = b.Checkout(ctx, key, hold.ID, who)
		return err
	})
	if err != nil {
		return b.refusedHold("begin payment", hold, err)
	}
	hold.until = sent.Add(time.Duration(c.RemainingMs) * time.Millisecond)
	if b.chance(abandonShare) {
		return abandoned
	}
	for _, card := range b.cards() {
		pause(ctx, b.sometime(payMax))
		if err := b.Pay(ctx, b.shop.provider, c, card); err != nil {
			b.again(err)
		}
		switch {
		case card == cardAction:
			if b.atTheBank(ctx, c) {
				return b.unseen(hold, abandoned)
			}
		case card == cardSound && b.chance(shyShare):
			return b.unseen(hold, unseen)
		}
		if how := b.confirm(ctx, hold, c); how != stillHere {
			return how
		}
	}
	return abandoned // with the last card declined
}

// atTheBank answers the bank's question, and reports whether the buyer goes away from there.
func (b *buyer) atTheBank(ctx context.Context, c visitor.Checkout) (gone bool) {
	pause(ctx, b.sometime(payMax))
	answer, gone := "yes", b.chance(refuseShare)
	if gone {
		answer = "no"
	}
	if err := b.Authenticate(ctx, b.shop.provider, c, answer); err != nil {
		b.again(err)
	}
	return gone
}

// cards are what the buyer pays with, one after the other.
func (b *buyer) cards() []string {
	switch kind := b.rng.IntN(100); {
	case kind < actionShare:
		return []string{cardAction}
	case kind < actionShare+lateShare:
		return []string{cardLate}
	case kind < actionShare+lateShare+declineShare:
		return []string{cardDeclined, cardSound}
	}
	return []string{cardSound}
}

// unseen ends the visit of a buyer who may come to have an order, and does not look.
func (b *buyer) unseen(hold heldUnits, how ending) ending {
	if id, err := holdOfName(hold.ID); err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.unsure[id] = true
	}
	return how
}

// confirm asks how the payment stands until that is decided. stillHere: another card may be tried.
func (b *buyer) confirm(ctx context.Context, hold heldUnits, c visitor.Checkout) ending {
	// Who has waited past the deadline and the grace is told that it was too late.
	for patience := hold.until.Add(holdfast.GraceMax + buyerPatience); ; {
		var stand visitor.Confirmation
		err := b.ask(ctx, func(ctx context.Context) (err error) { stand, err = b.Confirm(ctx, hold.ID); return err })
		if err != nil {
			how := b.refusedHold("sell", hold, err)
			if how == dropped {
				return b.unseen(hold, dropped)
			}
			return how
		}
		switch stand.State {
		case "sold":
			return b.tell(hold, c, stand.Order)
		case "declined":
			return stillHere
		case "failed":
			return abandoned
		}
		if time.Now().After(patience) || !pause(ctx, max(time.Duration(stand.NextPollMs)*time.Millisecond, comeBackMin)) {
			return b.unseen(hold, dropped)
		}
	}
}

// tell notes a sale that the buyer was told of.
func (b *buyer) tell(hold heldUnits, c visitor.Checkout, order string) ending {
	id, err := holdOfName(hold.ID)
	name, _, _ := strings.Cut(order, ".")
	if err != nil || name != id.Order().String() {
		b.promiseBroken("%s became %s", hold.ID, order)
		return dropped
	}
	t := told{Order: id.Order(), Buyer: b.id,
		Amount: holdfast.Money{AmountMinor: c.Quote.Total.AmountMinor, Currency: holdfast.Currency(c.Quote.Total.Currency)}}
	for _, s := range hold.Seats {
		t.Seats = append(t.Seats, holdfast.SeatIndex(s.Index))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, t)
	b.live.orders.Add(1)
	b.live.paidMinor.Add(t.Amount.AmountMinor)
	return bought
}

// holdOfName reads a hold's id off the name that the API gives it, which ends with the event's number.
func holdOfName(name string) (holdfast.HoldID, error) {
	id, _, _ := strings.Cut(name, ".")
	return holdfast.ParseHoldID(id)
}

// refusedHold judges a no to a buyer who has a hold. The only right one is that its time is over, and then it must
// be: the shard's clock may stand still, but never run ahead.
func (b *buyer) refusedHold(what string, hold heldUnits, err error) ending {
	var no *visitor.Problem
	if !errors.As(err, &no) {
		return dropped
	}
	if early := time.Until(hold.until); early > 0 || no.Code != holdfast.HoldLapsed.String() {
		b.promiseBroken("%s: %s of %s, %v before its time was over", what, no.Error(), hold.ID, early.Round(time.Millisecond))
	}
	return lateToPay
}
