package frontend

import (
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// unpaidOrder sells two seats to a card whose capture fails, and gives the order's name and the path of its link.
func unpaidOrder(t *testing.T, s *site, money *bank, b *browser) (name, link string) {
	t.Helper()
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 2}}).want(201).hold()
	var c checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200).into(&c)
	money.pay(c.ClientSecret, "pm_sandbox_captureFail")
	var k confirmOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k)
	if k.State != "sold" {
		t.Fatalf("%+v", k)
	}
	until(t, "the order is unpaid", func() bool {
		var o orderOut
		b.api(s, "GET", "/api/v1/orders/"+k.Order, nil).want(200).into(&o)
		return o.State == "unpaid"
	})
	_, link, _ = strings.Cut(k.URL, "/o/")
	return k.Order, "/o/" + link
}

// TestAnUnpaidOrderIsPaidAgainFromItsLink: by another browser than bought it, without JavaScript. Looking at the page begins
// nothing, and the tickets are valid when the money is there.
func TestAnUnpaidOrderIsPaidAgainFromItsLink(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	s := g.serve(func(c *Config) { c.Payments = settlement })
	name, link := unpaidOrder(t, s, money, newBrowser(t))

	b := newBrowser(t)
	page := string(b.do("GET", s.base+link, nil).want(200).body)
	_, pay, _ := strings.Cut(page, `<form method="post" action="/o/`)
	pay, _, _ = strings.Cut(pay, `"`)
	pay = "/o/" + pay
	if !strings.Contains(page, "Pay again") || !strings.HasPrefix(pay, "/o/"+name+"/pay?t=") {
		t.Fatalf("no way to pay again: %s", page)
	}
	if a := b.do("GET", s.base+pay, nil).want(303); a.header.Get("Location") != link {
		t.Errorf("with nothing begun: %s", a.header.Get("Location"))
	}
	if a := b.form(s, link, pay, url.Values{}).want(303); a.header.Get("Location") != pay {
		t.Fatalf("%s", a.header.Get("Location"))
	}
	page = string(b.do("GET", s.base+pay, nil).want(200).body)
	_, secret, _ := strings.Cut(page, `name="client_secret" value="`)
	secret, _, _ = strings.Cut(secret, `"`)
	if secret == "" || !strings.Contains(page, `data-confirm="/api/v1/orders/`+name) {
		t.Fatalf("%s", page)
	}
	if a := b.form(s, link, pay, url.Values{}).want(303); a.header.Get("Location") != pay {
		t.Errorf("pressed twice: %s", a.header.Get("Location"))
	}
	if again := string(b.do("GET", s.base+pay, nil).want(200).body); !strings.Contains(again, secret) {
		t.Error("pressed twice it is another attempt")
	}
	money.pay(secret, "pm_card_visa")
	if a := b.do("GET", s.base+pay, nil).want(303); a.header.Get("Location") != link {
		t.Errorf("back from paying: %s", a.header.Get("Location"))
	}
	token := link[strings.Index(link, "?"):]
	until(t, "the money is taken", func() bool {
		var o orderOut
		b.api(s, "GET", "/api/v1/orders/"+name+token, nil).want(200).into(&o)
		return o.State == "paid"
	})
	if a := b.api(s, "POST", "/api/v1/orders/"+name+"/pay"+token, nil).want(409); a.code() != "hold_already_sold" {
		t.Errorf("%s", a.body)
	}
	var k confirmOut
	if b.api(s, "POST", "/api/v1/orders/"+name+"/confirm"+token, nil).want(200).into(&k); k.State != "sold" {
		t.Errorf("%+v", k)
	}
	newBrowser(t).api(s, "POST", "/api/v1/orders/"+name+"/pay", nil).want(401) // without the link
}

// TestAnAttemptOfWhichNothingComesIsFollowedByAnother: the provider's payment was cancelled under the buyer's hands.
func TestAnAttemptOfWhichNothingComesIsFollowedByAnother(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	s := g.serve(func(c *Config) { c.Payments = settlement })
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 2}}).want(201).hold()
	who := checkoutIn{Mail: "ann@example.org", Name: "Ann", Promo: "FRIENDS"}
	var first, second checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", who).want(200).into(&first)
	intent, _, _ := strings.Cut(first.ClientSecret, "_secret_")
	if err := money.Act(payment.Ref(intent), sandbox.ActCancel, sandbox.Arguments{}); err != nil {
		t.Fatal(err)
	}
	var k confirmOut
	if b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k); k.State != "failed" {
		t.Errorf("%+v", k)
	}
	if page := string(b.do("GET", s.base+"/e/evening/checkout", nil).want(200).body); !strings.Contains(page, `name="mail"`) {
		t.Error("the page has no form to pay again")
	}
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", who).want(200).into(&second)
	if second.Attempt != 2 || second.ClientSecret == first.ClientSecret || second.Quote.Total != first.Quote.Total {
		t.Fatalf("after %+v came %+v", first, second)
	}
	money.pay(second.ClientSecret, "pm_card_visa")
	if b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k); k.State != "sold" {
		t.Errorf("%+v", k)
	}
}
