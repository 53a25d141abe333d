package holdfast_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
)

// TestIDsPrintAndParse: whatever an id prints, its parser reads back, and no other parser does.
func TestIDsPrintAndParse(t *testing.T) {
	parsers := map[string]func(string) (fmt.Stringer, error){
		"evt_":   func(s string) (fmt.Stringer, error) { return holdfast.ParseEventID(s) },
		"hold_":  func(s string) (fmt.Stringer, error) { return holdfast.ParseHoldID(s) },
		"ord_":   func(s string) (fmt.Stringer, error) { return holdfast.ParseOrderID(s) },
		"buyer_": func(s string) (fmt.Stringer, error) { return holdfast.ParseBuyerID(s) },
		"cmd_":   func(s string) (fmt.Stringer, error) { return holdfast.ParseCommandID(s) },
	}
	rapid.Check(t, func(t *rapid.T) {
		raw := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		for _, id := range []fmt.Stringer{
			holdfast.EventID(rapid.Uint32().Draw(t, "event")), holdfast.HoldID(raw), holdfast.OrderID(raw), holdfast.BuyerID(raw), holdfast.CommandID(raw),
		} {
			printed := id.String()
			for prefix, parse := range parsers {
				got, err := parse(printed)
				if own := strings.HasPrefix(printed, prefix); own != (err == nil) {
					t.Fatalf("%s read as %s…: %v", printed, prefix, err)
				} else if own && got != id {
					t.Fatalf("%s was read as %s", printed, got)
				}
			}
		}
	})
}

func TestParsersRefuseWhatIsNoID(t *testing.T) {
	hex := strings.Repeat("0a", 16)
	cases := []struct {
		parse func(string) error
		texts []string
	}{
		{func(s string) error { _, err := holdfast.ParseEventID(s); return err },
			[]string{"", "7", "evt_", "evt_-1", "evt_+7", "evt_07", "evt_7 ", "evt_1_0", "evt_4294967296", "EVT_7", "hold_" + hex}},
		{func(s string) error { _, err := holdfast.ParseHoldID(s); return err },
			[]string{"", "hold_", hex, "hold_" + hex[1:], "hold_" + hex[2:], "hold_" + hex + "0", "hold_" + hex + "00", "hold_" + hex[2:] + "0g",
				"hold_" + strings.ToUpper(hex), "ord_" + hex, " hold_" + hex}},
		{func(s string) error { _, err := holdfast.ParseOrderID(s); return err }, []string{"", "hold_" + hex, "ord_" + hex[2:]}},
		{func(s string) error { _, err := holdfast.ParseBuyerID(s); return err }, []string{"", "ord_" + hex, "buyer_" + hex[2:]}},
		{func(s string) error { _, err := holdfast.ParseCommandID(s); return err }, []string{"", "ord_" + hex, "cmd_" + hex[2:]}},
	}
	for _, c := range cases {
		for _, s := range c.texts {
			if err := c.parse(s); !errors.Is(err, holdfast.Invalid) {
				t.Errorf("%q was read as an id: %v", s, err)
			}
		}
	}
}

// TestHoldAndOrderShareTheirNumber: the order of a hold has the hold's number under its own prefix, both ways.
func TestHoldAndOrderShareTheirNumber(t *testing.T) {
	hold := holdfast.HoldID{1, 2, 3}
	if back := hold.Order().Hold(); back != hold {
		t.Errorf("%s became %s and then %s", hold, hold.Order(), back)
	}
	if strings.TrimPrefix(hold.String(), "hold_") != strings.TrimPrefix(hold.Order().String(), "ord_") {
		t.Errorf("%s and %s differ beyond the prefix", hold, hold.Order())
	}
	if hold.IsZero() || !(holdfast.HoldID{}).IsZero() {
		t.Error("only the zero id is zero")
	}
}

// TestCommandIDsCarryTheirValidity: the instant is kept to the millisecond, rounded down, so that a validity is
// never longer than was asked for; and ids of later instants sort later.
func TestCommandIDsCarryTheirValidity(t *testing.T) {
	const clockMax = 1<<48*1000 - 1 // six bytes of milliseconds: 8,900 years
	rapid.Check(t, func(t *rapid.T) {
		until := holdfast.Clock(rapid.Uint64Range(0, clockMax).Draw(t, "until"))
		random := [10]byte(rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "random"))
		id := holdfast.NewCommandID(until, random)
		if got := id.ValidUntil(); got != until/1000*1000 {
			t.Fatalf("made for %d, valid until %d", until, got)
		}
		if [10]byte(id[6:]) != random {
			t.Fatalf("%s lost its random part %x", id, random)
		}
		later := holdfast.NewCommandID(min(until+1000, clockMax), [10]byte{})
		if until+1000 <= clockMax && string(later[:6]) <= string(id[:6]) {
			t.Fatalf("%s does not sort before %s", id, later)
		}
	})
}

func TestClockArithmetic(t *testing.T) {
	now := holdfast.Clock(10)
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"a later instant", now.Add(time.Second), holdfast.Clock(1_000_010)},
		{"less than a microsecond", now.Add(999 * time.Nanosecond), now},
		{"time until later", now.Until(25), 15 * time.Microsecond},
		{"time until now", now.Until(now), time.Duration(0)},
		{"time until the past is not negative", now.Until(3), time.Duration(0)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

// TestStatesKeepTheirNumbersAndNames: the numbers are in snapshots and on the wire, the names in every API.
func TestStatesKeepTheirNumbersAndNames(t *testing.T) {
	var got []string
	add := func(n uint8, s fmt.Stringer) { got = append(got, fmt.Sprintf("%d %s", n, s)) }
	for _, s := range []holdfast.SeatState{holdfast.Free, holdfast.Held, holdfast.Paying, holdfast.Sold, holdfast.Blocked, holdfast.SeatStates} {
		add(uint8(s), s)
	}
	for _, s := range []holdfast.HoldState{0, holdfast.HoldOpen, holdfast.HoldPaying, holdfast.HoldClosing, holdfast.HoldSold, holdfast.HoldCancelling, 6} {
		add(uint8(s), s)
	}
	for _, s := range []holdfast.SaleState{holdfast.SaleDraft, holdfast.SaleOpen, holdfast.SalePaused, holdfast.SaleClosed, 4} {
		add(uint8(s), s)
	}
	const want = "0 free|1 held|2 paying|3 sold|4 blocked|5 seat_state_5|" +
		"0 hold_state_0|1 held|2 paying|3 closing|4 sold|5 cancelling|6 hold_state_6|" +
		"0 draft|1 open|2 paused|3 closed|4 sale_state_4"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("states changed:\n got %s\nwant %s", s, want)
	}
}
