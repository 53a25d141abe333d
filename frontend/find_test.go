package frontend

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-db/holdfast/frontend/person"
)

// mailbox is where mails go in tests.
type mailbox struct {
	mu   sync.Mutex
	sent []string // recipient, then text
}

func (m *mailbox) Send(_ context.Context, to, _, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, to+"\n"+text)
	return nil
}

func (m *mailbox) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.sent...)
}

// TestAnOrderIsFoundByItsMailAddress: a link goes to the address, and whoever asks learns nothing from the answer. The
// cluster keeps neither address nor name in the clear.
func TestAnOrderIsFoundByItsMailAddress(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	box := &mailbox{}
	s := g.serve(func(c *Config) {
		c.Payments, c.PublicURL, c.Mail = settlement, "http://shop.test", box
		c.Persons = person.NewVault(person.RandomMasters(), g.cluster.Client())
	})
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(201).hold()
	var c checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "Ann@Example.org", Name: "Ann Vogel"}).want(200).into(&c)
	money.pay(c.ClientSecret, "pm_card_visa")
	var k confirmOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k)
	if k.State != "sold" {
		t.Fatalf("%+v", k)
	}
	ask := func(address string) string {
		return string(newBrowser(t).form(s, "/find", "/find", url.Values{"mail": {address}}).want(200).body)
	}
	known, unknown := ask("ann@example.org"), ask("bob@example.org")
	strip := func(page, address string) string {
		_, page, _ = strings.Cut(page, "<main")
		page, _, _ = strings.Cut(page, `name="csrf"`)
		return strings.ReplaceAll(page, address, "")
	}
	if strip(known, "ann@example.org") != strip(unknown, "bob@example.org") {
		t.Errorf("the answers differ:\n%s\n%s", strip(known, ""), strip(unknown, ""))
	}
	until(t, "the mail is sent", func() bool { return len(box.all()) > 0 })
	mails := box.all()
	if len(mails) != 1 || !strings.HasPrefix(mails[0], "ann@example.org\n") || !strings.Contains(mails[0], "http://shop.test/o/ord_") {
		t.Fatalf("%q", mails)
	}
	_, link, _ := strings.Cut(mails[0], "http://shop.test")
	link, _, _ = strings.Cut(link, "\n")
	newBrowser(t).do("GET", s.base+link, nil).want(200)
	if strings.Contains(ask("nonsense"), "Look into your mail") {
		t.Error("what is no address is taken for one")
	}
}
