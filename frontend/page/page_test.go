package page

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
)

func newPages(t testing.TB, c Config) *Pages {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// evil tries to leave text, an attribute and an address at once.
const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`

func TestWhatPeopleTypedIsOnlyText(t *testing.T) {
	p := newPages(t, Config{Theme: Theme{Name: evil, Footer: evil, Links: []Link{{Text: evil, URL: "javascript:alert(1)"}}}})
	frame := Frame{Nonce: "n", CSRF: evil, Notice: &Notice{Text: evil, Link: &Link{Text: evil, URL: "javascript:alert(1)"}}, Back: &Link{Text: evil, URL: "javascript:alert(1)"}}
	head := EventHead{Name: evil, Title: evil, Where: evil}
	hold := Hold{ID: evil, Seats: []Seat{{Section: evil, Row: evil, Number: evil, Tier: evil}}}
	tiers := []Tier{{Name: evil, Price: holdfast.Money{AmountMinor: 1, Currency: evil}}}
	sections := []Section{{Name: evil}}
	join := Join{Open: true, NeedsMail: true, Challenge: Challenge{Kind: "work", Value: evil, Other: &Link{evil, "javascript:alert(1)"}}}
	draw := Draw{Commit: evil, Root: evil, Seed: evil, Beacon: evil}
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"list": func(b *bytes.Buffer) error { return p.List(b, ListView{frame, []ListedEvent{{EventHead: head}}}) },
		"event": func(b *bytes.Buffer) error {
			return p.Event(b, EventView{Frame: frame, Event: head, About: []string{evil}, Tiers: tiers, HasLine: true, Join: join, Draw: &draw, Sale: Sale{State: 2, Reason: evil}})
		},
		"room": func(b *bytes.Buffer) error {
			return p.Room(b, RoomView{Frame: frame, Event: head, State: RoomWaiting, Paused: true, PauseReason: evil, Message: evil, Place: Place{Cause: evil}, Draw: &draw})
		},
		"seats": func(b *bytes.Buffer) error {
			return p.Seats(b, SeatsView{Frame: frame, Event: head, Tiers: tiers, Sections: sections, Hold: &hold, TakesCode: true, Wanted: Wanted{Code: evil}})
		},
		"checkout": func(b *bytes.Buffer) error {
			return p.Checkout(b, CheckoutView{Frame: frame, Event: head, Hold: hold, Mail: evil, Name: evil, Promo: evil, Lines: []Line{{Text: evil, Note: evil}},
				Errors: map[string]string{"mail": evil, "name": evil, "promo": evil}, Pay: Pay{Provider: "sandbox", PublishableKey: evil, SandboxURL: evil, Methods: []SandboxMethod{{evil, evil}}}})
		},
		"order": func(b *bytes.Buffer) error {
			return p.Order(b, OrderView{Frame: frame, Event: head, Mail: evil, Tickets: []Ticket{{Seat: hold.Seats[0], Code: evil, QR: []byte(`<svg onload="alert(1)">`)}, {Why: evil}}})
		},
		"returns": func(b *bytes.Buffer) error {
			return p.Returns(b, ReturnsView{Frame: frame, Event: head, Offer: &hold, Tiers: tiers, Sections: sections})
		},
		"find": func(b *bytes.Buffer) error {
			return p.Find(b, FindView{Frame: frame, Mail: evil, Sent: true, Errors: map[string]string{"mail": evil}})
		},
		"draw": func(b *bytes.Buffer) error {
			return p.Draw(b, DrawView{Frame: frame, Event: head, Draw: draw, RecordURL: "javascript:alert(1)", Own: &OwnPlace{Key: evil, Path: []string{evil}}, Limits: []string{evil}})
		},
		"error": func(b *bytes.Buffer) error {
			return p.Error(b, ErrorView{Frame: frame, Title: evil, Message: evil, Code: evil, Next: &Link{evil, "javascript:alert(1)"}})
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		html := b.String()
		if n := strings.Count(html, "&lt;script&gt;"); n < 2 {
			t.Errorf("%s shows the text %d times, expected it escaped in several places", name, n)
		}
		for _, bad := range []string{"<script>alert", "<img src=x", `="javascript:`, "<svg onload"} {
			if strings.Contains(html, bad) {
				t.Errorf("%s lets %q through", name, bad)
			}
		}
	}
}

