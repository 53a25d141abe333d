package frontend

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func (s *Server) pageRoutes() []route {
	return []route{
		{"GET /{$}", viewer, s.listPage},
		{"GET /e/{event}", viewer, s.eventPage},
		{"GET /e/{event}/line", waiter, s.roomPage},
		{"POST /e/{event}/line", waiter, s.joinForm},
		{"POST /e/{event}/line/leave", waiter, s.leaveForm},
		{"GET /e/{event}/seats", viewer, s.seatsPage},
		{"POST /e/{event}/hold", holder, s.holdForm},
		{"POST /e/{event}/release", holder, s.releaseForm},
		{"GET /e/{event}/checkout", holder, s.checkoutPage},
		{"POST /e/{event}/checkout", holder, s.checkoutForm},
		{"GET /e/{event}/returns", waiter, s.returnsPage},
		{"POST /e/{event}/returns", waiter, s.returnsForm},
		{"GET /e/{event}/draw", viewer, s.drawPage},
		{"GET /e/{event}/delay", waiter, s.delayPage},
		{"GET /o/{order}", holder, s.orderPage},
		{"GET /o/{order}/pay", holder, s.payAgainPage},
		{"POST /o/{order}/pay", holder, s.payAgainForm},
		{"GET /find", viewer, s.findPage},
		{"POST /find", viewer, s.findForm},
		{"GET /signin/oidc", waiter, s.signIn.begin},
		{"GET /signin/oidc/callback", waiter, s.signIn.callback},
		{"GET /signin/assertion", waiter, s.signIn.enterByAssertion},
		{"GET /signin/link", waiter, s.signIn.openLink},
		{"POST /signin/link", waiter, s.signIn.sendLink},
	}
}

// guest is one request for a page: who asks, the event's room, and what the frame needs.
type guest struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	visitor visitor
	room    *room
	view    view
	frame   page.Frame
	needs   page.Needs
}

// guest begins a page. Every browser that sees one has a secret afterwards, so that its forms can be told from others'.
func (s *Server) guest(w http.ResponseWriter, r *http.Request) *guest {
	g := &guest{s: s, w: w, r: r, visitor: s.visitor(r)}
	s.greet(w, &g.visitor)
	n := nonce()
	g.frame = page.Frame{Nonce: n, CSRF: s.csrf(&g.visitor), Notice: s.takeNotice(w, r)}
	if back, err := s.returnAddress(r.FormValue("back")); err == nil && strings.HasPrefix(back, "http") {
		g.frame.Back = &page.Link{Text: "Back to the shop", URL: back}
	}
	g.needs = page.Needs{Nonce: n, Ancestors: s.cfg.Origins}
	return g
}

// eventGuest begins the page of an event.
func (s *Server) eventGuest(w http.ResponseWriter, r *http.Request) (*guest, bool) {
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return nil, false
	}
	g := s.guest(w, r)
	g.room, g.view = c, c.board.look(s.now())
	return g, true
}

// form begins a form of an event, checked.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (*guest, bool) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return nil, false
	}
	if err := s.checkCSRF(&g.visitor, r.PostFormValue("csrf")); err != nil {
		s.fail(w, r, err)
		return nil, false
	}
	return g, true
}

// show writes a page.
func (g *guest) show(status int, write func(io.Writer) error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		g.s.log.Error("a page cannot be written", "route", g.r.Pattern, "err", err)
		http.Error(g.w, "This page cannot be shown. Nothing was changed.", http.StatusInternalServerError)
		return
	}
	g.w.Header().Set("Content-Security-Policy", g.s.pages.Policy(g.needs))
	g.s.bytes(g.w, status, "text/html; charset=utf-8", b.Bytes())
}

// see sends the browser to another page of the event, after a form.
func (g *guest) see(path string) {
	http.Redirect(g.w, g.r, "/e/"+url.PathEscape(g.room.ref.Name)+path, http.StatusSeeOther)
}

// refuse sends the browser to another page of the event, which says why the form did not do what it was for.
func (g *guest) refuse(err error, path string) {
	status, body := verdict(err, g.room.ref.ID)
	g.s.refused(body.Code)
	kind := page.NoticeRefusal
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		kind = page.NoticeFailure
	}
	g.s.setNotice(g.w, kind, capital(body.Message)+".")
	g.see(path)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// A notice says on the next page what came of a form. It travels in a cookie for a minute, with a MAC: what it says is
// this site's word.
const (
	cookieNotice = "hf_notice"
	noticeLife   = time.Minute
)

func (s *Server) setNotice(w http.ResponseWriter, kind page.NoticeKind, text string) {
	b := append([]byte{byte(kind)}, text[:min(len(text), 512)]...)
	s.setCookie(w, cookieNotice, b64.EncodeToString(mac(b, s.cookieKey, []byte("notice"), b)), noticeLife)
}

func (s *Server) takeNotice(w http.ResponseWriter, r *http.Request) *page.Notice {
	c, err := r.Cookie(cookieNotice)
	if err != nil || r.Method != http.MethodGet {
		return nil
	}
	s.dropCookie(w, cookieNotice)
	raw, err := b64.DecodeString(c.Value)
	if err != nil || len(raw) < 1+macBytes {
		return nil
	}
	b := raw[:len(raw)-macBytes]
	if string(mac(append([]byte(nil), b...), s.cookieKey, []byte("notice"), b)) != string(raw) {
		return nil
	}
	return &page.Notice{Kind: page.NoticeKind(b[0]), Text: string(b[1:])}
}

