package frontend

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// lineTexts are the lines of an order as people read them.
var lineTexts = map[holdfast.LineKind]string{holdfast.LineSeats: "Seats", holdfast.LineDiscount: "Promotion", holdfast.LineFee: "Fees",
	holdfast.LineTax: "Tax", holdfast.LineTaxIncluded: "Tax, included"}

// quote tells what a hold costs: by the shard's rules for payments, or, where the event has none, its seats.
func (s *Server) quote(ctx context.Context, c *room, h client.Hold, promo string) (quoteOut, error) {
	if !c.takesMoney() {
		if promo != "" {
			return quoteOut{}, promoError(holdfast.PromoUnknown)
		}
		return quoteOut{Lines: []quoteLineOut{{Text: lineTexts[holdfast.LineSeats], Count: len(h.Seats), AmountMinor: h.Amount.AmountMinor}}, Total: h.Amount}, nil
	}
	q, err := s.cfg.Client.Quote(ctx, c.ref, h.ID, promoOf(promo))
	if err != nil {
		return quoteOut{}, err
	}
	if q.Refused != 0 && q.Refused != holdfast.HoldInPayment {
		return quoteOut{}, promoError(q.Refused)
	}
	out := quoteOut{Total: q.Total}
	for _, l := range q.Lines {
		line := quoteLineOut{Text: lineTexts[l.Kind], AmountMinor: l.AmountMinor}
		if l.Kind == holdfast.LineSeats {
			line.Count = len(h.Seats)
		}
		out.Lines = append(out.Lines, line)
	}
	return out, nil
}

// promoError is a refusal of the shard, with the field that it concerns.
func promoError(outcome holdfast.Outcome) error {
	return &client.Refusal{Op: "quote", Outcome: outcome}
}

// isPromo reports whether the error is about the promotion code.
func isPromo(err error) bool {
	return errors.Is(err, holdfast.PromoUnknown) || errors.Is(err, holdfast.PromoUsedUp)
}

func promoOf(code string) holdfast.PromoCode {
	if strings.TrimSpace(code) == "" {
		return holdfast.PromoCode{}
	}
	return command.PromoOf(code)
}

// takesMoney reports whether the event has rules for payments.
func (c *room) takesMoney() bool {
	c.board.mu.RLock()
	defer c.board.mu.RUnlock()
	return c.board.event.Spec.Checkout.Given()
}

// paymentRequest is what BeginPayment freezes.
func (s *Server) paymentRequest(o owner, h client.Hold, total holdfast.Money, address, promo string) client.PaymentRequest {
	q := client.PaymentRequest{Event: o.room.ref, Buyer: o.buyer, Hold: h.ID, Attempt: h.Attempt + 1, Amount: total}
	if o.room.takesMoney() {
		q.Promo, q.Contact = promoOf(promo), s.contact(o.room.ref.ID, address)
	}
	return q
}

// contact is how an event's orders are found again by a mail address.
func (s *Server) contact(event holdfast.EventID, address string) holdfast.ContactID {
	if s.cfg.Persons == nil {
		return holdfast.ContactID{}
	}
	return s.cfg.Persons.Contact(event, address)
}

// keepPerson keeps who buys, encrypted under a key of their own, with the hold. Without a vault nobody is kept: the order
// can then be found by its link only. Who comes with the same details again, as after an answer that got lost, is kept
// already: each keeping costs a key, and a hold may have a few only.
func (s *Server) keepPerson(ctx context.Context, event client.EventRef, hold holdfast.HoldID, address, name string) error {
	if s.cfg.Persons == nil {
		return nil
	}
	p, err := person.Clean(person.Person{Name: name, Mail: address})
	if err != nil {
		return err
	}
	if kept, found, err := s.cfg.Persons.Find(ctx, s.cfg.Client, event, hold); err == nil && found && kept == p {
		return nil
	}
	blob, err := s.cfg.Persons.Seal(ctx, event.ID, hold, p)
	if err != nil {
		return err
	}
	return s.cfg.Client.PutPerson(ctx, event, hold, blob)
}
