package frontend

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// bank is the sandbox with a settlement worker of its own.
type bank struct {
	*sandbox.Server
	provider payment.Provider
	g        *ground
	pay      func(clientSecret, method string) int // what the buyer's browser does
}

func newBank(g *ground) *bank {
	g.t.Helper()
	server, err := sandbox.New(sandbox.Config{})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { server.Close() })
	secret, publishable := server.Keys()
	p, err := stripe.New(stripe.Config{Key: secret, Backend: "http://bank", Transport: server.Transport(), WebhookSecrets: []payment.Secret{payment.Hide("whsec_test")}})
	if err != nil {
		g.t.Fatal(err)
	}
	b := &bank{Server: server, provider: p, g: g}
	b.pay = func(clientSecret, method string) int {
		form := url.Values{"key": {publishable.Reveal()}, "client_secret": {clientSecret}, "payment_method": {method}, "return_url": {"http://shop.test/"}}
		id, _, _ := strings.Cut(clientSecret, "_secret_")
		r, _ := http.NewRequest("POST", "http://bank/v1/payment_intents/"+id+"/confirm", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := server.Transport().RoundTrip(r)
		if err != nil {
			g.t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	return b
}

// settlement starts a worker and puts it behind a checkout.
func (b *bank) settlement() *Settlement {
	b.g.t.Helper()
	c := b.g.cluster.Client()
	ctx, cancel := context.WithCancel(context.Background())
	w, err := settle.New(ctx, settle.Config{Client: c, Provider: b.provider, Name: "w" + b.g.t.Name(), Calls: 4})
	if err != nil {
		b.g.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	b.g.t.Cleanup(func() { cancel(); running.Wait(); w.Close() })
	return NewSettlement(c, b.provider, w, PaymentPublic{Provider: "sandbox", PublishableKey: "pk_test_x", SandboxURL: "http://bank"})
}

func priced() command.EventSpec {
	spec := hall("evening")
	spec.Checkout = command.Checkout{Mode: holdfast.ModeTest, Account: "acct_sandbox", FeePerUnitMinor: 150, LeastMinor: 50,
		Promos: []command.Promo{{Code: command.PromoOf("FRIENDS"), Bps: 1000}}}
	return spec
}

// TestSeatsArePaidFor: the amount is frozen first, the money is authorised by the buyer's browser, the seats are sold, and
// only then the money is taken and the tickets are valid. Another frontend takes over in between.
func TestSeatsArePaidFor(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	one := g.serve(func(c *Config) { c.Payments = settlement })
	two := g.serve(func(c *Config) { c.Payments = settlement })
	b := newBrowser(t)
	h := b.api(one, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{2, 3}}).want(201).hold()
	checkout, confirm := "/api/v1/holds/"+h.ID+"/checkout", "/api/v1/holds/"+h.ID+"/confirm"
	if a := b.api(one, "POST", confirm, nil).want(409); a.code() != "payment_not_begun" {
		t.Errorf("%s", a.body)
	}
	if a := b.api(one, "POST", checkout, checkoutIn{Mail: "ann@example.org", Name: "Ann", Promo: "NONE"}).want(400); a.code() != "promo_unknown" {
		t.Errorf("%s", a.body)
	}
	var c checkoutOut
	b.api(one, "POST", checkout, checkoutIn{Mail: "ann@example.org", Name: "Ann", Promo: "friends"}).want(200).into(&c)
	if c.Attempt != 1 || c.ClientSecret == "" || c.Provider != "sandbox" || c.Quote.Total.AmountMinor != 9000+300 || !c.TestMode || c.RemainingMs <= 0 {
		t.Fatalf("begun: %+v", c)
	}
	var k confirmOut
	b.api(one, "POST", confirm, nil).want(200).into(&k)
	if k.State != "pending" || k.NextPollMs <= 0 {
		t.Errorf("before anything was paid: %+v", k)
	}
	if status := money.pay(c.ClientSecret, "pm_card_visa_chargeDeclined"); status != 402 {
		t.Fatalf("a bad card: %d", status)
	}
	b.api(one, "POST", confirm, nil).want(200).into(&k)
	if k.State != "declined" || k.Message == "" {
		t.Errorf("declined: %+v", k)
	}
	b.move(one, two)
	var again checkoutOut
	b.api(two, "POST", checkout, checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200).into(&again)
	if again.ClientSecret != c.ClientSecret || again.Attempt != 1 {
		t.Errorf("going on at the other frontend: %+v, begun %+v", again, c)
	}
	if status := money.pay(c.ClientSecret, "pm_card_visa"); status != 200 {
		t.Fatalf("a good card: %d", status)
	}
	b.api(two, "POST", confirm, nil).want(200).into(&k)
	if k.State != "sold" || k.Order == "" || k.URL == "" {
		t.Fatalf("paid: %+v", k)
	}
	b.api(two, "POST", confirm, nil).want(200) // once more
	var o orderOut
	until(t, "the money is taken", func() bool {
		b.api(two, "GET", "/api/v1/orders/"+k.Order, nil).want(200).into(&o)
		return o.State == "paid"
	})
	var tickets ticketsOut
	b.api(two, "GET", "/api/v1/orders/"+k.Order+"/tickets", nil).want(200).into(&tickets)
	if len(tickets.Tickets) != 2 || !tickets.Tickets[0].Valid {
		t.Errorf("%+v", tickets)
	}
}

// TestAnEventOfAnotherModeIsNotPaidFor: with test keys nobody's card is asked for an event that sells for real money, nor for one of another
// account.
func TestAnEventOfAnotherModeIsNotPaidFor(t *testing.T) {
	for what, change := range map[string]func(*command.Checkout){
		"live":            func(c *command.Checkout) { c.Mode = holdfast.ModeLive },
		"another account": func(c *command.Checkout) { c.Account = "acct_other" },
	} {
		spec := priced()
		change(&spec.Checkout)
		g := newGround(t, spec)
		money := newBank(g)
		settlement := money.settlement()
		s := g.serve(func(c *Config) { c.Payments = settlement })
		b := newBrowser(t)
		h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(201).hold()
		if a := b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(503); a.code() != errNoPayments.code {
			t.Errorf("%s: %s", what, a.body)
		}
		if n := len(money.Books()); n != 0 {
			t.Errorf("%s: %d payments were made", what, n)
		}
	}
}

// TestABuyersPollsMakeNoPayments: how often somebody asks how it went, the provider is asked for one reading each time, and not to make
// the payment again, which would come before captures in the budget.
func TestABuyersPollsMakeNoPayments(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	s := g.serve(func(c *Config) { c.Payments = settlement })
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(201).hold()
	var c checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200).into(&c)
	before := money.Counts()
	for range 5 {
		var k confirmOut
		if b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k); k.State != "pending" {
			t.Errorf("%+v", k)
		}
	}
	if after := money.Counts(); after.Replayed != before.Replayed || after.Requests != before.Requests+5 {
		t.Errorf("before five polls %+v, behind them %+v", before, after)
	}
}

