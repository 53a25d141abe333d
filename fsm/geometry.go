package fsm

import (
	"math"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// geometry says where each unit of an event is. It is worked out from the event's description and from the order
// in which its units were added, and is never written after it is made: an update makes another one, so cuts and
// readers share it.
//
//	unit   a number; the units of a row are consecutive
//	row    seats side by side; the places of a general-admission section are rows too, of placesPerRow
//	strip  the part of a row that belongs to one allocation: a run of units that nothing tells apart but
//	       their place; most rows are one strip
//	class  all strips of one allocation, section and tier, front to back: what no want can tell apart
//
// There is no table with an entry for each unit, only one for each stride units, from which the strip is a step
// or two away.
type geometry struct {
	grown   []command.Growth
	rows    []row    // by first unit
	strips  []strip  // by first unit; one more stands at the end, to stop a walk
	classes []class  // by key
	keys    []uint32 // classKey of each class, to search in
	order   []uint32 // strips, class after class, in each class front to back
	at      []uint32 // the strip of every stride-th unit
	units   uint32
	tiers   int
	general []bool // by section
	parts   int    // allocations, Public among them
}

type row struct {
	first   uint32 // its first unit
	strips  uint32 // its first strip
	ordinal uint32 // which row of its section, from 0
	count   uint16 // its units
	section holdfast.SectionIndex
	tier    holdfast.TierIndex
}

type strip struct {
	first uint32 // its first unit; it ends where the next strip begins
	row   uint32
	class uint32
	place uint32 // where it stands in order
}

type class struct {
	section    holdfast.SectionIndex
	tier       holdfast.TierIndex
	allocation holdfast.AllocationIndex
	general    bool
	from, to   uint32 // its strips in order
	blocks     uint32 // its first block of strips, see free.go
	units      uint32
}

const (
	// stride trades memory for steps: 16 costs 250 KB for a million units, and rows are about as long.
	stride = 16

	// placesPerRow cuts general admission into rows, so that a search can pass over those that are full.
	placesPerRow = command.RowSeatsMax
)

// A row's length fits its field.
const _ = uint(math.MaxUint16 - command.RowSeatsMax)

// newGeometry numbers the units of a description that was validated. old is the geometry of the description that it
// extends, nil for a new event: units that old has keep their numbers, the others get the next ones, section by
// section.
func newGeometry(spec *command.EventSpec, old *geometry) *geometry {
	var grown []command.Growth
	if old != nil {
		grown = slices.Clone(old.grown)
	}
	had := sizes(grown, len(spec.Sections))
	for s := range spec.Sections {
		size := sectionSize(&spec.Sections[s])
		assert(size >= had[s], "a section shrinks")
		if add := size - had[s]; add > 0 {
			grown = grow(grown, command.Growth{Section: holdfast.SectionIndex(s), Count: add})
		}
	}
	return layOut(spec, grown)
}

// restoredGeometry makes the geometry of a snapshot again. It reports whether grown adds up to the description.
func restoredGeometry(spec *command.EventSpec, grown []command.Growth) (*geometry, bool) {
	for _, g := range grown {
		if int(g.Section) >= len(spec.Sections) || g.Count == 0 || g.Count > holdfast.UnitsPerEventMax {
			return nil, false
		}
	}
	if len(grown) > holdfast.UnitsPerEventMax {
		return nil, false
	}
	for s, size := range sizes(grown, len(spec.Sections)) {
		if size != sectionSize(&spec.Sections[s]) {
			return nil, false
		}
	}
	return layOut(spec, grown), true
}

// sectionSize gives the rows of a section, or its places.
func sectionSize(s *command.Section) uint32 {
	if s.General() {
		return s.Places
	}
	return uint32(len(s.Rows))
}

func sizes(grown []command.Growth, sections int) []uint32 {
	size := make([]uint32, sections)
	for _, g := range grown {
		size[g.Section] += g.Count
	}
	return size
}

// grow appends a step, as one with the last when it goes on where that ended.
func grow(grown []command.Growth, g command.Growth) []command.Growth {
	if n := len(grown); n > 0 && grown[n-1].Section == g.Section {
		grown[n-1].Count += g.Count
		return grown
	}
	return append(grown, g)
}

func layOut(spec *command.EventSpec, grown []command.Growth) *geometry {
	g := &geometry{grown: grown, tiers: len(spec.Tiers), parts: 1 + len(spec.Allocations)}
	for i := range spec.Sections {
		g.general = append(g.general, spec.Sections[i].General())
	}
	bySection := g.layRows(spec)
	g.layStrips(g.paint(spec, bySection))
	g.layClasses()
	return g
}

// layRows numbers rows and units, and gives the rows of each section.
func (g *geometry) layRows(spec *command.EventSpec) [][]uint32 {
	bySection := make([][]uint32, len(spec.Sections))
	for _, step := range g.grown {
		s := step.Section
		section := &spec.Sections[s]
		for left := step.Count; left > 0; {
			r := row{first: g.units, section: s, tier: section.Tier, ordinal: uint32(len(bySection[s]))}
			if section.General() {
				r.count = uint16(min(left, placesPerRow))
				left -= uint32(r.count)
			} else {
				described := &section.Rows[r.ordinal]
				r.count = described.Seats
				if described.Tier != holdfast.AnyTier {
					r.tier = described.Tier
				}
				left--
			}
			bySection[s] = append(bySection[s], uint32(len(g.rows)))
			g.rows = append(g.rows, r)
			g.units += uint32(r.count)
		}
	}
	return bySection
}

// paint gives the allocation of every unit.
func (g *geometry) paint(spec *command.EventSpec, bySection [][]uint32) []holdfast.AllocationIndex {
	allocation := make([]holdfast.AllocationIndex, g.units) // Public
	for i, a := range spec.Allocations {
		for _, span := range a.Spans {
			rows := bySection[span.Section]
			if !g.general[span.Section] {
				rows = rows[span.Row : span.Row+1]
			}
			begin := uint32(0) // the place in the section of the row's first
			for _, r := range rows {
				if begin > span.Last {
					break
				}
				end := begin + uint32(g.rows[r].count)
				for p := max(begin, span.First); p < min(end, span.Last+1); p++ {
					allocation[g.rows[r].first+p-begin] = holdfast.AllocationIndex(i + 1)
				}
				begin = end
			}
		}
	}
	return allocation
}

// layStrips cuts rows where the allocation changes. Until layClasses, a strip's class is its classKey.
func (g *geometry) layStrips(allocation []holdfast.AllocationIndex) {
	for r := range g.rows {
		row := &g.rows[r]
		row.strips = uint32(len(g.strips))
		for i := range uint32(row.count) {
			u := row.first + i
			if i == 0 || allocation[u] != allocation[u-1] {
				g.strips = append(g.strips, strip{first: u, row: uint32(r), class: classKey(allocation[u], row.section, row.tier)})
			}
			if u%stride == 0 {
				g.at = append(g.at, uint32(len(g.strips)-1))
			}
		}
	}
	g.strips = append(g.strips, strip{first: g.units, row: uint32(len(g.rows))})
}

// classKey orders classes by allocation, then section, then tier.
func classKey(a holdfast.AllocationIndex, s holdfast.SectionIndex, t holdfast.TierIndex) uint32 {
	return uint32(a)<<24 | uint32(s)<<8 | uint32(t)
}

func (g *geometry) layClasses() {
	strips := g.strips[:len(g.strips)-1]
	for i := range strips {
		g.keys = append(g.keys, strips[i].class)
	}
	slices.Sort(g.keys)
	g.keys = slices.Clone(slices.Compact(g.keys))
	g.classes = make([]class, len(g.keys))
	for i := range strips {
		c, _ := slices.BinarySearch(g.keys, strips[i].class)
		strips[i].class = uint32(c)
		g.classes[c].to++ // for now, how many strips it has
	}
	place, blocks := uint32(0), uint32(0)
	for c, key := range g.keys {
		count := g.classes[c].to
		section := holdfast.SectionIndex(key >> 8)
		g.classes[c] = class{section: section, tier: holdfast.TierIndex(key), allocation: holdfast.AllocationIndex(key >> 24),
			general: g.general[section], from: place, to: place, blocks: blocks}
		place += count
		blocks += (count + blockStrips - 1) / blockStrips
	}
	g.order = make([]uint32, len(strips))
	for i := range strips {
		c := &g.classes[strips[i].class]
		strips[i].place = c.to
		g.order[c.to] = uint32(i)
		c.to++
		c.units += g.strips[i+1].first - strips[i].first
	}
}

// len gives the number of units.
func (g *geometry) len() int { return int(g.units) }

// strip gives the number of the unit's strip.
func (g *geometry) strip(u holdfast.SeatIndex) uint32 {
	s := g.at[u/stride]
	for g.strips[s+1].first <= uint32(u) {
		s++
	}
	return s
}

// stripEnd gives the first unit behind a strip.
func (g *geometry) stripEnd(s uint32) uint32 { return g.strips[s+1].first }

// class gives the number of the unit's class.
func (g *geometry) class(u holdfast.SeatIndex) uint32 { return g.strips[g.strip(u)].class }

// row gives the unit's row.
func (g *geometry) row(u holdfast.SeatIndex) *row { return &g.rows[g.strips[g.strip(u)].row] }

// tier gives the unit's price tier.
func (g *geometry) tier(u holdfast.SeatIndex) holdfast.TierIndex { return g.classes[g.class(u)].tier }

// section gives the unit's section.
func (g *geometry) section(u holdfast.SeatIndex) holdfast.SectionIndex {
	return g.classes[g.class(u)].section
}

// allocation gives the unit's allocation.
func (g *geometry) allocation(u holdfast.SeatIndex) holdfast.AllocationIndex {
	return g.classes[g.class(u)].allocation
}

// classesOf gives the classes that a want may take from, as a range: those of an allocation and, unless it is
// AnySection, a section. Tiers within it are the caller's to pass over.
func (g *geometry) classesOf(a holdfast.AllocationIndex, s holdfast.SectionIndex) (from, to int) {
	low, high := classKey(a, 0, 0), classKey(a, holdfast.AnySection, holdfast.AnyTier)
	if s != holdfast.AnySection {
		low, high = classKey(a, s, 0), classKey(a, s, holdfast.AnyTier)
	}
	from, _ = slices.BinarySearch(g.keys, low)
	to, _ = slices.BinarySearch(g.keys, high)
	return from, to
}
