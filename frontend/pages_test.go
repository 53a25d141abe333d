package frontend

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
)

// TestSomebodyWithoutJavaScriptBuys: by forms alone, from the event's page to the tickets.
func TestSomebodyWithoutJavaScriptBuys(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	b := newBrowser(t)
	for _, page := range []string{"/", "/e/evening", "/e/evening/line", "/e/evening/seats", "/e/evening/returns", "/e/evening/draw", "/find"} {
		a := b.do("GET", s.base+page, nil).want(200)
		policy := a.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "'nonce-") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") ||
			a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", page, a.header)
		}
	}
	if a := b.form(s, "/e/evening/line", "/e/evening/line", nil); a.status != 303 || a.header.Get("Location") != "/e/evening/line" {
		t.Fatalf("joining: %d %s %s", a.status, a.header.Get("Location"), a.body)
	}
	if a := b.do("GET", s.base+"/e/evening/line", nil).want(200); !strings.Contains(string(a.body), "You are in the line") {
		t.Errorf("the room after joining: %s", a.body)
	}
	g.draw()
	g.cluster.Admit(g.event, 1)
	s.sees("the visitor is called", func(l *lineNow) bool { return l.served == 1 })
	if a := b.do("GET", s.base+"/e/evening/line", nil).want(200); !strings.Contains(string(a.body), "It is your turn") {
		t.Errorf("the room when called: %s", a.body)
	}
	if a := b.form(s, "/e/evening/line", "/e/evening/line", nil); a.header.Get("Location") != "/e/evening/seats" {
		t.Fatalf("going in: %d %s", a.status, a.header.Get("Location"))
	}
	if a := b.form(s, "/e/evening/seats", "/e/evening/hold", url.Values{"count": {"3"}, "section": {"1"}}); a.header.Get("Location") != "/e/evening/checkout" {
		t.Fatalf("holding: %d %s", a.status, a.header.Get("Location"))
	}
	a := b.do("GET", s.base+"/e/evening/checkout", nil).want(200)
	if !strings.Contains(string(a.body), "Balcony, row A") {
		t.Errorf("the checkout: %s", a.body)
	}
	if a := b.form(s, "/e/evening/checkout", "/e/evening/checkout", url.Values{"mail": {"nonsense"}, "name": {"Ann"}}); a.status != 200 || !strings.Contains(string(a.body), "not a mail address") {
		t.Errorf("a wrong address: %d %s", a.status, a.body)
	}
	a = b.form(s, "/e/evening/checkout", "/e/evening/checkout", url.Values{"mail": {"ann@example.org"}, "name": {"Ann"}, "action": {"pay"}})
	order := a.header.Get("Location")
	if a.status != 303 || !strings.HasPrefix(order, "/o/ord_") {
		t.Fatalf("buying: %d %s %s", a.status, order, a.body)
	}
	if a := newBrowser(t).do("GET", s.base+order, nil).want(200); strings.Count(string(a.body), "Balcony") < 3 || !strings.Contains(string(a.body), "data:image/svg") {
		t.Errorf("the tickets: %s", a.body)
	}
	if a := b.do("GET", s.base+"/e/evening/checkout", nil).want(303); a.header.Get("Location") != order {
		t.Errorf("back at the checkout: %s", a.header.Get("Location"))
	}
}

func TestAHoldIsGivenBackByAForm(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve()
	b := newBrowser(t)
	b.form(s, "/e/evening/seats", "/e/evening/hold", url.Values{"count": {"2"}}).want(303)
	b.form(s, "/e/evening/seats", "/e/evening/hold", url.Values{"count": {"2"}, "section": {"2"}}).want(303) // swaps to the floor
	if a := b.do("GET", s.base+"/e/evening/seats", nil).want(200); !strings.Contains(string(a.body), "Floor") {
		t.Errorf("%s", a.body)
	}
	b.form(s, "/e/evening/checkout", "/e/evening/release", nil).want(303)
	a := b.do("GET", s.base+"/e/evening/seats", nil).want(200)
	if !strings.Contains(string(a.body), "The seats went back") {
		t.Errorf("no notice: %s", a.body)
	}
	if a := b.do("GET", s.base+"/e/evening/seats", nil).want(200); strings.Contains(string(a.body), "The seats went back") {
		t.Error("the notice is said twice")
	}
	b.form(s, "/e/evening/seats", "/e/evening/hold", url.Values{"count": {"64"}}).want(303)
	if a := b.do("GET", s.base+"/e/evening/seats", nil).want(200); !strings.Contains(string(a.body), "Not possible.") {
		t.Errorf("a refusal is not told: %s", a.body)
	}
}