func TestTheMemoryOfReferencesIsBounded(t *testing.T) {
	var r refMemory
	for n := range uint32(3 * refsMax) {
		r.keep(attemptName{attempt: holdfast.Attempt(n)}, "pi")
	}
	_, first := r.of(attemptName{attempt: 0})
	_, last := r.of(attemptName{attempt: 3*refsMax - 1})
	if n := len(r.young) + len(r.old); n > 2*refsMax || first || !last {
		t.Errorf("%d references; the first is there: %t, the last: %t", n, first, last)
	}
}

// countedKeys counts the keys under which people are kept.
type countedKeys struct {
	*client.Client
	put atomic.Int64
}

func (k *countedKeys) PutPersonKey(ctx context.Context, key holdfast.PersonKey) error {
	k.put.Add(1)
	return k.Client.PutPersonKey(ctx, key)
}

// TestABuyerMayTryAgainForAsLongAsTheProviderIsDown: each try goes on with the same attempt, costs nothing that runs out, and pays at last.
func TestABuyerMayTryAgainForAsLongAsTheProviderIsDown(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement, keys := money.settlement(), &countedKeys{Client: g.cluster.Client()}
	s := g.serve(func(c *Config) {
		c.Payments, c.Limits.AddressPaysPerHour = settlement, 1000
		c.Persons = person.NewVault(person.RandomMasters(), keys)
	})
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 2}}).want(201).hold()
	if err := money.SetFaults(sandbox.Fault{Do: sandbox.Unavailable}); err != nil {
		t.Fatal(err)
	}
	checkout := func() answer {
		return b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"})
	}
	for range 10 {
		if a := checkout().want(503); a.code() != "payment_unknown" {
			t.Fatalf("%s", a.body)
		}
	}
	if err := money.SetFaults(); err != nil {
		t.Fatal(err)
	}
	var c checkoutOut
	checkout().want(200).into(&c)
	if n := keys.put.Load(); c.Attempt != 1 || n != 1 {
		t.Errorf("attempt %d, and %d keys to who buys: a hold may have eight", c.Attempt, n)
	}
	money.pay(c.ClientSecret, "pm_card_visa")
	var k confirmOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k)
	if k.State != "sold" {
		t.Errorf("%+v", k)
	}
}

