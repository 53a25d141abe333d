package visitor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What a visitor asks for, in the order of a visit. The answers are the API's documents, as far as a program needs them.

// Place is a place in the line.
type Place struct {
	Number     uint32   `json:"number"`
	State      string   `json:"state"`
	Room       string   `json:"room"`     // which page it is: sold_out, over, …
	Position   *uint32  `json:"position"` // nil before the draw
	Ahead      int64    `json:"ahead"`
	Token      string   `json:"token"`
	Key        string   `json:"key"`
	Path       []string `json:"path"`
	NextPollMs int64    `json:"next_poll_ms"`
	Odds       string   `json:"odds"` // that something is left when the turn comes
	Sale       string   `json:"sale"`
	Hold       string   `json:"hold"`
}

// Join joins the line, or finds the place that the visitor has.
func (v *Visitor) Join(ctx context.Context) (Place, error) {
	var p Place
	err := v.call(ctx, http.MethodPost, v.event("/line"), "", map[string]string{"secret": v.secret}, &p)
	v.keep(&p)
	return p, err
}

// Place asks how the place stands. When it is the visitor's turn, asking opens the session.
func (v *Visitor) Place(ctx context.Context) (Place, error) {
	var p Place
	err := v.call(ctx, http.MethodGet, v.event("/line/place"), "", nil, &p)
	v.keep(&p)
	return p, err
}

func (v *Visitor) keep(p *Place) {
	if p.Token != "" {
		v.token = p.Token
	}
}

// Leave gives the place up.
func (v *Visitor) Leave(ctx context.Context) error {
	return v.call(ctx, http.MethodDelete, v.event("/line/place"), "", nil, nil)
}

// AwaitReturns puts the place on the list of those to whom seats that come back are offered.
func (v *Visitor) AwaitReturns(ctx context.Context, count int) error {
	return v.call(ctx, http.MethodPost, v.event("/returns"), "", map[string]int{"count": count}, nil)
}

// LeaveReturns takes it off the list.
func (v *Visitor) LeaveReturns(ctx context.Context) error {
	return v.call(ctx, http.MethodDelete, v.event("/returns"), "", nil, nil)
}

// Await polls as often as it is told to, until the place is in a state that is not among those that wait, or ctx ends.
func (v *Visitor) Await(ctx context.Context) (Place, error) {
	for {
		p, err := v.Place(ctx)
		if err != nil || !Waits(p.State) {
			return p, err
		}
		timer := time.NewTimer(max(time.Duration(p.NextPollMs)*time.Millisecond, retryLeast))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return p, ctx.Err()
		}
	}
}

// Waits reports whether a place in this state is still on its way to a session.
func Waits(state string) bool {
	switch state {
	case "waiting", "called", "missed", "deferred":
		return true
	}
	return false
}

// Want is what is asked for: one of its parts.
type Want struct {
	Best    *Best    `json:"best,omitempty"`
	Seats   []uint32 `json:"seats,omitempty"`
	General *General `json:"general,omitempty"`
}

// Best asks for the best seats that are free.
type Best struct {
	Count int  `json:"count"`
	Tier  *int `json:"tier,omitempty"`
	Apart bool `json:"apart,omitempty"`
}

// General asks for places without numbers.
type General struct {
	Section int `json:"section"`
	Count   int `json:"count"`
}

// Money is an amount in minor units.
type Money struct {
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
}

// Hold is a hold.
type Hold struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	Seats       []Seat `json:"seats"`
	Amount      Money  `json:"amount"`
	RemainingMs int64  `json:"remaining_ms"`
}

// Seat is one of its seats.
type Seat struct {
	Index uint32 `json:"index"`
	Label string `json:"label"`
}

// Hold holds seats. key is made by NewKey, once for each wish.
func (v *Visitor) Hold(ctx context.Context, key string, w Want) (Hold, error) {
	var h Hold
	return h, v.call(ctx, http.MethodPost, v.event("/holds"), key, w, &h)
}