func TestNothingIsWrittenWhenAPageFails(t *testing.T) {
	p := newPages(t, Config{})
	p.pages["find"] = p.pages["draw"] // which a FindView cannot fill
	var b bytes.Buffer
	if err := p.Find(&b, FindView{}); err == nil || b.Len() > 0 {
		t.Errorf("error %v, and %d bytes were written", err, b.Len())
	}
}

func TestAThemeIsRefusedByTheFieldAtFault(t *testing.T) {
	for field, theme := range map[string]Theme{
		"theme.fonts":           {Fonts: `Arial; } body { background: url(//evil.example)`},
		"theme.light.accent":    {Light: Palette{Accent: "red"}},
		"theme.dark.text":       {Dark: Palette{Text: "#fff;}"}},
		"theme.light.muted":     {Light: Palette{Muted: "#cccccc"}}, // too faint on white
		"theme.light.on-accent": {Light: Palette{OnText: "#2f4bc0"}},
		"theme.logo_url":        {LogoURL: "javascript:alert(1)"},
		"theme.name":            {Name: strings.Repeat("x", holdfast.NameBytesMax+1)},
	} {
		_, err := New(Config{Theme: theme})
		var failure *holdfast.Error
		if !errors.As(err, &failure) || failure.Kind != holdfast.Invalid || failure.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, logo := range []string{"http://shop.example/logo.png", "//shop.example/logo.png", "https://shop.example/a.png; script-src *", "data:image/png;base64,xx"} {
		if _, err := New(Config{Theme: Theme{LogoURL: logo}}); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("the logo %s: %v", logo, err)
		}
	}
	if _, err := New(Config{Prefix: "static"}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a prefix without slashes: %v", err)
	}
}

func TestAnOrganizersThemeIsInTheStyleSheet(t *testing.T) {
	p := newPages(t, Config{Theme: Theme{Name: "Harbour Hall", LogoURL: "https://hall.example/logo.svg", Light: Palette{Accent: "#7a1f4f"}, Fonts: `"Hall Sans", serif`}})
	css := fetch(t, p, p.assets.urls["style.css"], "").Body.String()
	if !strings.Contains(css, "--accent:#7a1f4f;") || !strings.Contains(css, `--fonts:"Hall Sans", serif;`) {
		t.Errorf("the style sheet begins %.300s", css)
	}
	var b bytes.Buffer
	if err := p.Find(&b, FindView{}); err != nil || !strings.Contains(b.String(), `<img src="https://hall.example/logo.svg" alt=""`) {
		t.Errorf("the logo is missing: %v", err)
	}
	if policy := p.Policy(Needs{Nonce: "n"}); !strings.Contains(policy, "img-src 'self' data: https://hall.example;") {
		t.Errorf("the policy does not let the logo through: %s", policy)
	}
	other := newPages(t, Config{})
	if other.assets.urls["style.css"] == p.assets.urls["style.css"] {
		t.Error("two themes have one address")
	}
}

