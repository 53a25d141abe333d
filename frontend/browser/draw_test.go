package browser

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/holdfast-db/holdfast/frontend/browser/fixture"
)

func TestTheBrowserVerifiesTheDraw(t *testing.T) {
	onlyFixture(t)
	_, url := shop(t)
	v := visit(t, url, desk)
	v.open("/e/" + *event + "/draw")
	v.do("verify", chromedp.Click(chromedp.CSS("#verify-go")), chromedp.WaitVisible(chromedp.CSS("#verdict")))
	v.shoot("draw-verified")
	checks := v.text("#checks")
	if strings.Contains(checks, "fails") || !strings.Contains(v.text("#verdict"), "is as the record says") {
		t.Errorf("a true record is refused: %s", checks)
	}
	if want := "position follows: " + strconv.FormatUint(fixture.Position(2), 10); !strings.Contains(checks, want) {
		t.Errorf("%q is not among: %s", want, checks)
	}
	v.wellBehaved()
}

func TestTheBrowserRefusesAForgedDraw(t *testing.T) {
	onlyFixture(t)
	_, url := shop(t)
	v := visit(t, url, desk)
	for _, forged := range []string{"secret", "seed", "chain", "headers", "frozen_ms"} {
		v.open("/e/" + *event + "/draw?forge=" + forged)
		v.do("verify", chromedp.Click(chromedp.CSS("#verify-go")), chromedp.WaitVisible(chromedp.CSS("#verdict")))
		if got := v.text("#verdict"); !strings.Contains(got, "does not prove") {
			t.Errorf("a record with another %s is believed: %s", forged, v.text("#checks"))
		}
	}
	v.wellBehaved()
}
