package browser

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/quotedprintable"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// What people meet beside the straight way, each in a browser against the product itself.

// The files of small events; apply puts name, title and checkout before them.
const (
	pairFile = "line: {}\nrules: {hold_ttl: 5m, cool_down: 1s}\ntiers: [{name: seat, price: \"20.00\"}]\nsections: [{name: Stalls, tier: seat, rows: \"A x 2\"}]\n"
	rowsFile = "line: {}\nrules: {hold_ttl: 5m, cool_down: 1s}\ntiers: [{name: seat, price: \"20.00\"}]\nsections: [{name: Stalls, tier: seat, rows: \"A-D x 10\"}]\n"
	hastFile = "line: {session: 1m, idle: 30s}\nrules: {hold_ttl: 4s, pay_window: 30s, cool_down: 1s}\ntiers: [{name: seat, price: \"20.00\"}]\nsections: [{name: Stalls, tier: seat, rows: \"A-B x 4\"}]\n"
)

// about makes the visitor's walks those of another event.
func (v *visitor) about(name string) {
	before := *event
	*event = name
	v.t.Cleanup(func() { *event = before })
}

// hold takes the first free seat on the map, and ends there.
func (v *visitor) hold() {
	v.t.Helper()
	v.joinAndWait()
	v.openSection()
	v.do("press a free seat", chromedp.Click(chromedp.CSS(".plan .seat.free")))
	v.until("the seat is held", `!document.querySelector('#held').hidden`)
}

// payWith fills in the checkout and pays with a card of the sandbox's.
func (v *visitor) payWith(card, mail string) {
	v.t.Helper()
	v.do("fill in and pay", chromedp.SetValue(chromedp.CSS("#mail"), mail), chromedp.SetValue(chromedp.CSS("#name"), "Ada Lovelace"),
		chromedp.Click(chromedp.CSS(`#pay input[value="`+card+`"]`)), chromedp.Click(chromedp.CSS(`#pay button.large`)))
}

// buy goes to the checkout, pays, and gives the order's number.
func (v *visitor) buy(card, mail string) (order string) {
	v.t.Helper()
	v.open("/e/" + *event + "/checkout")
	v.payWith(card, mail)
	return v.orderShown()
}

func (v *visitor) orderShown() string {
	v.t.Helper()
	v.until("the order", `location.pathname.startsWith('/o/') && /ord_[0-9a-f]{32}/.test(document.querySelector('main').textContent)`)
	return eval[string](v, `document.querySelector('main').textContent.match(/ord_[0-9a-f]{32}/)[0]`)
}

func (v *visitor) untilText(what, selector, part string) {
	v.t.Helper()
	quoted, _ := json.Marshal(part)
	v.until(what, `(document.querySelector('`+selector+`')?.textContent || '').replace(/\s+/g, ' ').includes(`+string(quoted)+`)`)
}

func TestAFrontendThatDiesBetweenHoldAndCheckoutLosesNothing(t *testing.T) {
	s := openReal(t)
	s.sell("rows", rowsFile)
	v := visit(t, s.Addresses[0], desk)
	v.about("rows")
	v.hold()
	back := s.kill("f1")
	v.base = s.Addresses[1] // as a balancer does: cookies do not know ports
	v.open("/e/rows/checkout")
	v.look("real-other-frontend")
	if held := v.text("#checkout"); !strings.Contains(held, "Stalls, row A, seat 1") {
		t.Errorf("the other frontend shows %q", held)
	}
	back()
	v.buy("pm_card_visa", "ada@example.org")
	v.do("the ticket", chromedp.WaitVisible(chromedp.CSS(".tickets .ticket")))
	v.wellBehaved()
}

func TestTheStreamOutlivesItsFrontend(t *testing.T) {
	s := openReal(t)
	s.sell("rows", rowsFile)
	v, other := visit(t, s.Addresses[0], desk), visit(t, s.Addresses[1], phone)
	v.about("rows")
	v.joinAndWait()
	v.openSection()
	v.eval("keep a mark on the window", `void (window.mark = 1)`)
	s.kill("f1")()
	other.hold()
	v.until("the seat that another took after the restart is greyed, on the same page", `window.mark === 1 && document.querySelector('.plan .seat.held')`)
	v.wellBehaved()
}

