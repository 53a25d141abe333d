package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestAHoldIsSoldByInvoice: with fees and tax, once, and only where the event's rules allow it.
func TestAHoldIsSoldByInvoice(t *testing.T) {
	s := newShell(t)
	s.must("event", "apply", "-f", filepath.Join("testdata", "paid.yaml"))
	s.must("event", "open", "paid")
	hold := field(t, s.must("hold", "create", "paid", "--buyer", "acme", "--best", "2", "-o", "json"), "hold")
	first := s.must("order", "invoice", "paid", hold, "-o", "json")
	if field(t, first, "as") != "invoiced" || field(t, first, "state") != "paid" || !strings.Contains(first, `"amount_minor": 10545`) {
		t.Errorf("%s", first) // 98.00, and fees of 3.00 + 2.00 + 2.45
	}
	if again := s.must("order", "invoice", "paid", hold, "-o", "json"); field(t, again, "order") != field(t, first, "order") {
		t.Errorf("again: %s", again)
	}
	file, err := os.ReadFile(filepath.Join("testdata", "paid.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	strict := filepath.Join(t.TempDir(), "strict.yaml")
	text := strings.NewReplacer("name: paid", "name: strict", "invoices: true", "invoices: false").Replace(string(file))
	if err := os.WriteFile(strict, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("event", "apply", "-f", strict)
	s.must("event", "open", "strict")
	hold = field(t, s.must("hold", "create", "strict", "--buyer", "acme", "--best", "2", "-o", "json"), "hold")
	if code, out, errs := s.run("order", "invoice", "strict", hold); code != exitConflict || !strings.Contains(errs, "invoice") {
		t.Errorf("where it is not allowed: exit %d, %s%s", code, out, errs)
	}
}

// TestOrdersAreFoundByAnAddressThatIsNotInTheCommandLine reads it from standard input.
func TestOrdersAreFoundByAnAddressThatIsNotInTheCommandLine(t *testing.T) {
	s := newTill(t)
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(strings.Repeat("07", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	masters, err := person.ReadMasters(keys)
	if err != nil {
		t.Fatal(err)
	}
	hold, err := holdfast.ParseHoldID(field(t, s.must("hold", "create", "paid", "--buyer", "ann", "--seat", "Stalls/A/1", "-o", "json"), "hold"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.client.Quote(t.Context(), s.event, hold, holdfast.PromoCode{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.client.BeginPayment(t.Context(), client.PaymentRequest{Event: s.event, Buyer: buyerArg("ann"), Hold: hold, Attempt: 1, Amount: q.Total,
		Contact: person.NewVault(masters, s.client).Contact(s.event.ID, "ann@example.org")})
	if err == nil {
		_, err = s.client.Sell(t.Context(), client.SellRequest{Event: s.event, Hold: hold, As: command.SalePaid, Attempt: 1, Amount: q.Total, Payment: "pi_1",
			Mode: holdfast.ModeTest, Account: "acct_sandbox"})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.buy("bob", "Stalls/A/3", "Stalls/A/4")
	find := func(address string) (int, string) {
		stdin := filepath.Join(t.TempDir(), "stdin")
		if err := os.WriteFile(stdin, []byte(address), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(stdin)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer func(was *os.File) { os.Stdin = was }(os.Stdin)
		os.Stdin = f
		code, out, errs := s.run("order", "find", "paid", "--mail", "--person-keys", keys, "-o", "json")
		if strings.Contains(strings.ToLower(out+errs), "@") {
			t.Errorf("the address is shown: %s%s", out, errs)
		}
		return code, out
	}
	if code, out := find("Ann@Example.org\n"); code != exitOK || strings.Count(out, hold.Order().String()) != 1 || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := find("carl@example.org"); code != exitOK || out != "" {
		t.Errorf("somebody who bought nothing: exit %d: %s", code, out)
	}
	if code, _ := find("nobody"); code != exitUsage {
		t.Errorf("no address: exit %d", code)
	}
}

// TestPricesThatNoCardNetworkChargesAreRefused: amounts of three decimals end with 0, or a buyer would hold seats that cannot be paid.
func TestPricesThatNoCardNetworkChargesAreRefused(t *testing.T) {
	file := func(price, checkout string) string {
		return "name: x\ntitle: X\ncurrency: kwd\ntiers: [{name: a, price: \"" + price + "\"}]\nsections: [{name: s, tier: a, places: 5}]\n" +
			"checkout: {mode: test, account: a" + checkout + "}\n"
	}
	for _, c := range []struct{ price, checkout, want string }{
		{"12.340", `, fees: {per_seat: "0.250"}, tax: {percent: 19, included: true}, promos: [{code: x, amount: "1.500"}]`, ""},
		{"12.345", "", "multiples of 10"},
		{"12.340", `, fees: {per_order: "0.005"}`, "multiples of 10"},
		{"12.340", `, promos: [{code: x, amount: "1.505"}]`, "multiples of 10"},
		{"12.340", `, promos: [{code: x, percent: 5}]`, "no multiple of 10"},
		{"12.340", `, fees: {percent: 5}`, "no multiple of 10"},
		{"12.340", `, tax: {percent: 5}`, "no multiple of 10"},
	} {
		_, err := readEventFile("x.yaml", []byte(file(c.price, c.checkout)))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s%s: %v", c.price, c.checkout, err)
		}
	}
}
