package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestABuyerGetsATicket goes the whole way with a pointer: join, wait, seat map, hold, checkout, ticket.
func TestABuyerGetsATicket(t *testing.T) {
	for _, s := range []screen{phone, desk} {
		t.Run(s.name, func(t *testing.T) {
			v := visit(t, address(t), s)
			v.joinAndWait()
			v.openSection()
			v.shoot("walk-4-section")
			v.do("press a free seat", chromedp.Click(chromedp.CSS(".plan .seat.free")))
			v.until("the seat is held", `!document.querySelector('#held').hidden && document.querySelectorAll('.plan .seat.mine').length === 1`)
			v.until("the countdown runs", `/^\d+:\d\d$/.test(document.querySelector('#held .left').textContent)`)
			v.shoot("walk-5-hold")
			v.wellBehaved()
			v.do("go to the checkout", chromedp.Click(chromedp.CSS(`#held a[href$="/checkout"]`)), chromedp.WaitVisible(chromedp.CSS("#pay")))
			v.shoot("walk-6-checkout")
			v.do("fill in and pay",
				chromedp.SendKeys(chromedp.CSS("#mail"), "ada@example.org"),
				chromedp.SendKeys(chromedp.CSS("#name"), "Ada Lovelace"),
				chromedp.Click(chromedp.CSS(`#pay button.large`)),
				chromedp.WaitVisible(chromedp.CSS(".tickets .ticket")))
			v.shoot("walk-7-ticket")
			v.wellBehaved()
			if where := eval[string](v, `location.pathname`); !strings.HasPrefix(where, "/o/") {
				t.Errorf("the walk ends at %s, not at an order", where)
			}
		})
	}
}

// joinAndWait ends on the seat map.
func (v *visitor) joinAndWait() {
	v.t.Helper()
	v.open("/e/" + *event)
	v.shoot("walk-1-event")
	v.wellBehaved()
	v.do("join the line", chromedp.Click(chromedp.CSS(`form#join button, a.main[href$="/line"], a.main[href$="/seats"]`)))
	v.until("the waiting room, or the seats", `document.querySelector('#room, #seats') !== null`)
	v.shoot("walk-2-wait")
	v.wellBehaved()
	v.until("it is the visitor's turn", `document.querySelector('#seats, a.main[href$="/seats"], #room form[action$="/line"] button.large') !== null`)
	v.shoot("walk-3-turn")
	v.eval("go in, where there is a door", `void document.querySelector('a.main[href$="/seats"], #room form[action$="/line"] button.large')?.click()`)
	v.until("the seat map is ready", `document.body.dataset.ready === 'seats'`)
	v.shoot("walk-3-map")
	v.wellBehaved()
}

// openSection opens the first section that has numbered seats of which one is free.
func (v *visitor) openSection() {
	v.t.Helper()
	for i := range eval[int](v, `document.querySelectorAll('.sections a').length`) {
		v.do("open a section", chromedp.Click(fmt.Sprintf(`.sections li:nth-child(%d) a`, i+1)))
		if eval[bool](v, `document.querySelector('.plan .seat.free') !== null`) {
			return
		}
	}
	v.t.Fatal("no section has a free seat with a number")
}

