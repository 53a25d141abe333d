package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/holdfast-db/holdfast/frontend/browser/fixture"
)

func onTheMap(t *testing.T, section int) (*visitor, *fixture.Shop) {
	t.Helper()
	onlyFixture(t)
	s, url := shop(t)
	v := visit(t, url, desk)
	v.joinAndWait()
	v.do("open the section", chromedp.Click(chromedp.CSS(fmt.Sprintf(`.sections a[data-section="%d"]`, section))), chromedp.WaitVisible(chromedp.CSS(".plan")))
	return v, s
}

func seatOf(u int) string { return fmt.Sprintf(`.seat[data-u="%d"]`, u) }

func TestASeatGreysWhenSomebodyTakesIt(t *testing.T) {
	v, s := onTheMap(t, 1)
	u := s.FreeSeat(1, 0)
	v.until("it is free", fmt.Sprintf(`document.querySelector('%s').matches('.free')`, seatOf(u)))
	s.Take(false, u)
	v.until("it is greyed, and says so", fmt.Sprintf(`document.querySelector('%s').matches('.held[aria-disabled=true][aria-label*="in other hands"]')`, seatOf(u)))
	v.wellBehaved()
}

func TestWhoLosesARaceIsToldTheNearest(t *testing.T) {
	v, s := onTheMap(t, 1)
	u := s.FreeSeat(1, 3)
	s.Take(true, u)
	v.do("press a seat that was just taken", chromedp.Click(chromedp.CSS(seatOf(u))), chromedp.WaitVisible(chromedp.CSS("#lost")))
	v.shoot("map-lost")
	if said := v.text("#lost"); !strings.Contains(said, "just taken") || !strings.Contains(said, "Nearest free: Stalls centre, row") {
		t.Errorf("the page says %q", said)
	}
	v.do("take the nearest", chromedp.Click(chromedp.CSS("#lost button")))
	v.until("it is held, and the complaint is gone", `document.querySelectorAll('.plan .seat.mine').length === 1 && document.querySelector('#lost').hidden`)
	v.wellBehaved()
}

func TestAHoldGrowsShrinksAndSurvivesAReload(t *testing.T) {
	v, s := onTheMap(t, 1)
	a, b := s.FreeSeat(1, 0), s.FreeSeat(1, 0)+1
	held := func(n int) string {
		return fmt.Sprintf(`document.querySelectorAll('.plan .seat.mine').length === %d && document.querySelectorAll('#held-units li').length === %d`, n, n)
	}
	v.do("hold one", chromedp.Click(chromedp.CSS(seatOf(a))))
	v.until("one is held", held(1))
	v.do("hold its neighbour", chromedp.Click(chromedp.CSS(seatOf(b))))
	v.until("two are held", held(2))
	if total := v.text("#held-total"); total != "€178.00" {
		t.Errorf("two seats for €89 cost %s", total)
	}
	v.open("/e/" + *event + "/seats?section=1")
	v.until("both are held after a reload", held(2))
	v.do("give one back", chromedp.Click(chromedp.CSS(seatOf(a))))
	v.until("one is held", held(1))
	v.do("give the last back", chromedp.Click(chromedp.CSS(seatOf(b))))
	v.until("nothing is held", `document.querySelector('#held').hidden && document.querySelectorAll('.plan .seat.mine').length === 0`)
	v.wellBehaved()
}

func TestADeclinedCardCanBeFollowedByAnother(t *testing.T) {
	v, s := onTheMap(t, 1)
	v.do("hold", chromedp.Click(chromedp.CSS(seatOf(s.FreeSeat(1, 0)))))
	v.until("held", `document.querySelectorAll('.plan .seat.mine').length === 1`)
	v.open("/e/" + *event + "/checkout")
	v.do("pay with a card that is declined", chromedp.SendKeys(chromedp.CSS("#mail"), "nobody"), chromedp.SendKeys(chromedp.CSS("#name"), "Ada"),
		chromedp.Click(chromedp.CSS(`#pay input[value=pm_card_declined]`)), chromedp.Click(chromedp.CSS(`#pay button.large`)))
	if !eval[bool](v, `document.querySelector('#mail:invalid') !== null`) {
		t.Error("a mail address without @ was sent")
	}
	v.do("mend the address", chromedp.SendKeys(chromedp.CSS("#mail"), "@example.org"), chromedp.Click(chromedp.CSS(`#pay button.large`)),
		chromedp.WaitVisible(chromedp.CSS("#pay-said")))
	v.shoot("checkout-declined")
	if said := v.text("#pay-said"); !strings.Contains(said, "declined") {
		t.Errorf("the page says %q", said)
	}
	v.do("pay with another", chromedp.Click(chromedp.CSS(`#pay input[value=pm_card_visa]`)), chromedp.Click(chromedp.CSS(`#pay button.large`)),
		chromedp.WaitVisible(chromedp.CSS(".ticket")))
	v.wellBehaved()
}