// errorPage says a failure to people.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, body errorBody) {
	g := s.guest(w, r)
	titles := map[int]string{http.StatusNotFound: "This page does not exist", http.StatusTooManyRequests: "One moment, please",
		http.StatusServiceUnavailable: "One moment, please", http.StatusForbidden: "This is not possible", http.StatusUnauthorized: "Who are you?"}
	title := titles[status]
	if title == "" {
		title = "Something went wrong"
	}
	v := page.ErrorView{Frame: g.frame, Status: status, Title: title, Message: capital(body.Message) + ".", Code: body.Code, RetryAfterMs: body.RetryAfterMs}
	if event := r.PathValue("event"); event != "" {
		v.Next = &page.Link{Text: "To the event", URL: "/e/" + url.PathEscape(event)}
	}
	if r.Method == http.MethodGet && body.RetryAfterMs > 0 {
		v.Refresh = int((body.RetryAfterMs + 999) / 1000)
	}
	g.show(status, func(w io.Writer) error { return s.pages.Error(w, v) })
}

// The parts that several pages have.

func (g *guest) head() page.EventHead {
	spec := &g.view.event.Spec
	title := spec.Title
	if title == "" {
		title = spec.Name
	}
	return page.EventHead{Name: spec.Name, Title: title}
}

func (v *view) sum(now time.Time) page.Sale {
	n := page.Sale{State: v.sale, Leaderless: v.leaderless, OpensMs: v.event.Spec.Line.SaleMs, Free: v.stock.free, Held: v.stock.held, Paying: v.stock.paying,
		Total: v.event.Spec.Units()}
	if n.OpensMs > 0 && v.sale == holdfast.SaleDraft {
		n.OpensInMs = max(0, n.OpensMs-now.UnixMilli())
	}
	return n
}

func (g *guest) money(minor int64) holdfast.Money {
	return holdfast.Money{AmountMinor: minor, Currency: g.view.event.Spec.Currency}
}

func (g *guest) tiers() []page.Tier {
	spec := &g.view.event.Spec
	tiers := make([]page.Tier, len(spec.Tiers))
	for i, t := range spec.Tiers {
		n := g.view.tiers[i]
		tiers[i] = page.Tier{Index: holdfast.TierIndex(i), Name: t.Name, Price: g.money(t.PriceMinor), Free: n.Free, Total: n.Free + n.Held + n.Paying + n.Sold + n.Blocked}
	}
	return tiers
}

func (g *guest) sections() []page.Section {
	spec := &g.view.event.Spec
	sections := make([]page.Section, len(spec.Sections))
	for i := range spec.Sections {
		sec, n := &spec.Sections[i], g.view.sections[i]
		low, high := spec.Tiers[sec.Tier].PriceMinor, spec.Tiers[sec.Tier].PriceMinor
		for _, row := range sec.Rows {
			price := spec.Tiers[rowTier(sec.Tier, row.Tier)].PriceMinor
			low, high = min(low, price), max(high, price)
		}
		sections[i] = page.Section{Index: holdfast.SectionIndex(i), Name: sec.Name, General: sec.General(), From: g.money(low), To: g.money(high), Tier: sec.Tier,
			Free: n.Free, Total: n.Free + n.Held + n.Paying + n.Sold + n.Blocked}
	}
	return sections
}

func (g *guest) seats(units []holdfast.SeatIndex) []page.Seat {
	seats := make([]page.Seat, 0, len(units))
	for _, unit := range units {
		o := seatOutOf(g.view, unit)
		seats = append(seats, page.Seat{Index: unit, Section: o.Section, Row: o.Row, Number: o.Number, Tier: o.Tier, Price: g.money(o.PriceMinor)})
	}
	return seats
}

func (g *guest) pageHold(h client.Hold) *page.Hold {
	return &page.Hold{ID: holdName(g.room.ref.ID, h.ID), State: h.State, Seats: g.seats(h.Seats), Total: h.Amount, RemainingMs: promised(h).Milliseconds()}
}

// join is the form by which the visitor enters the line.
func (g *guest) join() page.Join {
	rules, now := &g.view.event.Spec.Line, g.s.now()
	j := page.Join{OpensMs: rules.OpensMs}
	if l := g.view.line; l != nil {
		j.Open = l.state != holdfast.LineClosed && l.state != holdfast.LineOver
	}
	if !j.Open && rules.OpensMs > 0 {
		j.OpensInMs = max(0, rules.OpensMs-now.UnixMilli())
	}
	here := "/e/" + url.PathEscape(g.room.ref.Name) + "/line"
	switch rules.Who {
	case command.ByLink:
		j.NeedsMail = g.visitor.account.kind != command.ByLink
	case command.ByAccount:
		j.NeedsAccount, j.SignIn = g.visitor.account.kind != command.ByAccount, "/signin/oidc?to="+url.QueryEscape(here)
	case command.ByAssertion:
		j.NeedsAccount = g.visitor.account.kind != command.ByAssertion
	}
	key, err := g.s.placeKey(&g.visitor, g.room.ref.ID, rules.Who)
	if err != nil {
		return j
	}
	c := g.s.challenge(g.room, key)
	switch rules.Challenge {
	case command.ChallengeWork:
		j.Challenge = page.Challenge{Kind: "work", Value: c.Value, Bits: c.Bits,
			Other: &page.Link{Text: "wait " + strconv.FormatInt(c.DelayMs/1000, 10) + " seconds instead", URL: "/e/" + url.PathEscape(g.room.ref.Name) + "/delay"}}
	case command.ChallengeCaptcha:
		j.Challenge = page.Challenge{Kind: "captcha", Script: c.Script, SiteKey: c.SiteKey}
		if g.s.cfg.Captcha != nil {
			j.Challenge.Class = g.s.cfg.Captcha.Class
		}
		if u, err := url.Parse(c.Script); err == nil && u.Host != "" {
			g.needs.Captcha = []string{u.Scheme + "://" + u.Host}
		}
	}
	return j
}
