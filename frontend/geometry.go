package frontend

import (
	"encoding/json"
	"strconv"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// geometry is what follows from an event's description alone, computed once for each version: where each unit is, what
// it costs, and the document that draws the map.
type geometry struct {
	section []uint16 // by unit
	tier    []uint8
	apart   []bool // units that are not for everybody; nil: there are none
	doc     []byte
	etag    string
}

// mapOut is the document of an event's geometry. Units of one row are consecutive, so a row is its first unit and a
// count.
type mapOut struct {
	Event    string       `json:"event"`
	Version  uint32       `json:"version"`
	Units    int          `json:"units"`
	Currency string       `json:"currency"`
	Tiers    []tierOut    `json:"tiers"`
	Sections []sectionOut `json:"sections"`
}

type tierOut struct {
	Index      int    `json:"index"`
	Name       string `json:"name"`
	PriceMinor int64  `json:"price_minor"`
	Free       *int   `json:"free,omitempty"` // in an event's document; the map's never changes with the sale
}

type sectionOut struct {
	Index   int      `json:"index"`
	Name    string   `json:"name"`
	Tier    int      `json:"tier"`
	General bool     `json:"general"`
	Free    *int     `json:"free,omitempty"`
	Total   int      `json:"total"`
	Rows    []rowOut `json:"rows,omitempty"`
	Runs    []runOut `json:"runs,omitempty"` // of general admission
}

// rowOut is a row: units First to First+Seats-1, on which the seats' numbers from Number stand.
type rowOut struct {
	Label  string             `json:"label"`
	First  holdfast.SeatIndex `json:"first"`
	Seats  int                `json:"seats"`
	Number int                `json:"number"`
	Tier   int                `json:"tier"`
}

// runOut is a run of units of a general-admission section.
type runOut struct {
	First holdfast.SeatIndex `json:"first"`
	Count int                `json:"count"`
}

func newGeometry(event client.Event) *geometry {
	spec := &event.Spec
	units := spec.Units()
	g := &geometry{section: make([]uint16, units), tier: make([]uint8, units), etag: `"v` + strconv.FormatUint(uint64(event.Version), 10) + `"`}
	out := mapOut{Event: spec.Name, Version: event.Version, Units: units, Currency: string(spec.Currency)}
	for i, t := range spec.Tiers {
		out.Tiers = append(out.Tiers, tierOut{Index: i, Name: t.Name, PriceMinor: t.PriceMinor})
	}
	for i := range spec.Sections {
		sec := &spec.Sections[i]
		out.Sections = append(out.Sections, sectionOut{Index: i, Name: sec.Name, Tier: int(sec.Tier), General: sec.General()})
		for _, row := range sec.Rows {
			out.Sections[i].Rows = append(out.Sections[i].Rows, rowOut{Label: row.Label, Seats: int(row.Seats), Number: int(row.First), Tier: int(rowTier(sec.Tier, row.Tier))})
		}
	}
	for unit := range holdfast.SeatIndex(units) {
		place, ok := event.Layout.Place(unit)
		if !ok {
			continue
		}
		sec, so := &spec.Sections[place.Section], &out.Sections[place.Section]
		so.Total++
		g.section[unit], g.tier[unit] = uint16(place.Section), uint8(sec.Tier)
		if !sec.General() {
			row := &so.Rows[place.Row]
			g.tier[unit] = uint8(row.Tier)
			if place.Seat == 0 {
				row.First = unit
			}
			continue
		}
		if n := len(so.Runs); n > 0 && so.Runs[n-1].First+holdfast.SeatIndex(so.Runs[n-1].Count) == unit {
			so.Runs[n-1].Count++
		} else {
			so.Runs = append(so.Runs, runOut{First: unit, Count: 1})
		}
	}
	g.setApart(event)
	g.doc, _ = json.Marshal(out) // plain structs of text and numbers
	return g
}

// setApart notes the units of the allocations that are not public.
func (g *geometry) setApart(event client.Event) {
	for _, a := range event.Spec.Allocations {
		if g.apart == nil {
			g.apart = make([]bool, len(g.section))
		}
		for _, span := range a.Spans {
			for seat := span.First; seat <= span.Last; seat++ {
				if unit, ok := event.Layout.Unit(command.Place{Section: span.Section, Row: int(span.Row), Seat: seat}); ok {
					g.apart[unit] = true
				}
			}
		}
	}
}

// shown is a unit's state as everybody sees it: what is set apart is not on sale to them until it is sold, whoever has it
// in hand, so that they are neither sent after it nor told that something is left.
func (g *geometry) shown(unit holdfast.SeatIndex, state holdfast.SeatState) holdfast.SeatState {
	if g.apart != nil && int(unit) < len(g.apart) && g.apart[unit] && state != holdfast.Sold {
		return holdfast.Blocked
	}
	return state
}

func rowTier(section, row holdfast.TierIndex) holdfast.TierIndex {
	if row == holdfast.AnyTier {
		return section
	}
	return row
}

func (g *geometry) of(unit holdfast.SeatIndex) (section holdfast.SectionIndex, tier holdfast.TierIndex, ok bool) {
	if int(unit) >= len(g.section) {
		return 0, 0, false
	}
	return holdfast.SectionIndex(g.section[unit]), holdfast.TierIndex(g.tier[unit]), true
}

// stateChars write a unit's state as one character: the number of the state.
const stateChars = "01234"

// appendSeatsDoc writes the states of all units as everybody sees them: one character a unit, by number.
func (g *geometry) appendSeatsDoc(b []byte, revision holdfast.Revision, sale holdfast.SaleState, states []holdfast.SeatState) []byte {
	b = append(b, `{"revision":`...)
	b = strconv.AppendUint(b, uint64(revision), 10)
	b = append(b, `,"sale":"`...)
	b = append(b, sale.String()...)
	b = append(b, `","states":"`...)
	for unit, state := range states {
		b = append(b, stateChars[min(int(g.shown(holdfast.SeatIndex(unit), state)), len(stateChars)-1)])
	}
	return append(b, "\"}\n"...)
}