// TestOurColoursCanBeRead computes WCAG's contrasts for our palettes, and for the colours of the tiers, which stand in
// the style sheet.
func TestOurColoursCanBeRead(t *testing.T) {
	theme := DefaultTheme()
	if err := checkContrast(theme); err != nil {
		t.Error(err)
	}
	css, err := fs.ReadFile(staticFiles, "static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(css[:2000]), "prefers-color-scheme: dark")
	if !found {
		t.Fatal("the style sheet has no colours for dark screens at its head")
	}
	for name, one := range map[string]struct {
		text    string
		palette Palette
	}{"light": {light, theme.Light}, "dark": {dark, theme.Dark}} {
		on := regexp.MustCompile(`--on-tier: (#[0-9a-f]{6});`).FindStringSubmatch(one.text)
		tiers := regexp.MustCompile(`--t\d: (#[0-9a-f]{6});`).FindAllStringSubmatch(one.text, -1)
		if on == nil || len(tiers) != hues {
			t.Fatalf("%s: %d colours of tiers, and %v on them", name, len(tiers), on)
		}
		for i, tier := range tiers {
			if c := contrast(on[1], tier[1]); c < textContrastMin {
				t.Errorf("%s: the letter on tier %d has a contrast of %.2f", name, i, c)
			}
			for _, below := range []string{one.palette.Surface, one.palette.Page} {
				if c := contrast(tier[1], below); c < edgeContrastMin {
					t.Errorf("%s: tier %d has a contrast of %.2f on %s", name, i, c, below)
				}
			}
		}
	}
	if c := contrast("#000000", "#ffffff"); c < 20.99 || c > 21.01 {
		t.Errorf("black on white has a contrast of %.2f, WCAG says 21", c)
	}
	if c := contrast("#777777", "#ffffff"); c < 4.47 || c > 4.49 {
		t.Errorf("#777777 on white has a contrast of %.2f, known as 4.48", c)
	}
}

// scriptBytesMax is the budget of all scripts together, as they are: not made smaller, not packed.
const scriptBytesMax = 30_000

func TestScriptsStayWithinTheirBudget(t *testing.T) {
	total := 0
	files, err := fs.Glob(staticFiles, "static/*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := fs.ReadFile(staticFiles, file)
		if err != nil {
			t.Fatal(err)
		}
		total += len(raw)
	}
	if total >= scriptBytesMax {
		t.Errorf("the scripts have %d bytes, the budget is %d", total, scriptBytesMax)
	}
}

func fetch(t *testing.T, p *Pages, path, encoding string) *httptest.ResponseRecorder {
	t.Helper()
	r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	r.Header.Set("Accept-Encoding", encoding)
	p.Static().ServeHTTP(w, r)
	return w
}

func TestStaticFilesAreKeptForGood(t *testing.T) {
	p := newPages(t, Config{})
	for name, url := range p.assets.urls {
		plain, packed := fetch(t, p, url, ""), fetch(t, p, url, "br, gzip;q=0.8")
		h := packed.Header()
		if plain.Code != 200 || !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", name, plain.Code, h)
		}
		if h.Get("Content-Encoding") != "gzip" || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: no gzip for who takes it: %v", name, h)
		}
		if got := fetch(t, p, url, "gzip;q=0").Header().Get("Content-Encoding"); got != "" {
			t.Errorf("%s: %s for who refuses it", name, got)
		}
		for _, m := range imports.FindAllStringSubmatch(plain.Body.String(), -1) {
			t.Errorf("%s imports ./%s, whose address has a hash", name, m[2])
		}
	}
	if code := fetch(t, p, "/static/style.css", "").Code; code != http.StatusNotFound {
		t.Errorf("a name without a hash: %d", code)
	}
	if code := fetch(t, p, "/static/../page.go", "").Code; code != http.StatusNotFound {
		t.Errorf("a path that climbs: %d", code)
	}
}

