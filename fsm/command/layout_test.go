package command

import (
	"testing"

	"github.com/holdfast-db/holdfast"
)

// house has a row and two places first; a second row, two more places and a section came later.
func house() (*EventSpec, []Growth) {
	return &EventSpec{Sections: []Section{
		{Name: "Stalls", Rows: []Row{{Label: "A", First: 1, Seats: 3, Tier: holdfast.AnyTier}, {Label: "B", First: 101, Seats: 2, Tier: holdfast.AnyTier}}},
		{Name: "Floor", Places: 4},
		{Name: "Box", Rows: []Row{{Label: "1", First: 1, Seats: 1, Tier: holdfast.AnyTier}}},
	}}, []Growth{{0, 1}, {1, 2}, {0, 1}, {1, 2}, {2, 1}}
}

func TestLayoutNamesEveryUnitAndFindsItAgain(t *testing.T) {
	spec, grown := house()
	l, err := NewLayout(spec, grown)
	if err != nil {
		t.Fatal(err)
	}
	for unit, label := range []string{
		"Stalls, row A, seat 1", "Stalls, row A, seat 2", "Stalls, row A, seat 3", "Floor", "Floor",
		"Stalls, row B, seat 101", "Stalls, row B, seat 102", "Floor", "Floor", "Box, row 1, seat 1",
	} {
		u := holdfast.SeatIndex(unit)
		if got := l.Label(u); got != label {
			t.Errorf("unit %d is %q, want %q", unit, got, label)
		}
		p, ok := l.Place(u)
		if back, found := l.Unit(p); !ok || !found || back != u {
			t.Errorf("unit %d is at %+v, and there is unit %d (%v)", unit, p, back, found)
		}
	}
	if got := l.Label(10); got != "unit 10" {
		t.Errorf("a unit that is not there is called %q", got)
	}
	if _, ok := l.Unit(Place{Section: 0, Row: 2}); ok {
		t.Error("a row that is not there has a seat")
	}
}

func TestLayoutRefusesWhatDoesNotAddUp(t *testing.T) {
	spec, grown := house()
	for name, g := range map[string][]Growth{
		"too little":                            grown[:4],
		"too many rows":                         append(append([]Growth{}, grown...), Growth{0, 1}),
		"unknown section":                       append(append([]Growth{}, grown...), Growth{3, 1}),
		"too many places":                       append(append([]Growth{}, grown...), Growth{1, 1}),
		"no more of it":                         append(append([]Growth{}, grown...), Growth{1, 0}),
		"a sum that overflows to the right one": append(append([]Growth{}, grown...), Growth{1, 1 << 31}, Growth{1, 1 << 31}),
	} {
		if _, err := NewLayout(spec, g); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
