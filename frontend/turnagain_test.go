package frontend

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// TestWhoseHoldRanOutIsLetInAgainWhenCalledAgain: the token still says that they are inside, and the shard that it is
// their turn once more. The page says how long, and both ways in work.
func TestWhoseHoldRanOutIsLetInAgainWhenCalledAgain(t *testing.T) {
	spec := lined("evening")
	spec.Rules.HoldTTLMs, spec.Line.IdleMs = 2000, 60_000
	g := newGround(t, spec)
	s := g.serve()
	byPoll, byForm := newBrowser(t), newBrowser(t)
	both := []*browser{byPoll, byForm}
	for _, b := range both {
		b.join(s)
	}
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	g.cluster.Admit(g.event, 2)
	s.sees("both are called", func(l *lineNow) bool { return l.served == 2 })
	for _, b := range both {
		b.poll(s)
		b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(201)
	}
	g.cluster.Advance(3 * time.Second)
	g.cluster.Admit(g.event, 2)
	for _, b := range both {
		until(t, "called again", func() bool {
			v, err := g.client.Visitor(t.Context(), g.event, anonymousKeyOf(t, s, b).Buyer(), client.AllowStale())
			return err == nil && v.State == holdfast.PlaceCalled
		})
	}
	page := string(byForm.do("GET", s.base+"/e/evening/line", nil).want(200).body)
	if !strings.Contains(page, "It is your turn") || !strings.Contains(page, "The door is open for you for") {
		t.Errorf("the page does not say how long the door is open: %s", page)
	}
	if p := byPoll.poll(s); p.Room != "admitted" {
		t.Errorf("a poll leaves them at the door: %+v", p)
	}
	if a := byForm.form(s, "/e/evening/line", "/e/evening/line", nil).want(303); a.header.Get("Location") != "/e/evening/seats" {
		t.Errorf("the form leads to %s", a.header.Get("Location"))
	}
}

func TestADeclineIsSaidInWords(t *testing.T) {
	for code, want := range map[string]string{"insufficient_funds": "not enough money", "payment_intent_authentication_failure": "that it is you", "generic_decline": "The card was declined. "} {
		if said := declineText(code); !strings.Contains(said, want) || strings.Contains(said, "_") {
			t.Errorf("%s: %q", code, said)
		}
	}
}
