package frontend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// finder mails links to the orders of an address. It reads the order books of the events that are known, which is much,
// so it does one at a time, in the background, and takes a bounded number of wishes; each address may ask a few times an
// hour. Whoever asks is told the same whether there are orders.
type finder struct {
	s      *Server
	wishes chan string
}

const (
	findQueue    = 256
	findPatience = 2 * time.Minute
	foundMax     = 50 // links in one mail
)

func newFinder(s *Server) finder { return finder{s: s, wishes: make(chan string, findQueue)} }

var errFindBusy = &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: time.Minute, Message: "many people look for their orders at this moment; try again in a minute"}

// ask queues a wish.
func (f *finder) ask(_ context.Context, address string) error {
	if f.s.cfg.Mail == nil || f.s.cfg.Persons == nil {
		return notFound("way to find orders: this shop sends no mail")
	}
	if wait, ok := f.s.perMail.take(f.s.cfg.Secret.contactHash(address)); !ok {
		return &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: wait, Message: "a mail was sent to this address a moment ago; look there"}
	}
	select {
	case f.wishes <- address:
		return nil
	default:
		return errFindBusy
	}
}

// run serves wishes until the server closes.
func (f *finder) run() {
	for {
		select {
		case <-f.s.ctx.Done():
			return
		case address := <-f.wishes:
			if err := f.find(address); err != nil {
				f.s.log.Warn("orders could not be looked for", "err", err)
			}
		}
	}
}

func (f *finder) find(address string) error {
	ctx, cancel := context.WithTimeout(f.s.ctx, findPatience)
	defer cancel()
	events, err := f.s.rooms.known.all(ctx)
	if err != nil {
		return err
	}
	var links []string
	for _, e := range events {
		contact := f.s.contact(e.ID, address)
		if contact == (holdfast.ContactID{}) {
			continue // which would be everybody without an address
		}
		for order, err := range f.s.cfg.Client.OrdersOf(ctx, e.EventRef, contact, client.AllowStale()) {
			if err != nil {
				return err
			}
			if len(links) < foundMax {
				links = append(links, fmt.Sprintf("%s\n%s", e.Title, f.s.orderURL(e.ID, order.ID)))
			}
		}
	}
	if len(links) == 0 {
		return nil
	}
	return f.s.cfg.Mail.Send(ctx, address, "Your orders", "You asked for your orders:\n\n"+strings.Join(links, "\n\n")+"\n")
}
