package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// somebody holds a seat, gives an address, and buys or not.
func somebody(t *testing.T, s *shell, v *person.Vault, seat holdfast.SeatIndex, mail string, buys bool) holdfast.HoldID {
	t.Helper()
	c, ctx := s.cluster.Client(), t.Context()
	event, err := c.Locate(ctx, client.Named("house"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{byte(seat) + 1}, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{seat}}}})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := v.Seal(ctx, event.ID, h.ID, person.Person{Mail: mail})
	if err == nil {
		err = c.PutPerson(ctx, event, h.ID, blob)
	}
	if err == nil && buys {
		_, err = c.Sell(ctx, client.SellRequest{Event: event, Hold: h.ID, As: command.SaleInvoiced, Amount: h.Amount})
	} else if err == nil {
		err = c.Release(ctx, client.HoldRef{Event: event, Hold: h.ID, Buyer: h.Buyer})
	}
	if err != nil {
		t.Fatal(err)
	}
	return h.ID
}

func TestPersonForget(t *testing.T) {
	s := newShell(t)
	s.must("event", "apply", "-f", "FILE")
	s.must("event", "open", "house")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(strings.Repeat("07", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	masters, err := person.ReadMasters(keys)
	if err != nil {
		t.Fatal(err)
	}
	v := person.NewVault(masters, s.cluster.Client())
	anna, ben, anna2 := somebody(t, s, v, 0, "anna@example.org", true), somebody(t, s, v, 1, "ben@example.org", true), somebody(t, s, v, 2, "Anna@example.org", true)
	gone := somebody(t, s, v, 3, "dora@example.org", false)

	known := func(hold holdfast.HoldID) bool {
		holds, _, err := s.cluster.Client().PersonHolds(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range holds {
			if h == hold {
				return true
			}
		}
		return false
	}
	decode := func(text string) (out forgotOut) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return out
	}

	// One member is away: it is not complete, and then it is.
	s.cluster.PersonsAway(1, true)
	code, text, errs := s.run("person", "forget", "house", ben.Order().String(), "-o", "json")
	if out := decode(text); code != exitUnhealthy || out.Complete || len(out.Members) != 3 || out.Members[1].Confirmed || !out.Members[2].Confirmed {
		t.Errorf("with a member away: exit %d, %s %s", code, text, errs)
	}
	if code, text, _ := s.run("person", "status", "-o", "json"); code != exitUnhealthy || !strings.Contains(text, `"agree": false`) {
		t.Errorf("the status with a member away: exit %d, %s", code, text)
	}
	s.cluster.PersonsAway(1, false)
	code, text, errs = s.run("person", "forget", "house", ben.Order().String(), "-o", "json")
	if out := decode(text); code != exitOK || !out.Complete || out.Holds != 1 {
		t.Errorf("with all members: exit %d, %s %s", code, text, errs)
	}
	if known(ben) || !known(anna) {
		t.Error("somebody else was forgotten")
	}

	// By address, which is not in the command line and not in the answer.
	stdin, err := os.CreateTemp(t.TempDir(), "stdin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.WriteString(" ANNA@example.org\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = stdin.Seek(0, 0)
	defer func(was *os.File) { os.Stdin = was }(os.Stdin)
	os.Stdin = stdin
	code, text, errs = s.run("person", "forget", "house", "--mail", "--person-keys", keys, "-o", "json")
	if out := decode(text); code != exitOK || !out.Complete || out.Holds != 2 || strings.Contains(strings.ToLower(text+errs), "anna") {
		t.Errorf("by address: exit %d, %s %s", code, text, errs)
	}
	if known(anna) || known(anna2) || !known(gone) {
		t.Error("by address the wrong people were forgotten")
	}
	if text := s.must("person", "status"); !strings.Contains(text, "agree") {
		t.Errorf("the status is %s", text)
	}

	for _, wrong := range [][]string{{"person", "forget", "house"}, {"person", "forget", "house", anna.Order().String(), "--abandoned"}, {"person", "forget", "house", "nonsense"},
		{"person", "forget", "house", "--mail", "--person-keys", "missing"}} {
		if code, _, _ := s.run(wrong...); code != exitUsage {
			t.Errorf("%v: exit %d", wrong, code)
		}
	}
	if code, _, _ := s.run("person", "forget", "house", holdfast.OrderID{9}.String()); code != exitNotFound {
		t.Errorf("no such order: exit %d", code)
	}

	// Who did not buy; then everybody.
	erna := somebody(t, s, v, 4, "erna@example.org", true)
	if code, text, errs := s.run("person", "forget", "house", "--abandoned", "-o", "json"); code != exitOK || decode(text).Holds != 1 || known(gone) || !known(erna) {
		t.Errorf("who did not buy: exit %d, %s %s", code, text, errs)
	}
	if code, text, errs := s.run("person", "forget", "house", "--everybody", "-o", "json"); code != exitOK || decode(text).Holds != 1 || known(erna) {
		t.Errorf("everybody: exit %d, %s %s", code, text, errs)
	}
}
