package command

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-db/holdfast"
)

// Growth is one step of how an event's units got their numbers: the next Count rows of a section or, for general
// admission, its next Count places. A description says what there is; the list of these says in which order it came.
type Growth struct {
	Section holdfast.SectionIndex
	Count   uint32
}

// Layout translates between the numbers of units and what people call them. It is immutable, so any number of
// goroutines may use it.
type Layout struct {
	spec *EventSpec
	runs []run // by first unit
}

// run is a row, or a number of places that were added together.
type run struct {
	first   holdfast.SeatIndex
	count   uint32
	section holdfast.SectionIndex
	row     int    // of the section; 0 for general admission
	place   uint32 // for general admission: the number of the first place in its section, from 0
}

// NewLayout lays out a description that was validated. It fails when grown does not add up to the description. The
// description is kept and must not be changed afterwards.
func NewLayout(spec *EventSpec, grown []Growth) (*Layout, error) {
	l := &Layout{spec: spec}
	had := make([]uint32, len(spec.Sections)) // rows or places of each section so far
	unit := uint32(0)
	for _, g := range grown {
		if int(g.Section) >= len(spec.Sections) {
			return nil, invalid("grown", "section %d of %d", g.Section, len(spec.Sections))
		}
		sec, from := &spec.Sections[g.Section], had[g.Section]
		size := uint32(len(sec.Rows))
		if sec.General() {
			size = sec.Places
		}
		if g.Count == 0 || g.Count > size-from {
			return nil, invalid("grown", "%d more of section %d, which has %d of %d", g.Count, g.Section, from, size)
		}
		had[g.Section] += g.Count
		if sec.General() {
			l.runs = append(l.runs, run{first: holdfast.SeatIndex(unit), count: g.Count, section: g.Section, place: from})
			unit += g.Count
			continue
		}
		for row := from; row < had[g.Section]; row++ {
			count := uint32(sec.Rows[row].Seats)
			l.runs = append(l.runs, run{first: holdfast.SeatIndex(unit), count: count, section: g.Section, row: int(row)})
			unit += count
		}
	}
	if int(unit) != spec.Units() {
		return nil, invalid("grown", "%d units of %d", unit, spec.Units())
	}
	return l, nil
}

// Place is where a unit is.
type Place struct {
	Section holdfast.SectionIndex
	Row     int    // of the section, from 0; 0 for general admission
	Seat    uint32 // position in the row, or in the section for general admission, from 0
}

// Place tells where a unit is; false if there is no such unit.
func (l *Layout) Place(unit holdfast.SeatIndex) (Place, bool) {
	i, found := slices.BinarySearchFunc(l.runs, unit, func(r run, u holdfast.SeatIndex) int { return int(r.first) - int(u) })
	if !found {
		i--
	}
	if i < 0 || uint32(unit-l.runs[i].first) >= l.runs[i].count {
		return Place{}, false
	}
	r := &l.runs[i]
	return Place{r.section, r.row, r.place + uint32(unit-r.first)}, true
}

// Unit gives the number of the unit at a place; false if there is none.
func (l *Layout) Unit(p Place) (holdfast.SeatIndex, bool) {
	for i := range l.runs {
		r := &l.runs[i]
		if r.section == p.Section && r.row == p.Row && p.Seat >= r.place && p.Seat-r.place < r.count {
			return r.first + holdfast.SeatIndex(p.Seat-r.place), true
		}
	}
	return 0, false
}

// Label says what people call a unit, as "Lower 101, row C, seat 12", or "Floor" for general admission.
func (l *Layout) Label(unit holdfast.SeatIndex) string {
	p, ok := l.Place(unit)
	if !ok {
		return "unit " + strconv.FormatUint(uint64(unit), 10)
	}
	sec := &l.spec.Sections[p.Section]
	if sec.General() {
		return sec.Name
	}
	row := &sec.Rows[p.Row]
	return fmt.Sprintf("%s, row %s, seat %d", sec.Name, row.Label, uint32(row.First)+p.Seat)
}
