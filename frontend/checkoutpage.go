package frontend

import (
	"errors"
	"io"
	"net/http"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// The checkout as pages. With JavaScript the page pays through the API; without it the form begins the payment here, the
// sandbox's own form pays it, and the browser comes back to see how it went.

func (s *Server) checkoutPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	h, held := g.openHold(r.Context())
	if !held {
		if order := g.bought(r); order != "" {
			http.Redirect(w, r, order, http.StatusSeeOther)
			return
		}
		v := page.CheckoutView{Frame: g.frame, Event: g.head(), State: page.CheckoutLapsed}
		g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Checkout(w, v) })
		return
	}
	v := page.CheckoutView{State: page.CheckoutDetails, Promo: r.FormValue("promo")}
	switch h.State {
	case holdfast.HoldPaying:
		v.State = page.CheckoutPaying
		if s.settled(g, h) {
			return
		}
	case holdfast.HoldClosing:
		v.State = page.CheckoutClosing
	}
	g.checkout(v, h)
}

// settled looks how the payment went when the buyer comes back, and sends the browser to the order when it sold.
func (s *Server) settled(g *guest, h client.Hold) bool {
	o, err := s.ownerOf(g.r, g.room.ref.Name)
	if err != nil {
		return false
	}
	out, err := s.confirm(g.r.Context(), o, h.ID)
	if err != nil || out.Order == "" {
		if err == nil && out.Message != "" {
			g.frame.Notice = &page.Notice{Kind: page.NoticeRefusal, Text: out.Message}
		}
		return false
	}
	http.Redirect(g.w, g.r, s.cfg.Secret.OrderPath(g.room.ref.ID, h.ID.Order()), http.StatusSeeOther)
	return true
}

// bought gives the page of the order that the browser's last hold has become.
func (g *guest) bought(r *http.Request) string {
	c, err := r.Cookie(cookieHold)
	if err != nil {
		return ""
	}
	id, event, err := parseName(r, "hold_", c.Value)
	if err != nil || event != g.room.ref.ID.String() {
		return ""
	}
	key, err := g.s.keyOf(r, &g.visitor, g.room)
	if err != nil {
		return ""
	}
	order, err := g.s.cfg.Client.GetOrder(r.Context(), g.room.ref, holdfast.HoldID(id).Order())
	if err != nil || order.Buyer != key.Buyer() {
		return ""
	}
	return g.s.cfg.Secret.OrderPath(g.room.ref.ID, order.ID)
}

// checkout fills in and writes the page.
func (g *guest) checkout(v page.CheckoutView, h client.Hold) {
	s := g.s
	quote, err := s.quote(g.r.Context(), g.room, h, v.Promo)
	if isPromo(err) {
		if v.Errors == nil {
			v.Errors = map[string]string{}
		}
		v.Errors["promo"] = capital(err.(*client.Refusal).Outcome.Error()) + "."
		quote, err = s.quote(g.r.Context(), g.room, h, "")
	} else if err == nil && v.Promo != "" {
		v.PromoOK = true
	}
	if err != nil {
		s.failIn(g.w, g.r, err, g.room.ref.ID)
		return
	}
	v.Event, v.Hold, v.Total = g.head(), *g.pageHold(h), quote.Total
	for _, l := range quote.Lines {
		v.Lines = append(v.Lines, page.Line{Text: l.Text, Count: l.Count, Amount: g.money(l.AmountMinor)})
	}
	if v.State != page.CheckoutDetails {
		v.Total = h.Amount
	}
	if v.Total.AmountMinor > 0 && s.cfg.Payments != nil {
		v.Pay = s.pagePay(s.cfg.PublicURL + "/e/" + g.room.ref.Name + "/checkout")
		if v.State == page.CheckoutPaying {
			// The payment is the attempt's, whoever asks for it again.
			v.Pay.ClientSecret, err = s.cfg.Payments.Begin(g.r.Context(), s.paymentOf(g.room, h))
			if errors.Is(err, errAttemptOver) {
				v.State = page.CheckoutDetails // the next press of Pay is another attempt
				v.Total = quote.Total
			} else if err != nil {
				s.log.Warn("a payment cannot be shown", "err", err)
			}
		}
	}
	g.needs.Pay = v.Pay
	v.Frame = g.frame
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Checkout(w, v) })
}

// checkoutForm begins the payment, or shows the total with a promotion.
func (s *Server) checkoutForm(w http.ResponseWriter, r *http.Request) {
	g, ok := s.form(w, r)
	if !ok {
		return
	}
	h, held := g.openHold(r.Context())
	if !held {
		g.see("/checkout")
		return
	}
	in := checkoutIn{Mail: r.PostFormValue("mail"), Name: r.PostFormValue("name"), Promo: r.PostFormValue("promo")}
	v := page.CheckoutView{State: page.CheckoutDetails, Mail: in.Mail, Name: in.Name, Promo: in.Promo}
	if r.PostFormValue("action") == "promo" || h.State != holdfast.HoldOpen && h.State != holdfast.HoldPaying {
		g.checkout(v, h)
		return
	}
	err := s.payable(r)
	var o owner
	if err == nil {
		o, err = s.ownerOf(r, g.room.ref.Name)
	}
	var b begun
	if err == nil {
		b, err = s.begin(r.Context(), o, h.ID, in)
	}
	var wrong *holdfast.Error
	switch {
	case isPromo(err):
		g.checkout(v, h)
	case errors.As(err, &wrong) && wrong.Kind == holdfast.Invalid && wrong.Field != "":
		v.Errors = map[string]string{wrong.Field: capital(wrong.Message) + "."}
		g.checkout(v, h)
	case err != nil:
		g.refuse(err, "/checkout")
	case b.order != nil:
		http.Redirect(w, r, s.cfg.Secret.OrderPath(g.room.ref.ID, b.order.ID), http.StatusSeeOther)
	default:
		g.see("/checkout")
	}
}
