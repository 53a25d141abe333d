package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestTheBrowserDoesTheWorkOfJoining(t *testing.T) {
	onlyFixture(t)
	s, url := shop(t)
	v := visit(t, url, desk)
	v.open("/e/" + *event)
	v.do("join", chromedp.Click(chromedp.CSS("#join button")))
	v.until("the visitor is in the line", `document.querySelector('#room') !== null && document.querySelector('#join') === null`)
	if s.Worked() != 1 {
		t.Errorf("%d joins brought their work", s.Worked())
	}
	v.wellBehaved()
}

// TestAPauseIsSaidAtOnceAndThePlaceStays pauses admission under a visitor who waits: the page says so without being
// loaded anew, and goes on where it was.
func TestAPauseIsSaidAtOnceAndThePlaceStays(t *testing.T) {
	onlyFixture(t)
	s, url := shop(t)
	v := visit(t, url, phone)
	s.Pause(true)
	v.open("/e/" + *event)
	v.do("join", chromedp.Click(chromedp.CSS("#join button")))
	v.until("the pause is said, with its reason", `document.querySelector('#room .notice')?.textContent.includes('We are counting chairs')`)
	v.eval("keep a mark on the window", `void (window.mark = 1)`)
	s.Pause(false)
	v.until("the pause is over, on the same page", `window.mark === 1 && document.querySelector('#room') && !document.querySelector('#room .notice')`)
	s.Pause(true)
	v.until("the next one is said, on the same page", `window.mark === 1 && document.querySelector('#room .notice') !== null && document.title.startsWith('Waiting room')`)
	v.shoot("room-paused-live")
	s.Pause(false)
	v.until("the turn comes, and is said", `window.mark === 1 && document.querySelector('#room a.main[href$="/seats"]') !== null && document.querySelector('#said').textContent.includes('You are in')`)
	v.wellBehaved()
}