// TestABuyerNeedsNoPointer goes the whole way with the keyboard alone.
func TestABuyerNeedsNoPointer(t *testing.T) {
	v := visit(t, address(t), desk)
	v.open("/e/" + *event)
	v.do("the first stop is the skip link", chromedp.KeyEvent(kb.Tab))
	if class := eval[string](v, `document.activeElement.className`); class != "skip" {
		t.Errorf("the first stop has class %q, want the skip link", class)
	}
	v.tabTo("what to do next", `document.activeElement.matches('#join button, a.main')`)
	v.do("join", chromedp.KeyEvent(kb.Enter))
	v.until("it is the visitor's turn", `document.querySelector('#seats, a.main[href$="/seats"], #room form[action$="/line"] button.large') !== null`)
	v.tabTo("the way in", `document.activeElement.matches('a.main[href$="/seats"], button.large') || document.querySelector('#seats') !== null`)
	v.do("go in", chromedp.KeyEvent(kb.Enter))
	v.until("the seat map is ready", `document.body.dataset.ready === 'seats'`)
	for {
		v.tabTo("a section", `document.activeElement.matches('.sections a:not([aria-current=true])')`)
		v.do("open it", chromedp.KeyEvent(kb.Enter))
		if eval[bool](v, `document.activeElement.matches('#section h3')`) {
			break
		}
		// It stands, without seats to choose: the focus is on how many are wanted. The list is a way back.
		for !eval[bool](v, `document.activeElement.matches('.sections a[aria-current=true]')`) {
			v.do("go back", chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
		}
		v.do("the next section", chromedp.KeyEvent(kb.Tab))
	}
	v.tabTo("a seat", `document.activeElement.matches('.seat')`)
	from := v.focused()
	v.do("go along the row", chromedp.KeyEvent(kb.ArrowRight))
	if v.focused() == from {
		t.Error("the arrow key to the right does not move")
	}
	v.do("go back, down, up", chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowUp))
	if got := v.focused(); got != from {
		t.Errorf("left, down and up lead to %q, not back to %q", got, from)
	}
	for range 200 {
		if strings.HasSuffix(v.focused(), "free") {
			break
		}
		v.do("look for a free seat", chromedp.KeyEvent(kb.ArrowRight))
	}
	v.shoot("keyboard-seat")
	v.do("hold it", chromedp.KeyEvent(kb.Enter))
	v.until("it is held, and the focus stays on it", `document.activeElement.matches('.seat.mine[aria-pressed=true]') && !document.querySelector('#held').hidden`)
	v.until("it is said", `document.querySelector('#said').textContent.includes('held for you')`)
	v.tabTo("the checkout", `document.activeElement.matches('#held a.main')`)
	v.do("go there", chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS("#pay")))
	v.tabTo("the mail address", `document.activeElement.id === 'mail'`)
	v.do("type", chromedp.KeyEvent("ada@example.org"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("Ada Lovelace"), chromedp.KeyEvent(kb.Enter))
	v.do("the ticket", chromedp.WaitVisible(chromedp.CSS(".tickets .ticket")))
	v.wellBehaved()
}

func (v *visitor) focused() (label string) {
	v.t.Helper()
	return eval[string](v, `document.activeElement.getAttribute('aria-label') || ''`)
}

// tabTo presses Tab until the focus is where it should be.
func (v *visitor) tabTo(what, there string) {
	v.t.Helper()
	for range 60 {
		if eval[bool](v, there) {
			return
		}
		v.do("tab to "+what, chromedp.KeyEvent(kb.Tab))
	}
	v.shoot("stuck-keyboard")
	v.t.Fatalf("no way to %s by the keyboard", what)
}

// TestWithoutJavaScriptABuyerGetsATicket holds by "best available" and pays, with forms alone.
func TestWithoutJavaScriptABuyerGetsATicket(t *testing.T) {
	s := phone
	s.noScripts = true
	v := visit(t, address(t), s)
	v.open("/e/" + *event)
	v.do("join the line", chromedp.Click(chromedp.CSS(`form#join button, a.main[href$="/line"], a.main[href$="/seats"]`)))
	v.do("wait for the turn, and go in", chromedp.Click(chromedp.CSS(`a.main[href$="/seats"], #room form[action$="/line"] button.large`)))
	v.do("the form of best available", chromedp.WaitVisible(chromedp.CSS("#best")))
	v.shoot("no-js-map")
	v.do("ask for two", chromedp.SetAttributeValue(chromedp.CSS(`#best-count option[value="2"]`), "selected", ""), chromedp.Click(chromedp.CSS("#best button")))
	if *holdfast == "" && *base == "" { // the fixture's form does not go on to the checkout
		v.do("the hold", chromedp.WaitVisible(chromedp.CSS("#held .units li")))
		v.shoot("no-js-hold")
		if held := v.text("#held"); !strings.Contains(held, "Total") {
			t.Errorf("the hold says %q, without its total", held)
		}
		return
	}
	v.do("the checkout", chromedp.WaitVisible(chromedp.CSS("#pay")))
	v.shoot("no-js-checkout")
	v.do("say who buys", chromedp.SendKeys(chromedp.CSS("#mail"), "ada@example.org"), chromedp.SendKeys(chromedp.CSS("#name"), "Ada Lovelace"),
		chromedp.Click(chromedp.CSS("#pay button.large")), chromedp.WaitVisible(chromedp.CSS("#pay-again")))
	v.shoot("no-js-pay")
	v.do("pay, at the bank's own address, and come back", chromedp.Click(chromedp.CSS("#pay-again button.large")), chromedp.WaitVisible(chromedp.CSS(".tickets .ticket")))
	v.shoot("no-js-ticket")
	if n := eval[int](v, `document.querySelectorAll('.tickets .ticket').length`); n != 2 {
		t.Errorf("%d tickets, want 2", n)
	}
}
