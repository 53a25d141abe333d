package person

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// OfMail finds the holds and orders of an event whose buyer gave an address. Orders are found by their contact's hash; who
// has none (it cost nothing, or is not bought yet) is decrypted and compared.
func (v *Vault) OfMail(ctx context.Context, c *client.Client, event client.EventRef, mail string) (found []holdfast.HoldID, err error) {
	want := v.Contact(event.ID, mail)
	if want == (holdfast.ContactID{}) {
		return nil, refuse("mail", "it is not a mail address")
	}
	other := map[holdfast.HoldID]bool{} // orders that somebody else paid
	for o, err := range c.Orders(ctx, event) {
		if err != nil {
			return nil, err
		}
		if o.Contact == want {
			found = append(found, o.ID.Hold())
		}
		if o.Contact != (holdfast.ContactID{}) {
			other[o.ID.Hold()] = true
		}
	}
	holds, all, err := c.PersonHolds(ctx, event.ID)
	if err != nil {
		return nil, err
	}
	if !all {
		return nil, &holdfast.Error{Kind: holdfast.Overloaded, Op: "find by mail", Message: "there are more people than can be looked through"}
	}
	for _, hold := range holds {
		if other[hold] {
			continue
		}
		p, ok, err := v.Find(ctx, c, event, hold)
		if err != nil {
			return nil, err
		}
		if ok && normalMail(p.Mail) == normalMail(mail) {
			found = append(found, hold)
		}
	}
	return found, nil
}

// Abandoned finds the holds of an event whose buyer gave an address and did not buy: they are gone, no order came of them
// nor can any payment bring one, and their keys are still there. At most so many are looked at.
func Abandoned(ctx context.Context, c *client.Client, event client.EventRef, max int) (gone []holdfast.HoldID, err error) {
	sold := map[holdfast.HoldID]bool{}
	holds, _, err := c.PersonHolds(ctx, event.ID)
	if err != nil || len(holds) == 0 {
		return nil, err
	}
	for o, err := range c.Orders(ctx, event, client.AllowStale()) {
		if err != nil {
			return nil, err
		}
		sold[o.ID.Hold()] = true
	}
	for _, hold := range holds {
		if sold[hold] {
			continue
		}
		if max--; max < 0 {
			break
		}
		// Read where it is decided: what was a hold a moment ago may be an order now, and is found as either.
		_, err := c.GetHold(ctx, event, hold)
		if errors.Is(err, holdfast.NotFound) {
			_, err = c.GetOrder(ctx, event, hold.Order())
		}
		if errors.Is(err, holdfast.NotFound) || errors.Is(err, holdfast.HoldLapsed) || errors.Is(err, holdfast.HoldReleased) {
			gone = append(gone, hold)
		} else if err != nil {
			return nil, err
		}
	}
	return withoutPayments(ctx, c, event, gone)
}

// withoutPayments leaves out holds with a payment that may still bring money, and with it their seats.
func withoutPayments(ctx context.Context, c *client.Client, event client.EventRef, holds []holdfast.HoldID) ([]holdfast.HoldID, error) {
	if len(holds) == 0 {
		return nil, nil
	}
	book, err := c.Payments(ctx, event)
	if err != nil {
		return nil, err
	}
	waiting := map[holdfast.HoldID]bool{}
	for _, p := range book.Payments {
		if p.State != holdfast.PaymentVoided && p.State != holdfast.PaymentFailed && p.State != holdfast.PaymentReturned {
			waiting[p.Hold] = true
		}
	}
	return slices.DeleteFunc(holds, func(hold holdfast.HoldID) bool { return waiting[hold] }), nil
}

const (
	sweepEvery = 10 * time.Minute
	sweepMax   = 1000 // holds of an event, in one round
)

// Sweeper forgets those who gave an address and did not buy, some minutes after their hold has ended. One in a cluster is
// enough, and several do no harm.
type Sweeper struct {
	Client *client.Client
	Logger *slog.Logger  // nil discards
	Every  time.Duration // 0: 10 minutes
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	every, log := s.Every, s.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if every == 0 {
		every = sweepEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if n, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("those who did not buy are not all forgotten yet", "forgotten", n, "error", err)
		} else if n > 0 {
			log.Info("those who did not buy are forgotten", "holds", n)
		}
	}
}

// Sweep makes one round over all events, and tells how many holds were forgotten. A member that was away learns it from the
// others.
func (s *Sweeper) Sweep(ctx context.Context) (forgotten int, err error) {
	events, err := s.Client.Events(ctx, client.AllowStale())
	if err != nil {
		return 0, err
	}
	var failures []error
	for _, event := range events {
		gone, err := Abandoned(ctx, s.Client, event.EventRef, sweepMax)
		if err == nil && len(gone) > 0 {
			_, err = s.Client.ForgetPersons(ctx, gone)
			forgotten += len(gone)
		}
		failures = append(failures, err)
	}
	return forgotten, errors.Join(failures...)
}