// TestOtherSitesCannotActForAVisitor: forms need the page's token, requests must not come from elsewhere, and only
// named origins may read, without cookies.
func TestOtherSitesCannotActForAVisitor(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve(func(c *Config) { c.Origins = []string{"https://shop.test"} })
	b := newBrowser(t)
	b.do("GET", s.base+"/e/evening/seats", nil).want(200)
	post := func(path string, fields url.Values, headers ...string) answer {
		r, _ := http.NewRequest("POST", s.base+path, strings.NewReader(fields.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return b.send(r)
	}
	post("/e/evening/hold", url.Values{"count": {"1"}}).want(403)
	post("/e/evening/hold", url.Values{"count": {"1"}, "csrf": {"AAAA"}}).want(403)
	other := newBrowser(t)
	foreign := other.do("GET", s.base+"/e/evening/seats", nil)
	_, token, _ := strings.Cut(string(foreign.body), `name="csrf" value="`)
	token, _, _ = strings.Cut(token, `"`)
	post("/e/evening/hold", url.Values{"count": {"1"}, "csrf": {token}}).want(403) // somebody else's
	in := holdIn{Seats: []holdfast.SeatIndex{0}}
	b.api(s, "POST", "/api/v1/events/evening/holds", in, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test").want(403)
	b.api(s, "POST", "/api/v1/events/evening/holds", in, "Sec-Fetch-Site", "cross-site", "Origin", "https://shop.test").want(403) // with cookies
	guest := newBrowser(t)
	secret := "Visitor " + strings.Repeat("ab", 32)
	a := guest.api(s, "POST", "/api/v1/events/evening/holds", in, "Sec-Fetch-Site", "cross-site", "Origin", "https://shop.test", "Authorization", secret).want(201)
	if a.header.Get("Access-Control-Allow-Origin") != "https://shop.test" || a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%v", a.header)
	}
	if a := guest.api(s, "GET", "/api/v1/events", nil, "Origin", "https://evil.test").want(200); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", a.header)
	}
	r, _ := http.NewRequest("OPTIONS", s.base+"/api/v1/events", nil)
	r.Header.Set("Origin", "https://shop.test")
	if a := guest.send(r).want(204); !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%v", a.header)
	}
}

func TestVisitorsAreSentBackOnlyWhereTheyMayBe(t *testing.T) {
	s := &Server{cfg: Config{ReturnTo: []string{"https://shop.test"}}}
	for to, ok := range map[string]bool{"": true, "/e/evening": true, "https://shop.test/thanks?x=1": true, "//evil.test": false, "https://evil.test": false,
		"https://shop.test.evil.test/": false, "https://u@shop.test/": false, "javascript:alert(1)": false, "/\\evil.test": false, "evil": false} {
		if _, err := s.returnAddress(to); (err == nil) != ok {
			t.Errorf("%q: %v", to, err)
		}
	}
}

func TestFailuresAreSaidToPeopleAsPages(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve()
	b := newBrowser(t)
	a := b.do("GET", s.base+"/e/nothing", nil).want(404)
	if !strings.Contains(a.header.Get("Content-Type"), "text/html") || a.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%v %s", a.header, a.body)
	}
	b.do("GET", s.base+"/nothing", nil).want(404)
	b.do("GET", s.base+"/o/ord_00000000000000000000000000000000.1?t=AAAA", nil).want(404)
	b.do("GET", s.base+"/readyz", nil).want(200)
	if a := b.do("GET", s.base+"/metrics", nil).want(200); !strings.Contains(string(a.body), `holdfast_frontend_requests_total{route="GET /e/{event}",status="404"} 1`) {
		t.Errorf("%s", a.body)
	}
	s.draining.Store(true)
	b.do("GET", s.base+"/readyz", nil).want(503)
}
