package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-db/holdfast/frontend/browser/fixture"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

func TestTheBrowserVerifiesTheDraw(t *testing.T) {
	onlyFixture(t)
	_, base := shop(t)
	for _, s := range []screen{phone, desk} {
		v := visit(t, base, s)
		v.open("/e/" + *event + "/draw")
		v.do("verify", chromedp.Click(chromedp.CSS("#verify-go")), chromedp.WaitVisible(chromedp.CSS("#verdict")))
		v.shoot("draw-verified")
		checks := v.text("#checks")
		if strings.Contains(checks, "fails") || !strings.Contains(v.text("#verdict"), "is as the record says") {
			t.Errorf("a true record is refused: %s", checks)
		}
		if want := fmt.Sprintf("position follows: %d", fixture.Position()+1); !strings.HasSuffix(checks, want) {
			t.Errorf("%q is not at the end of: %s", want, checks)
		}
		v.wellBehaved()
	}
}

// TestTheBrowserRefusesWhatTheShardsArithmeticRefuses forges a record field by field.
func TestTheBrowserRefusesWhatTheShardsArithmeticRefuses(t *testing.T) {
	onlyFixture(t)
	_, base := shop(t)
	v := visit(t, base, desk)
	for _, forged := range fixture.Forgeries() {
		record, _ := fixture.Record(forged)
		if agrees := draw.Verify(record) == nil; agrees != (forged == "commitment") {
			t.Errorf("%s: the record agrees with itself: %t", forged, agrees) // and only then must the page's own copy tell
		}
		v.open("/e/" + *event + "/draw?forge=" + url.QueryEscape(forged))
		v.do("verify", chromedp.Click(chromedp.CSS("#verify-go")), chromedp.WaitVisible(chromedp.CSS("#verdict")))
		if got := v.text("#verdict"); !strings.Contains(got, "does not prove") {
			t.Errorf("a record with another %s is believed: %s", forged, v.text("#checks"))
		}
	}
	v.wellBehaved()
}
