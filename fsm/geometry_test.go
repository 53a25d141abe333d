package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"pgregory.net/rapid"
)

// TestUnitsKeepTheirNumbers updates a description again and again. Every unit must be where the plain numbering has
// it, and where it was before.
func TestUnitsKeepTheirNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions := []*command.EventSpec{drawSpec(t)}
		g := newGeometry(versions[0], nil)
		for range rapid.IntRange(0, 4).Draw(t, "updates") {
			before, plainBefore := g, newPlainHouse(versions...)
			versions = append(versions, drawUpdate(t, versions[len(versions)-1]))
			g = newGeometry(versions[len(versions)-1], before)

			h := newPlainHouse(versions...)
			for u := range plainBefore.units {
				was, is := plainBefore.units[u], h.units[u]
				was.allocation = is.allocation // may change
				if was != is {
					t.Fatalf("unit %d was %+v, is %+v", u, was, is)
				}
			}
			samePlaces(t, g, h)
		}

		last := versions[len(versions)-1]
		restored, ok := restoredGeometry(last, slices.Clone(g.grown))
		if !ok || !reflect.DeepEqual(restored, g) {
			t.Fatalf("restored from %v: %v, not the same", g.grown, ok)
		}
	})
}

func samePlaces(t *rapid.T, g *geometry, h *plainHouse) {
	if g.len() != len(h.units) {
		t.Fatalf("%d units, plainly %d", g.len(), len(h.units))
	}
	for u, plain := range h.units {
		unit := holdfast.SeatIndex(u)
		row := g.row(unit)
		got := plainUnit{section: int(g.section(unit)), row: int(row.ordinal), position: u - int(row.first), general: g.general[row.section],
			tier: g.tier(unit), allocation: g.allocation(unit)}
		if got.general { // its rows are only ours
			got.row, got.position = plain.row, plain.position
		}
		if got != plain {
			t.Fatalf("unit %d is %+v, plainly %+v", u, got, plain)
		}
	}
}

func TestGeneralAdmissionIsCutIntoRows(t *testing.T) {
	spec := &command.EventSpec{Name: "festival", Currency: "eur", Tiers: []command.Tier{{Name: "day"}},
		Sections:    []command.Section{{Name: "field", Places: 2*placesPerRow + 10}},
		Allocations: []command.Allocation{{Name: "crew", Spans: []command.Span{{First: placesPerRow - 2, Last: placesPerRow + 1}}}},
	}
	v := newInventory(t, spec)
	var sizes []uint16
	for _, r := range v.geometry.rows {
		sizes = append(sizes, r.count)
	}
	if want := []uint16{placesPerRow, placesPerRow, 10}; !slices.Equal(sizes, want) {
		t.Errorf("rows of %v, want %v", sizes, want)
	}
	crew := v.pickGeneral(nil, 1, 0, 9)
	if want := []holdfast.SeatIndex{placesPerRow - 2, placesPerRow - 1, placesPerRow, placesPerRow + 1}; !slices.Equal(crew, want) {
		t.Errorf("places %v for the crew, want %v", crew, want)
	}
}

func TestASnapshotsGrowthMustAddUp(t *testing.T) {
	spec := &command.EventSpec{Name: "concert", Currency: "eur", Tiers: []command.Tier{{Name: "all"}}, Sections: []command.Section{
		{Name: "stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 3}, {Label: "B", First: 1, Seats: 3}}}, {Name: "floor", Places: 7}}}
	for _, c := range []struct {
		grown []command.Growth
		ok    bool
	}{
		{[]command.Growth{{Section: 0, Count: 2}, {Section: 1, Count: 7}}, true},
		{[]command.Growth{{Section: 1, Count: 3}, {Section: 0, Count: 1}, {Section: 1, Count: 4}, {Section: 0, Count: 1}}, true},
		{nil, false},
		{[]command.Growth{{Section: 0, Count: 2}, {Section: 1, Count: 6}}, false},
		{[]command.Growth{{Section: 0, Count: 3}, {Section: 1, Count: 7}}, false},
		{[]command.Growth{{Section: 0, Count: 2}, {Section: 1, Count: 7}, {Section: 2, Count: 1}}, false},
		{[]command.Growth{{Section: 0, Count: 2}, {Section: 1, Count: 7}, {Section: 1, Count: 0}}, false},
		{[]command.Growth{{Section: 0, Count: 2}, {Section: 1, Count: 1<<32 - 1}, {Section: 1, Count: 8}}, false},
	} {
		if _, ok := restoredGeometry(spec, c.grown); ok != c.ok {
			t.Errorf("%v: %v", c.grown, ok)
		}
	}
}

func TestARowsSeatsMayBeOfThreeAllocations(t *testing.T) {
	spec := &command.EventSpec{Name: "concert", Currency: "eur", Tiers: []command.Tier{{Name: "all"}},
		Sections: []command.Section{{Name: "stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 8, Tier: holdfast.AnyTier}}}},
		Allocations: []command.Allocation{{Name: "sponsor", Spans: []command.Span{{First: 6, Last: 6}, {First: 1, Last: 2}}},
			{Name: "artist", Spans: []command.Span{{First: 3, Last: 4}}}}}
	v, drawn := newInventory(t, spec), ""
	for u := range holdfast.SeatIndex(8) {
		drawn += fmt.Sprint(v.geometry.allocation(u))
	}
	if want := "01122010"; drawn != want {
		t.Errorf("allocations %s, want %s", drawn, want)
	}
	if n := len(v.geometry.classes); n != 3 {
		t.Errorf("%d classes, want 3", n)
	}
}