// TestSomebodyWithoutJavaScriptPays: the form begins the payment, the sandbox's own form pays it, and the checkout's page
// finds out.
func TestSomebodyWithoutJavaScriptPays(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	s := g.serve(func(c *Config) { c.Payments = settlement })
	b := newBrowser(t)
	b.form(s, "/e/evening/seats", "/e/evening/hold", url.Values{"count": {"2"}, "section": {"0"}}).want(303)
	if a := b.form(s, "/e/evening/checkout", "/e/evening/checkout", url.Values{"mail": {"a@example.org"}, "name": {"Ann"}, "promo": {"FRIENDS"}, "action": {"promo"}}); !strings.Contains(string(a.body), "93.00") {
		t.Errorf("the promotion is not applied: %s", a.body)
	}
	if a := b.form(s, "/e/evening/checkout", "/e/evening/checkout", url.Values{"mail": {"a@example.org"}, "name": {"Ann"}, "promo": {"NONE"}, "action": {"pay"}}); a.status != 200 || !strings.Contains(string(a.body), "no such promotion code") {
		t.Errorf("a wrong code: %d %s", a.status, a.body)
	}
	if a := b.form(s, "/e/evening/checkout", "/e/evening/checkout", url.Values{"mail": {"a@example.org"}, "name": {"Ann"}, "action": {"pay"}}); a.header.Get("Location") != "/e/evening/checkout" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	page := string(b.do("GET", s.base+"/e/evening/checkout", nil).want(200).body)
	_, secret, _ := strings.Cut(page, `name="client_secret" value="`)
	secret, _, _ = strings.Cut(secret, `"`)
	if secret == "" || !strings.Contains(page, `action="http://bank/`) {
		t.Fatalf("%s", page)
	}
	money.pay(secret, "pm_card_visa")
	if a := b.do("GET", s.base+"/e/evening/checkout", nil).want(303); !strings.HasPrefix(a.header.Get("Location"), "/o/ord_") {
		t.Errorf("back from paying: %s", a.header.Get("Location"))
	}
}

// TestAWebhookIsAnsweredByWhatCameOfIt: forged ones are refused, and without payments nobody listens.
func TestAWebhookIsAnsweredByWhatCameOfIt(t *testing.T) {
	g := newGround(t, priced())
	settlement := newBank(g).settlement()
	s := g.serve(func(c *Config) { c.Payments = settlement })
	b := newBrowser(t)
	if a := b.do("POST", s.base+"/webhooks/stripe", map[string]string{"id": "evt_1"}, "Stripe-Signature", "t=1,v1=00"); a.status != 400 || a.code() != "payment_forged" {
		t.Errorf("forged: %d %s", a.status, a.body)
	}
	if a := b.do("POST", g.serve().base+"/webhooks/stripe", map[string]string{"id": "evt_1"}); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("nobody listens: %d %s", a.status, a.body)
	}
}

func TestAProvidersFailuresAreSaidInTheShopsWords(t *testing.T) {
	for kind, status := range map[payment.Kind]int{payment.Declined: 402, payment.Unknown: 503, payment.Limited: 503, payment.Busy: 503, payment.Missing: 503, payment.WrongAccount: 503} {
		got, body := verdict(sayPayment(&payment.Error{Kind: kind, Op: "create", Message: "sk_live_secret"}), 0)
		if got != status || strings.Contains(body.Message, "sk_live") || status == 503 && body.RetryAfterMs == 0 {
			t.Errorf("%s: %d %+v", kind, got, body)
		}
	}
	if err := errors.New("x"); sayPayment(err) != err {
		t.Error("what the provider did not say is changed")
	}
}

// slow is a settlement whose provider takes its time.
type slow struct {
	Payments
	clock *movable
}

func (s slow) Begin(ctx context.Context, p PaymentBegin) (string, error) {
	s.clock.advance(4 * time.Second)
	return s.Payments.Begin(ctx, p)
}

func (s slow) Look(ctx context.Context, event client.EventRef, h client.Hold, since time.Time) (PaymentVerdict, error) {
	s.clock.advance(4 * time.Second)
	return s.Payments.Look(ctx, event, h, since)
}

// TestWhatIsLeftIsSaidAfterTheProviderAnswered: the countdown on the page never shows time that passed while the provider
// was asked.
func TestWhatIsLeftIsSaidAfterTheProviderAnswered(t *testing.T) {
	spec := priced()
	spec.Rules.PayWindowMs = 10_000
	g := newGround(t, spec)
	settlement := newBank(g).settlement()
	s := g.serve(func(c *Config) { c.Payments = slow{settlement, g.clock} })
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{2}}).want(201).hold()
	var c checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200).into(&c)
	if c.RemainingMs > 6000 || c.RemainingMs < 4000 {
		t.Errorf("of 10 s, 4 s after the payment began, %d ms are left", c.RemainingMs)
	}
	var k confirmOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k)
	if k.State != "pending" || k.RemainingMs > 6000 { // the shard's clock stood still
		t.Errorf("4 s later: %+v", k)
	}
}

// TestTheGraceIsPromisedToNobody: behind the pay deadline the hold has no time left that a page could show, though a provider
// that does not answer may keep it for the grace.
func TestTheGraceIsPromisedToNobody(t *testing.T) {
	spec := priced()
	spec.Rules.PayWindowMs = 10_000
	g := newGround(t, spec)
	money := newBank(g)
	settlement := money.settlement()
	s := g.serve(func(c *Config) { c.Payments = settlement })
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{2}}).want(201).hold()
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200)
	if err := money.SetFaults(sandbox.Fault{Do: sandbox.Down, ForMs: time.Hour.Milliseconds()}); err != nil {
		t.Fatal(err)
	}
	g.cluster.Advance(10_100 * time.Millisecond)
	if got := b.api(s, "GET", "/api/v1/holds/"+h.ID, nil).want(200).hold(); got.State != "closing" || got.RemainingMs != 0 {
		t.Errorf("in the grace: %+v", got)
	}
}