// GetHold reads a hold.
func (v *Visitor) GetHold(ctx context.Context, id string) (Hold, error) {
	var h Hold
	return h, v.call(ctx, http.MethodGet, "/api/v1/holds/"+url.PathEscape(id), "", nil, &h)
}

// Release gives a hold back.
func (v *Visitor) Release(ctx context.Context, id string) error {
	return v.call(ctx, http.MethodDelete, "/api/v1/holds/"+url.PathEscape(id), "", nil, nil)
}

// Buyer is who pays.
type Buyer struct {
	Mail  string `json:"mail"`
	Name  string `json:"name"`
	Promo string `json:"promo,omitempty"`
}

// Checkout is a payment that was begun, or an order that needed none.
type Checkout struct {
	Quote struct {
		Total Money `json:"total"`
	} `json:"quote"`
	Attempt      int    `json:"attempt"`
	ClientSecret string `json:"client_secret"`
	Publishable  string `json:"publishable_key"`
	RemainingMs  int64  `json:"remaining_ms"`
	Order        string `json:"order"`
}

// Checkout begins to pay for a hold.
func (v *Visitor) Checkout(ctx context.Context, key, id string, who Buyer) (Checkout, error) {
	var c Checkout
	return c, v.call(ctx, http.MethodPost, "/api/v1/holds/"+url.PathEscape(id)+"/checkout", key, who, &c)
}

// Confirmation is how a payment stands: pending, sold, failed or declined.
type Confirmation struct {
	State      string `json:"state"`
	Message    string `json:"message"`
	Order      string `json:"order"`
	NextPollMs int64  `json:"next_poll_ms"`
}

// Confirm comes back from the provider's page, and asks how the payment stands.
func (v *Visitor) Confirm(ctx context.Context, id string) (Confirmation, error) {
	var c Confirmation
	return c, v.call(ctx, http.MethodPost, "/api/v1/holds/"+url.PathEscape(id)+"/confirm", "", struct{}{}, &c)
}

// Order is an order.
type Order struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Seats  []Seat `json:"seats"`
	Amount Money  `json:"amount"`
}

// Order reads an order.
func (v *Visitor) Order(ctx context.Context, id string) (Order, error) {
	var o Order
	return o, v.call(ctx, http.MethodGet, "/api/v1/orders/"+url.PathEscape(id), "", nil, &o)
}

// Event reads the event's document as it is.
func (v *Visitor) Event(ctx context.Context) (json.RawMessage, error) {
	var doc json.RawMessage
	return doc, v.call(ctx, http.MethodGet, v.event(""), "", nil, &doc)
}

// Pay confirms a payment at the provider as a browser does, with one of its test methods. What the provider answers is
// no proof of anything: Confirm is.
func (v *Visitor) Pay(ctx context.Context, provider string, c Checkout, method string) error {
	intent, _, ok := cutSecret(c.ClientSecret)
	if !ok {
		return fmt.Errorf("a client secret that names no payment")
	}
	form := url.Values{"client_secret": {c.ClientSecret}, "payment_method": {method}}
	return v.post(ctx, provider+"/v1/payment_intents/"+intent+"/confirm", c.Publishable, form)
}

// Authenticate answers yes or no on the page of the sandbox's bank, to which some cards send their holders.
func (v *Visitor) Authenticate(ctx context.Context, provider string, c Checkout, answer string) error {
	intent, _, ok := cutSecret(c.ClientSecret)
	if !ok {
		return fmt.Errorf("a client secret that names no payment")
	}
	return v.post(ctx, provider+"/sandbox/authenticate/"+intent, "", url.Values{"client_secret": {c.ClientSecret}, "answer": {answer}})
}

// post sends a form to the provider. What it answers is read and not believed.
func (v *Visitor) post(ctx context.Context, address, publishable string, form url.Values) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte(form.Encode())))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if publishable != "" {
		req.Header.Set("Authorization", "Bearer "+publishable)
	}
	res, err := v.cfg.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, bodyMax))
	return err
}

// cutSecret cuts pi_1_secret_2 into the payment's reference and the rest.
func cutSecret(secret string) (intent, rest string, ok bool) {
	return strings.Cut(secret, "_secret_")
}
