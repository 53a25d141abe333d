package browser

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-db/holdfast/frontend/page/sample"
)

// TestEveryStateIsAccessible shows every page in every state, on both screens, light and dark, and lets axe-core look
// for violations of WCAG 2.2 AA. None that is serious or critical may be there.
func TestEveryStateIsAccessible(t *testing.T) {
	onlyFixture(t)
	if *axe == "" {
		t.Skip("-axe does not say where axe.min.js is: .ci/browser does")
	}
	_, url := shop(t)
	dark := desk
	dark.dark = true
	for _, s := range []screen{phone, desk, dark} {
		v := visit(t, url, s)
		for _, state := range sample.All() {
			v.open("/state/" + state.Name)
			v.shoot("state-" + state.Name)
			for _, found := range v.violations() {
				t.Errorf("%s at %s (dark: %t): %s", state.Name, s.name, s.dark, found)
			}
			v.faults = nil // samples name servers that are not there
			v.wellBehaved()
		}
	}
}

// TestTheSeatMapIsAccessible lets axe-core look at what the scripts draw.
func TestTheSeatMapIsAccessible(t *testing.T) {
	if *axe == "" {
		t.Skip("-axe does not say where axe.min.js is: .ci/browser does")
	}
	v := visit(t, address(t), phone)
	v.joinAndWait()
	v.openSection()
	v.do("hold a seat", chromedp.Click(chromedp.CSS(".plan .seat.free")))
	v.until("it is held", `!document.querySelector('#held').hidden`)
	for _, found := range v.violations() {
		t.Error(found)
	}
}

// look takes a picture of a page, and lets axe-core look at it, where there is one.
func (v *visitor) look(name string) {
	v.t.Helper()
	v.shoot(name)
	if *axe == "" {
		return
	}
	for _, found := range v.violations() {
		v.t.Errorf("%s: %s", name, found)
	}
}

// violations gives what axe-core finds that is serious or critical.
func (v *visitor) violations() (found []string) {
	v.t.Helper()
	script, err := os.ReadFile(*axe)
	if err != nil {
		v.t.Fatal(err)
	}
	eval[string](v, string(script)+";''")
	report := eval[string](v, `axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 160) + ' ' + (n.any[0]?.message || ''))}))))`)
	var violations []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(report), &violations); err != nil {
		v.t.Fatalf("axe says %q: %v", report, err)
	}
	for _, one := range violations {
		line := one.ID + " (" + one.Impact + "): " + one.Help + "\n\t" + strings.Join(one.Nodes, "\n\t")
		if one.Impact == "serious" || one.Impact == "critical" {
			found = append(found, line)
		} else {
			v.t.Logf("%s: %s", v.text("h1"), line)
		}
	}
	return found
}