func TestTwoTabsOfOneBuyerShareTheHold(t *testing.T) {
	s := openReal(t)
	s.sell("rows", rowsFile)
	v := visit(t, s.Addresses[0], desk)
	v.about("rows")
	v.hold()
	second := v.anotherTab()
	second.open("/e/rows/seats?section=0")
	second.until("the second tab shows what the first holds", `document.querySelectorAll('.plan .seat.mine').length === 1 && !document.querySelector('#held').hidden`)
	second.do("one more, in the second", chromedp.Click(chromedp.CSS(".plan .seat.free")))
	second.until("two are held there", `document.querySelectorAll('.plan .seat.mine').length === 2`)
	v.do("a third, in the first, which does not know of the second", chromedp.Click(chromedp.CSS(`.plan .seat.free:last-of-type`)))
	v.until("the first is right as well", `document.querySelectorAll('.plan .seat.mine').length > 0`)
	v.open("/e/rows/checkout")
	second.open("/e/rows/checkout")
	if a, b := v.text("#checkout .units"), second.text("#checkout .units"); a != b {
		t.Errorf("the tabs show two holds: %q and %q", a, b)
	}
	v.buy("pm_card_visa", "ada@example.org")
	second.open("/e/rows/checkout")
	second.until("the second tab comes to the order as well", `location.pathname.startsWith('/o/')`)
	v.wellBehaved()
	second.wellBehaved()
}

func TestTheCardsOfTheBank(t *testing.T) {
	s := openReal(t)
	s.sell("rows", rowsFile)
	t.Run("a declined card is followed by another", func(t *testing.T) {
		v := visit(t, s.Addresses[0], desk)
		v.about("rows")
		v.hold()
		v.open("/e/rows/checkout")
		v.payWith("pm_card_visa_chargeDeclined", "nobody")
		if !eval[bool](v, `document.querySelector('#mail:invalid') !== null`) {
			t.Error("a mail address without @ was sent")
		}
		v.payWith("pm_card_visa_chargeDeclined", "ada@example.org")
		v.untilText("it is declined", "#pay-said", "declined")
		v.look("real-declined")
		v.do("another card", chromedp.Click(chromedp.CSS(`#pay input[value=pm_card_visa]`)), chromedp.Click(chromedp.CSS(`#pay button.large`)),
			chromedp.WaitVisible(chromedp.CSS(".ticket")))
		v.wellBehaved()
	})
	t.Run("the bank's own page leads back to the ticket", func(t *testing.T) {
		v := visit(t, s.Addresses[1], phone)
		v.about("rows")
		v.hold()
		v.open("/e/rows/checkout")
		v.payWith("pm_card_authenticationRequired", "ada@example.org")
		v.until("the bank's page", `location.origin === '`+s.Sandbox+`'`)
		v.do("say yes", chromedp.WaitVisible(chromedp.CSS("button[value=yes]")))
		v.shoot("real-bank") // the sandbox's page, not the shop's
		v.do("say yes", chromedp.Click(chromedp.CSS("button[value=yes]")), chromedp.WaitVisible(chromedp.CSS(".ticket")))
		v.wellBehaved()
	})
	t.Run("who says no at the bank's page may pay otherwise", func(t *testing.T) {
		v := visit(t, s.Addresses[1], desk)
		v.about("rows")
		v.hold()
		v.open("/e/rows/checkout")
		v.payWith("pm_card_authenticationRequired", "ada@example.org")
		v.until("the bank's page", `location.origin === '`+s.Sandbox+`'`)
		v.do("say no", chromedp.Click(chromedp.CSS("button[value=no]")), chromedp.WaitVisible(chromedp.CSS("#pay-again")))
		v.look("real-refused-at-bank")
		v.do("another card", chromedp.Click(chromedp.CSS(`#pay-again input[value=pm_card_visa]`)), chromedp.Click(chromedp.CSS(`#pay-again button.large`)),
			chromedp.WaitVisible(chromedp.CSS(".ticket")))
		v.wellBehaved()
	})
	t.Run("a late card is waited for", func(t *testing.T) {
		v := visit(t, s.Addresses[0], desk)
		v.about("rows")
		v.hold()
		v.open("/e/rows/checkout")
		v.payWith("pm_sandbox_late", "ada@example.org")
		v.until("the order", `location.pathname.startsWith('/o/')`)
		v.do("the ticket", chromedp.WaitVisible(chromedp.CSS(".tickets .ticket")))
		v.wellBehaved()
	})
}

