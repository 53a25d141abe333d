package frontend

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// issuer is a sign-in provider: everybody who comes is who it says.
type issuer struct {
	*httptest.Server
	key     *rsa.PrivateKey
	subject string
	nonce   string // to give instead of the one that was asked for
	mail    string // of whoever signs in
	checked bool   // whether the provider vouches for it
	codes   map[string]url.Values
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, subject: "ann", codes: map[string]url.Values{}}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": b64.EncodeToString(key.N.Bytes()), "e": b64.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		asked, ok := i.codes[r.FormValue("code")]
		if !ok || r.FormValue("code_verifier") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		nonce := asked.Get("nonce")
		if i.nonce != "" {
			nonce = i.nonce
		}
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": i.URL, "aud": asked.Get("client_id"), "sub": i.subject, "nonce": nonce, "email": i.mail, "email_verified": i.checked,
			"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix()})
		token.Header["kid"] = "1"
		text, _ := token.SignedString(key)
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": text})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// signIn leads a browser through the provider, and gives where the shop sends it.
func (i *issuer) signIn(b *browser, from, back *site) answer {
	a := b.do("GET", from.base+"/signin/oidc?to=/e/evening/line", nil).want(303)
	to, _ := url.Parse(a.header.Get("Location"))
	i.codes["c1"] = to.Query()
	return b.do("GET", back.base+"/signin/oidc/callback?"+url.Values{"code": {"c1"}, "state": {to.Query().Get("state")}}.Encode(), nil)
}

// TestAnAccountIsOnePlaceWhereverOneSignsIn: begun at one frontend, finished at the other, from two devices.
func TestAnAccountIsOnePlaceWhereverOneSignsIn(t *testing.T) {
	provider := newIssuer(t)
	spec := lined("evening")
	spec.Line.Who = command.ByAccount
	g := newGround(t, spec)
	set := func(c *Config) {
		c.PublicURL = "http://shop.test"
		c.OIDC = &OIDCConfig{Issuer: provider.URL, ClientID: "tickets", ClientSecret: "s3"}
	}
	one, two := g.serve(set), g.serve(set)
	b := newBrowser(t)
	b.api(one, "POST", "/api/v1/events/evening/line", map[string]any{}).want(401)
	if a := b.do("GET", one.base+"/e/evening/line", nil).want(200); !strings.Contains(string(a.body), "/signin/oidc") {
		t.Errorf("the room does not say how to sign in: %s", a.body)
	}
	a := b.do("GET", one.base+"/signin/oidc?to=/e/evening/line", nil).want(303)
	to, _ := url.Parse(a.header.Get("Location"))
	if to.Query().Get("code_challenge_method") != "S256" || to.Query().Get("nonce") == "" {
		t.Errorf("asked for %s", to)
	}
	provider.codes["c1"] = to.Query()
	b.move(one, two)
	callback := "/signin/oidc/callback?" + url.Values{"code": {"c1"}, "state": {to.Query().Get("state")}}.Encode()
	if a := b.do("GET", two.base+callback, nil); a.status != 303 || a.header.Get("Location") != "/e/evening/line" {
		t.Fatalf("back from signing in: %d %s", a.status, a.body)
	}
	p := b.join(two)
	other := newBrowser(t)
	provider.signIn(other, two, two).want(303)
	if q := other.join(two); q.Number != p.Number {
		t.Errorf("the same account has places %d and %d", p.Number, q.Number)
	}
	provider.subject = "bob"
	bob := newBrowser(t)
	provider.signIn(bob, two, two).want(303)
	if q := bob.join(two); q.Number == p.Number {
		t.Error("another account has the same place")
	}
}