// TestEveryModuleFindsWhatItImports follows the imports as a browser would.
func TestEveryModuleFindsWhatItImports(t *testing.T) {
	p := newPages(t, Config{Prefix: "/s/"})
	imported := regexp.MustCompile(`(?:from|import) '\./([^']+)'`)
	found := 0
	for name, url := range p.assets.urls {
		if !strings.HasSuffix(name, ".js") {
			continue
		}
		for _, m := range imported.FindAllStringSubmatch(fetch(t, p, url, "").Body.String(), -1) {
			found++
			if code := fetch(t, p, "/s/"+m[1], "").Code; code != 200 {
				t.Errorf("%s imports %s: %d", name, m[1], code)
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d imports were found", found)
	}
}

func TestThePolicyLetsThroughWhatAPageNeedsOnly(t *testing.T) {
	p := newPages(t, Config{})
	plain := p.Policy(Needs{Nonce: "abc"})
	for _, part := range []string{"default-src 'none'", "script-src 'self' 'nonce-abc';", "style-src 'self';", "base-uri 'none'", "form-action 'self';", "frame-ancestors 'none'", "frame-src 'none'", "connect-src 'self';"} {
		if !strings.Contains(plain+";", part) {
			t.Errorf("%q is not in %s", part, plain)
		}
	}
	if strings.Contains(plain, "unsafe") || strings.Contains(plain, "stripe") {
		t.Errorf("too much is let through: %s", plain)
	}
	if got := p.Policy(Needs{Pay: Pay{Provider: "stripe"}}); !strings.Contains(got, "https://js.stripe.com") || !strings.Contains(got, "connect-src 'self' https://api.stripe.com") {
		t.Errorf("Stripe could not work: %s", got)
	}
	sandbox := p.Policy(Needs{Pay: Pay{Provider: "sandbox", SandboxURL: "http://127.0.0.1:9/x"}, Captcha: []string{"https://c.example"}, Ancestors: []string{"https://shop.example"}})
	for _, part := range []string{"connect-src 'self' https://c.example http://127.0.0.1:9;", "form-action 'self' http://127.0.0.1:9;", "frame-ancestors https://shop.example", "frame-src https://c.example"} {
		if !strings.Contains(sandbox+";", part) {
			t.Errorf("%q is not in %s", part, sandbox)
		}
	}
}

func TestTextsOfNumbers(t *testing.T) {
	m := func(n int64, c holdfast.Currency) string { return money(holdfast.Money{AmountMinor: n, Currency: c}) }
	for got, want := range map[string]string{
		m(1250, "eur"): "€12.50", m(5, "usd"): "$0.05", m(-1780, "eur"): "−€17.80", m(123_456_789, "gbp"): "£1,234,567.89", m(1200, "jpy"): "¥1,200",
		m(1250, "chf"): "CHF\u00a012.50", m(12345, "kwd"): "KWD\u00a012.345", m(0, "eur"): "€0.00",
		count(1_234_567): "1,234,567", count(12): "12", count(-1234): "−1,234",
		clock(252_999): "4:12", clock(3_723_000): "1:02:03", clock(-5): "0:00",
		span(90_000): "1 minute", span(7_500_000): "2 hours 5 minutes", span(3 * 86_400_000): "3 days", span(1000): "1 second",
		wait(0, 0): "unknown", wait(0, 20_000): "about a minute or less", wait(8*60_000, 13*60_000): "8 to 13 minutes", wait(4*60_000, 4*60_000): "about 4 minutes",
		wait(50*60_000, 70*60_000): "50 minutes to 1 hour 10 minutes",
		letter(0):                  "A", letter(25): "Z", letter(26): "A1", plural(1, "seat", "seats"): "1 seat", plural(2000, "seat", "seats"): "2,000 seats",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTheVenueIsDrawnWithinItsFrame(t *testing.T) {
	if layout(nil) != nil || layout(make([]Section, shapesMax+1)) != nil {
		t.Error("a venue without sections, or with too many, is not drawn")
	}
	number := regexp.MustCompile(`\d+\.\d`)
	for _, n := range []int{1, 2, 3, 4, 8, 12, 13, 27, shapesMax} {
		v := layout(make([]Section, n))
		if len(v.Shapes) != n {
			t.Fatalf("%d shapes of %d sections", len(v.Shapes), n)
		}
		for _, s := range v.Shapes {
			if s.X < 0 || s.X > v.Width || s.NoteY > v.Height || s.NameY < v.StageY {
				t.Errorf("%d sections: a name at %d,%d in %d×%d", n, s.X, s.NameY, v.Width, v.Height)
			}
			if strings.Contains(s.Path, "-") || len(number.FindAllString(s.Path, -1)) != 8 {
				t.Errorf("%d sections: the path %s leaves the frame", n, s.Path)
			}
		}
	}
	if got := shorten("Orchestra stalls, left wing", 14); got != "Orchestra sta…" {
		t.Errorf("shortened to %q", got)
	}
}