func TestAnOrderSaysWhatBecameOfItsMoney(t *testing.T) {
	dir := t.TempDir()
	s := openReal(t, "--data-dir", dir)
	s.sell("rows", rowsFile)
	v := visit(t, s.Addresses[0], phone)
	v.about("rows")
	v.hold()
	order := v.buy("pm_card_visa", "ada@example.org")
	v.do("the ticket", chromedp.WaitVisible(chromedp.CSS(".ticket img")))
	v.untilText("it is paid", "h1", "Your tickets")
	s.must("order", "refund", "rows", order)
	v.reloadUntil("the refund is said", "h1", "This order was refunded")
	v.look("real-refunded")
	if page := v.text("main"); !strings.Contains(page, "€20.00 goes back to you") {
		t.Errorf("the page says %q", page)
	}
	other := visit(t, s.Addresses[1], desk)
	other.about("rows")
	other.hold()
	other.buy("pm_card_visa", "bob@example.org")
	other.untilText("it is paid", "h1", "Your tickets")
	s.dispute(dir)
	other.reloadUntil("the dispute is said", "h1", "This order is disputed")
	other.look("real-disputed")
}

// dispute lets the sandbox's bank dispute the one payment that is captured and not refunded.
func (s *realShop) dispute(dir string) {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "shop", "key"))
	if err != nil {
		s.t.Fatal(err)
	}
	do := func(method, path, body string, into any) {
		r, err := http.NewRequest(method, s.Sandbox+path, strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		r.SetBasicAuth(strings.TrimSpace(string(key)), "")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			s.t.Fatalf("%s: %s", path, answer.Status)
		}
		if into != nil {
			if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	var books struct {
		Payments []struct {
			Payment            string
			Captured, Refunded int64
		}
	}
	do("GET", "/sandbox/books", "", &books)
	for _, p := range books.Payments {
		if p.Captured > p.Refunded {
			do("POST", "/sandbox/payments/"+p.Payment+"/dispute", "{}", nil)
			return
		}
	}
	s.t.Fatalf("nothing to dispute in %+v", books)
}

// reloadUntil loads the page anew until it says something.
func (v *visitor) reloadUntil(what, selector, part string) {
	v.t.Helper()
	for end := time.Now().Add(*patience); !strings.Contains(v.text(selector), part); {
		if time.Now().After(end) {
			v.t.Fatalf("%s: not within %v: %s", what, *patience, v.text("main"))
		}
		v.do("reload", chromedp.Sleep(500*time.Millisecond), chromedp.Reload(), chromedp.WaitReady(chromedp.CSS("main")))
	}
}

func TestSoldOutLeadsToTheWaitingListAndItsOffer(t *testing.T) {
	s := openReal(t)
	s.sell("pair", pairFile)
	first, second := visit(t, s.Addresses[0], desk), visit(t, s.Addresses[1], phone)
	first.about("pair")
	first.joinAndWait()
	second.open("/e/pair")
	second.do("join, while there is something", chromedp.Click(chromedp.CSS("form#join button")), chromedp.WaitReady(chromedp.CSS("#room")))
	first.do("hold both", chromedp.Click(chromedp.CSS("#best button")), chromedp.WaitVisible(chromedp.CSS("#pay")))
	order := first.buy("pm_card_visa", "ada@example.org")
	second.open("/e/pair")
	second.reloadUntil("sold out is said", "main", "Every seat is sold")
	second.look("real-sold-out")
	second.open("/e/pair/returns")
	second.look("real-returns")
	second.do("join the waiting list", chromedp.Click(chromedp.CSS(`form[action$="/returns"] button.main`)))
	second.untilText("it is said", "main", "You are next")
	second.look("real-returns-joined")
	s.must("order", "refund", "pair", order)
	second.reloadUntil("the offer", "main", "These seats are offered to you")
	second.look("real-offer")
	second.do("take it", chromedp.Click(chromedp.CSS(`.turn a.main`)), chromedp.WaitVisible(chromedp.CSS("#pay")))
	second.payWith("pm_card_visa", "bob@example.org")
	second.do("the tickets", chromedp.WaitVisible(chromedp.CSS(".tickets .ticket")))
	if n := eval[int](second, `document.querySelectorAll('.tickets .ticket').length`); n != 2 {
		t.Errorf("%d tickets, want 2", n)
	}
}

func TestAHoldThatRunsOutIsSaidByItself(t *testing.T) {
	s := openReal(t)
	s.sell("hasty", hastFile)
	v := visit(t, s.Addresses[0], phone)
	v.about("hasty")
	v.hold()
	v.do("go to the checkout", chromedp.Click(chromedp.CSS(`#held a[href$="/checkout"]`)), chromedp.WaitVisible(chromedp.CSS("#pay")))
	v.untilText("the end of the hold, without a hand", "main", "Your hold ran out")
	v.look("real-lapsed")
	v.open("/e/hasty/line")
	v.until("nobody else waits, so the turn comes again, and the visitor is in", `document.querySelector('#room a.main[href$="/seats"]')`)
	v.look("real-in-again")
	v.do("choose again", chromedp.Click(chromedp.CSS(`#room a.main`)))
	v.until("the map is to be used", `document.body.dataset.ready === 'seats' && !('readonly' in document.querySelector('#seats').dataset)`)
	v.wellBehaved()
}

// TestThePublicDrawIsVerifiedInTheBrowserAndByTheOperator joins before a draw, and holds both verifications against it.
func TestThePublicDrawIsVerifiedInTheBrowserAndByTheOperator(t *testing.T) {
	s := openReal(t)
	s.apply("rows", rowsFile)
	s.must("queue", "open", "rows")
	var crowd []*visitor
	for i := range 3 {
		v := visit(t, s.Addresses[i%2], desk)
		v.about("rows")
		v.open("/e/rows")
		v.do("join", chromedp.Click(chromedp.CSS("form#join button")), chromedp.WaitReady(chromedp.CSS("#room")))
		crowd = append(crowd, v)
	}
	s.must("queue", "draw", "rows")
	positions := map[string]bool{}
	for _, v := range crowd {
		v.open("/e/rows/draw")
		v.until("the draw is public", `document.querySelector('#verify[data-drawn]') || void location.reload()`)
		v.until("the scripts are there", `!document.querySelector('.needs-js').hidden`)
		v.do("verify", chromedp.Click(chromedp.CSS("#verify-go")), chromedp.WaitVisible(chromedp.CSS("#verdict")))
		checks := v.text("#checks")
		if strings.Contains(checks, "fails") || !strings.Contains(v.text("#verdict"), "is as the record says") {
			t.Errorf("a true record is refused: %s", checks)
		}
		_, position, _ := strings.Cut(checks, "position follows: ")
		positions[position] = true
		v.wellBehaved()
	}
	crowd[0].look("real-draw")
	for position := range positions { // two may share one: then the number decides
		if position != "1" && position != "2" && position != "3" {
			t.Errorf("of three people one has position %q", position)
		}
	}
	if out := s.must("queue", "verify-draw", "rows"); !strings.Contains(out, "the draw holds") {
		t.Errorf("the operator's verification says %s", out)
	}
	record, err := http.Get(s.Addresses[0] + "/api/v1/events/rows/draw")
	if err != nil {
		t.Fatal(err)
	}
	defer record.Body.Close()
	file := filepath.Join(t.TempDir(), "draw.json")
	to, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.ReadFrom(record.Body); err != nil {
		t.Fatal(err)
	}
	to.Close()
	s.must("queue", "verify-draw", file)
}

// TestTheWaitingRoomSaysWithinTwoSecondsWhatHappens pauses the line and kills the event's leader under somebody who waits.
func TestTheWaitingRoomSaysWithinTwoSecondsWhatHappens(t *testing.T) {
	s := openReal(t)
	s.apply("rows", rowsFile)
	s.must("queue", "open", "rows")
	v := visit(t, s.Addresses[0], phone)
	v.about("rows")
	v.open("/e/rows")
	v.do("join", chromedp.Click(chromedp.CSS("form#join button")), chromedp.WaitReady(chromedp.CSS("#room")))
	within := func(what, holds string, do func()) {
		t.Helper()
		do()
		from := time.Now()
		v.until(what, holds)
		if took := time.Since(from); took > 2*time.Second {
			t.Errorf("%s after %v", what, took)
		} else {
			t.Logf("%s after %v", what, took.Round(time.Millisecond))
		}
	}
	within("the pause is said", `document.querySelector('#room .notice')?.textContent.includes('paused')`, func() { s.must("queue", "pause", "rows") })
	v.look("real-paused")
	within("its end is said", `!document.querySelector('#room .notice')`, func() { s.must("queue", "resume", "rows") })
	leader := s.leader("rows")
	var goOn []func()
	within("that there is no leader is said", `document.querySelector('#room .notice')`, func() {
		// A leader that dies alone is followed by another within a second, and nothing has to be said.
		for _, member := range []string{leader, map[bool]string{true: "n2", false: "n1"}[leader == "n1"]} {
			goOn = append(goOn, s.stall(member))
		}
	})
	v.look("real-leaderless")
	for _, f := range goOn {
		f()
	}
	v.until("and that there is one again", `!document.querySelector('#room .notice')`)
	if !strings.Contains(v.text("h1"), "You are in the line") {
		t.Errorf("the place is gone: %s", v.text("main"))
	}
	v.wellBehaved()
}

// leader names the member that leads an event's shard.
func (s *realShop) leader(event string) string {
	s.t.Helper()
	shown := answer[struct{ Shard int }](s, "event", "show", event)
	status := answer[struct {
		Shards []struct {
			Shard  int
			Leader string
		}
	}](s, "cluster", "status")
	for _, shard := range status.Shards {
		if shard.Shard == shown.Shard {
			return shard.Leader
		}
	}
	s.t.Fatalf("no leader of shard %d in %+v", shown.Shard, status)
	return ""
}

func TestAnOrderIsFoundByMail(t *testing.T) {
	s := openReal(t)
	s.sell("rows", rowsFile)
	v := visit(t, s.Addresses[0], phone)
	v.about("rows")
	v.hold()
	order := v.buy("pm_card_visa", "ada@example.org")
	stranger := visit(t, s.Addresses[1], desk)
	stranger.open("/find")
	stranger.do("ask with what is no address", chromedp.SendKeys(chromedp.CSS("#mail"), "ada"), chromedp.Click(chromedp.CSS("form button.main")))
	stranger.untilText("it is refused", ".wrong", "not a mail address")
	stranger.do("ask", chromedp.SetValue(chromedp.CSS("#mail"), "ada@example.org"), chromedp.Click(chromedp.CSS("form button.main")))
	stranger.untilText("where to look is said", ".notice", "Look into your mail")
	stranger.look("real-find")
	var link string
	s.until("a mail with a link to the order", func() bool {
		for _, m := range s.mails.Mails() {
			text, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(m.Raw)))
			if err == nil && bytes.Contains(text, []byte("You asked for your orders")) {
				link = regexp.MustCompile(`/o/[^\s"<]+`).FindString(string(text))
			}
		}
		return link != ""
	})
	stranger.open(link)
	if found := stranger.orderShown(); found != order {
		t.Errorf("the link leads to %s, not to %s", found, order)
	}
	s.until("the receipt came too", func() bool { return len(s.mails.Mails()) >= 2 })
}