// TestAnAccountThatHasLostItsCookiesComesBack: by the mail to the address that the provider vouches for, to the same place,
// at another frontend and after the draw. Who is inside needs no more than to sign in.
func TestAnAccountThatHasLostItsCookiesComesBack(t *testing.T) {
	provider := newIssuer(t)
	spec := lined("evening")
	spec.Line.Who = command.ByAccount
	g := newGround(t, spec)
	box := &mailbox{}
	set := func(c *Config) {
		c.PublicURL, c.Mail = "http://shop.test", box
		c.OIDC = &OIDCConfig{Issuer: provider.URL, ClientID: "tickets", ClientSecret: "s3"}
	}
	one, two := g.serve(set), g.serve(set)
	signedIn := func(subject, mail string, s *site) *browser {
		b := newBrowser(t)
		provider.subject, provider.mail = subject, mail
		provider.signIn(b, s, s).want(303)
		return b
	}
	signedIn("mallory", "victim@example.org", one).join(one) // says so, and nobody vouches for it
	provider.checked = true
	ann := signedIn("ann", "ann@example.org", one)
	p := ann.join(one)
	until(t, "the way back is mailed", func() bool { return len(box.all()) == 1 })
	g.draw()
	two.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	// A way back in somebody else's cookies is not sent to them.
	carol := signedIn("carol", "carol@example.org", two)
	u, _ := url.Parse(two.base)
	carol.http.Jar.SetCookies(u, []*http.Cookie{{Name: cookieMail, Value: two.sealAddress(two.newAccount(command.ByAccount, "another"), "ann@example.org")}})
	carol.join(two)
	_, way, _ := strings.Cut(box.all()[0], "http://shop.test")
	way, _, _ = strings.Cut(way, "\n")
	phone := newBrowser(t)
	phone.do("GET", two.base+way, nil).want(303)
	if q := phone.poll(two); q.Number != p.Number {
		t.Errorf("by mail: %+v, was %d", q, p.Number)
	}
	g.cluster.Admit(g.event, 3)
	until(t, "ann is let in", func() bool { return ann.poll(one).State == "admitted" })
	issued := func() uint32 {
		line, err := g.client.Line(t.Context(), g.event)
		if err != nil {
			t.Fatal(err)
		}
		return line.Issued
	}
	before := issued()
	tablet := signedIn("ann", "ann@example.org", two)
	if q := tablet.join(two); q.State != "admitted" && q.Room != "admitted" || q.Number != p.Number || issued() != before {
		t.Errorf("inside, from another device: %+v, and %d places were given", q, issued()-before)
	}
	tablet.api(two, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(201)
	if q := signedIn("ann", "ann@example.org", one).join(one); q.Number != p.Number {
		t.Errorf("with a hold: %+v", q)
	}
	if n := len(box.all()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestAPlaceThatWasGivenUpIsNotGivenAgain: a browser that comes again has another place, which is called; somebody who is
// known by an account is told at once that there is none.
func TestAPlaceThatWasGivenUpIsNotGivenAgain(t *testing.T) {
	for _, leave := range []func(b *browser, s *site){
		func(b *browser, s *site) { b.api(s, "DELETE", "/api/v1/events/evening/line/place", nil).want(204) },
		func(b *browser, s *site) { b.form(s, "/e/evening/line", "/e/evening/line/leave", nil).want(303) },
	} {
		g := newGround(t, lined("evening"))
		s := g.serve()
		b := newBrowser(t)
		for n := range uint32(3) {
			if p := b.join(s); p.Number != n {
				t.Errorf("place %d, after %d were given up", p.Number, n)
			}
			if n < 2 {
				leave(b, s)
			}
		}
		g.draw()
		s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
		g.cluster.Admit(g.event, 3)
		until(t, "the last place is let in", func() bool { p := b.poll(s); return p.State == "admitted" && p.Number == 2 })
		b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(201)
	}

	spec := lined("evening")
	spec.Line.Who = command.ByLink
	g := newGround(t, spec)
	s := g.serve(func(c *Config) { c.PublicURL, c.Mail = "http://shop.test", &mailbox{} })
	b := newBrowser(t)
	link, _ := url.Parse(s.mailLink("ann@example.org", "/e/evening/line"))
	b.do("GET", s.base+link.RequestURI(), nil).want(303)
	b.join(s)
	b.api(s, "DELETE", "/api/v1/events/evening/line/place", nil).want(204)
	if a := b.api(s, "POST", "/api/v1/events/evening/line", map[string]any{}).want(409); a.code() != "place_left" {
		t.Errorf("%s", a.body)
	}
}

func TestASignInThatWasTamperedWithProvesNothing(t *testing.T) {
	provider := newIssuer(t)
	g := newGround(t, hall("evening"))
	s := g.serve(func(c *Config) {
		c.PublicURL, c.OIDC = "http://shop.test", &OIDCConfig{Issuer: provider.URL, ClientID: "tickets", ClientSecret: "s3"}
	})
	b := newBrowser(t)
	b.do("GET", s.base+"/signin/oidc/callback?code=c1&state=x", nil).want(403) // it was never begun
	a := b.do("GET", s.base+"/signin/oidc", nil).want(303)
	to, _ := url.Parse(a.header.Get("Location"))
	provider.codes["c1"] = to.Query()
	b.do("GET", s.base+"/signin/oidc/callback?code=c1&state=other", nil).want(403)
	provider.nonce = "somebody else's"
	provider.signIn(newBrowser(t), s, s).want(403)
	provider.nonce = ""
	late := newBrowser(t)
	a = late.do("GET", s.base+"/signin/oidc", nil).want(303)
	to, _ = url.Parse(a.header.Get("Location"))
	provider.codes["c1"] = to.Query()
	g.clock.advance(signInLife + time.Second)
	late.do("GET", s.base+"/signin/oidc/callback?code=c1&state="+to.Query().Get("state"), nil).want(403)
	newBrowser(t).do("GET", s.base+"/signin/oidc?to=https://evil.test/", nil).want(400)
}

// TestAShopVouchesWithItsOwnKeyAndAlgorithm: pinned, for this event, for minutes.
func TestAShopVouchesWithItsOwnKeyAndAlgorithm(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	shared := []byte(strings.Repeat("k", 32))
	spec := lined("evening")
	spec.Line.Who = command.ByAssertion
	g := newGround(t, spec)
	s := g.serve(func(c *Config) {
		c.Shops = []ShopConfig{{Issuer: "https://shop.test", Ed25519: public}, {Issuer: "https://other.test", HMAC: shared}}
	})
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"iss": "https://shop.test", "sub": "ann", "aud": "evening", "exp": g.clock.now().Add(time.Minute).Unix()}
		change(c)
		return c
	}
	sign := func(m jwt.SigningMethod, key any, c jwt.MapClaims) string {
		text, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(jwt.MapClaims) {}
	path := "/api/v1/events/evening/line"
	p := newBrowser(t).api(s, "POST", path, joinIn{Assertion: sign(jwt.SigningMethodEdDSA, private, claims(same))}).place()
	if q := newBrowser(t).api(s, "POST", path, joinIn{Assertion: sign(jwt.SigningMethodEdDSA, private, claims(same))}).place(); q.Number != p.Number {
		t.Errorf("one account has places %d and %d", p.Number, q.Number)
	}
	newBrowser(t).api(s, "POST", path, joinIn{Assertion: sign(jwt.SigningMethodHS256, shared, claims(func(c jwt.MapClaims) { c["iss"] = "https://other.test" }))}).want(200)
	for what, bad := range map[string]string{
		"another event":           sign(jwt.SigningMethodEdDSA, private, claims(func(c jwt.MapClaims) { c["aud"] = "matinee" })),
		"run out":                 sign(jwt.SigningMethodEdDSA, private, claims(func(c jwt.MapClaims) { c["exp"] = g.clock.now().Add(-time.Minute).Unix() })),
		"good for hours":          sign(jwt.SigningMethodEdDSA, private, claims(func(c jwt.MapClaims) { c["exp"] = g.clock.now().Add(time.Hour).Unix() })),
		"without an end":          sign(jwt.SigningMethodEdDSA, private, claims(func(c jwt.MapClaims) { delete(c, "exp") })),
		"about nobody":            sign(jwt.SigningMethodEdDSA, private, claims(func(c jwt.MapClaims) { delete(c, "sub") })),
		"of an unknown shop":      sign(jwt.SigningMethodEdDSA, private, claims(func(c jwt.MapClaims) { c["iss"] = "https://evil.test" })),
		"by the public key":       sign(jwt.SigningMethodHS256, []byte(public), claims(same)),
		"by another shop's key":   sign(jwt.SigningMethodHS256, shared, claims(same)),
		"with no algorithm":       sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(same)),
		"with another HMAC":       sign(jwt.SigningMethodHS512, shared, claims(func(c jwt.MapClaims) { c["iss"] = "https://other.test" })),
		"not an assertion at all": "x.y.z",
	} {
		if a := newBrowser(t).api(s, "POST", path, joinIn{Assertion: bad}).want(401); a.code() != "assertion_invalid" {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	b := newBrowser(t)
	link := "/signin/assertion?" + url.Values{"event": {"evening"}, "to": {"/e/evening/line"}, "assertion": {sign(jwt.SigningMethodEdDSA, private, claims(same))}}.Encode()
	b.do("GET", s.base+link, nil).want(303)
	if q := b.join(s); q.Number != p.Number {
		t.Errorf("sent by the shop: place %d, had %d", q.Number, p.Number)
	}
}

func TestSettingsAreReadStrictly(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := write("hmac", strings.Repeat("k", 40))
	var c Config
	err := c.ReadSettings(write("good", `
oidc: {issuer: https://accounts.example.org, client_id: tickets, client_secret_file: `+secret+`}
shops: [{issuer: https://shop.example.org, hmac_file: `+secret+`}]
captcha: {verify_url: https://c.example.org, secret_file: `+secret+`, site_key: k, class: h-captcha}
codes: {evening: {SESAME: friends}}
beacons: [{key: `+strings.Repeat("0a", 32)+`, url: https://beacon.example.org/chain}]
theme: {name: Town Hall, light: {accent: "#2f4bc0"}}
limits: {connections: 7, frontends: 2}
`))
	if err != nil || c.OIDC.ClientSecret == "" || len(c.Shops) != 1 || c.Captcha.Class != "h-captcha" || c.Codes["evening"]["SESAME"] != "friends" ||
		c.Theme.Light.Accent != "#2f4bc0" || len(c.Beacons) != 1 || c.Limits.ConnsMax != 7 || c.Limits.Frontends != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	for what, text := range map[string]string{"a misspelt field": "limit: {}", "a beacon of nobody": "beacons: [{url: https://beacon.example.org}]",
		"a beacon from nowhere": "beacons: [{key: " + strings.Repeat("0a", 32) + "}]", "a colour that is none": `theme: {light: {shade: "#000000"}}`,
		"a shop without a key": "shops: [{issuer: https://shop.example.org}]", "a secret that is not there": "captcha: {verify_url: https://c.example.org, secret_file: /nowhere}"} {
		if err := new(Config).ReadSettings(write("bad", text)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
