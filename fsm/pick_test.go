package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// A drawing of a house has a line for each row, and a section ends where a line is empty:
//
//	.  free                 h p s b  held, in payment, sold, blocked
//	o  held by the asker    a        free, of allocation 1
//	*  chosen, named or near, in what is asked and answered
//
// A row whose line begins with 2 is of tier 1, any other of tier 0.

// drawn is a house made from a drawing.
type drawn struct {
	v     *inventory
	spec  *command.EventSpec
	lines []string
	own   []holdfast.SeatIndex
}

func drawHouse(tb testing.TB, lines ...string) *drawn {
	tb.Helper()
	d := &drawn{lines: lines, spec: &command.EventSpec{Name: "play", Currency: "eur", Tiers: []command.Tier{{Name: "near"}, {Name: "far"}}}}
	apart := command.Allocation{Name: "apart"}
	d.spec.Sections = []command.Section{{Name: "section 0"}}
	for _, line := range lines {
		section := &d.spec.Sections[len(d.spec.Sections)-1]
		if line == "" {
			d.spec.Sections = append(d.spec.Sections, command.Section{Name: fmt.Sprint("section ", len(d.spec.Sections))})
			continue
		}
		seats := strings.TrimPrefix(line, "2")
		row := command.Row{Label: fmt.Sprint(len(section.Rows)), First: 1, Seats: uint16(len(seats)), Tier: holdfast.AnyTier}
		if seats != line {
			row.Tier = 1
		}
		for i, mark := range seats {
			if mark == 'a' {
				apart.Spans = append(apart.Spans, command.Span{Section: holdfast.SectionIndex(len(d.spec.Sections) - 1), Row: uint16(len(section.Rows)), First: uint32(i), Last: uint32(i)})
			}
		}
		section.Rows = append(section.Rows, row)
	}
	d.spec.Allocations = []command.Allocation{apart}
	d.v = newInventory(tb, d.spec)
	for u, mark := range d.marks() {
		if i := strings.IndexRune("hpsb", mark); i >= 0 {
			bring(d.v, holdfast.SeatIndex(u), []holdfast.SeatState{holdfast.Held, holdfast.Paying, holdfast.Sold, holdfast.Blocked}[i], 7)
		}
		if mark == 'o' {
			bring(d.v, holdfast.SeatIndex(u), holdfast.Held, 8)
			d.own = append(d.own, holdfast.SeatIndex(u))
		}
	}
	return d
}

// marks gives what is drawn for each unit.
func (d *drawn) marks() string { return marks(d.lines) }

func marks(lines []string) string { return strings.ReplaceAll(strings.Join(lines, ""), "2", "") }

// starred gives the units that a drawing of the house marks with *.
func starred(lines ...string) (units []holdfast.SeatIndex) {
	for u, mark := range marks(lines) {
		if mark == '*' {
			units = append(units, holdfast.SeatIndex(u))
		}
	}
	return units
}

// with gives the drawing with * where the units are.
func (d *drawn) with(units []holdfast.SeatIndex) []string {
	var lines []string
	u := holdfast.SeatIndex(0)
	for _, line := range d.lines {
		var b strings.Builder
		for _, mark := range line {
			if mark != '2' {
				if slices.Contains(units, u) {
					mark = '*'
				}
				u++
			}
			b.WriteRune(mark)
		}
		lines = append(lines, b.String())
	}
	return lines
}

func TestBest(t *testing.T) {
	any := command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Adjacent: true}
	in := func(s holdfast.SectionIndex) command.Want { w := any; w.Section = s; return w }
	far := any
	far.Tier = 1
	apart := any
	apart.Adjacent = false
	for _, c := range []struct {
		rule string
		want command.Want
		n    uint8
		rows []string // want: the same with * where units are chosen, or an outcome
		get  []string
	}{
		{"the front row, in the middle", any, 2, []string{"......", "......"}, []string{"..**..", "......"}},
		{"of two as near the lower number", any, 1, []string{"......"}, []string{"..*..."}},
		{"an odd number in an even row", any, 3, []string{"......"}, []string{".***.."}},
		{"the first row that has a run", any, 3, []string{"..s..s", "h.h.h.", ".b...."}, []string{"..s..s", "h.h.h.", ".b***."}},
		{"the run nearest the middle", any, 2, []string{"..ss....ss"}, []string{"..ss**..ss"}},
		{"a far run when the near ones are short", any, 3, []string{"...s.s..s"}, []string{"***s.s..s"}},
		{"seats of another allocation end a run", any, 2, []string{"..a..", ".a.a."}, []string{"**a..", ".a.a."}},
		{"sections in their order", any, 2, []string{"s.s", "", "....", "", "...."}, []string{"s.s", "", ".**.", "", "...."}},
		{"the named section only", in(2), 2, []string{"....", "", "....", "", "...."}, []string{"....", "", "....", "", ".**."}},
		{"the named tier only", far, 2, []string{"....", "2....", "...."}, []string{"....", "2.**.", "...."}},
		{"any tier: the front row of either", any, 4, []string{"..s.", "2.....", "....."}, []string{"..s.", "2****.", "....."}},
		{"need not be adjacent, but can", apart, 3, []string{"..s.", "...."}, []string{"..s.", "***."}},
		{"the longest run first, then the rest", apart, 4, []string{".s..s", ".s.s.", "s..ss"}, []string{".s**s", ".s.s.", "s**ss"}},
		{"the longest run first, whole, then one seat", apart, 3, []string{"s.s", "..s"}, []string{"s*s", "**s"}},
		{"adjacent seats may return", any, 2, []string{".h.", "s.s"}, []string{holdfast.NotEnough.String()}},
		{"adjacent seats cannot return", any, 2, []string{".s.", "s.s"}, []string{holdfast.SoldOut.String()}},
		{"in payment may return", apart, 3, []string{".p.s"}, []string{holdfast.NotEnough.String()}},
		{"too few even if all return", apart, 4, []string{".p.s"}, []string{holdfast.SoldOut.String()}},
		{"blocked and another's are no hope", apart, 3, []string{".b.a"}, []string{holdfast.SoldOut.String()}},
		{"held elsewhere is no hope", in(1), 2, []string{".hh.", "", ".s"}, []string{holdfast.SoldOut.String()}},
		{"own units are free", any, 3, []string{"h.oos", "....h"}, []string{"h***s", "....h"}},
		{"own units are free at once", any, 3, []string{".oos"}, []string{"***s"}},
		{"own units are no hope", any, 3, []string{"oos."}, []string{holdfast.SoldOut.String()}},
		{"own units do not return besides", any, 4, []string{".oos"}, []string{holdfast.SoldOut.String()}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := drawHouse(t, c.rows...)
			c.want.Count = c.n
			var got choice
			o := got.choose(d.v, &ask{wants: []command.Want{c.want}, own: d.own})
			if drawing := d.with(got.units); o == holdfast.OK && !slices.Equal(drawing, c.get) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(drawing, "\n"), strings.Join(c.get, "\n"))
			} else if o != holdfast.OK && o.String() != c.get[0] {
				t.Errorf("got %s, want %s", o, strings.Join(c.get, "\n"))
			}
			if wrong := d.v.check(); len(wrong) > 0 {
				t.Error(wrong)
			}
		})
	}
}

// TestRefusedSeats names seats that are not to be had. What comes near is drawn as a house with * for the seats.
func TestRefusedSeats(t *testing.T) {
	const notForYou, sold, paying, held = holdfast.SeatNotForYou, holdfast.SeatSold, holdfast.SeatInPayment, holdfast.SeatHeld
	for _, c := range []struct {
		rule                 string
		rows                 []string
		named, taken, nearBy []string
		outcome              holdfast.Outcome
	}{
		{"the nearest in the row", []string{".......hh..."}, []string{".......**..."}, []string{".......**..."}, []string{".....**hh..."}, held},
		{"one of two: near both", []string{"...h...."}, []string{"..**...."}, []string{"...*...."}, []string{".**h...."}, held},
		{"the same row before a nearer one", []string{"........h", "........."}, []string{"........*", "........."}, []string{"........*", "........."}, []string{".......*h", "........."}, held},
		{"the row in front before the one behind", []string{"...", "ppp", "..."}, []string{"...", ".*.", "..."}, []string{"...", ".*.", "..."}, []string{".*.", "ppp", "..."}, paying},
		{"the nearest row", []string{"....", "s..s", "hhhh", ".s.s", "...."}, []string{"....", "s..s", "**hh", ".s.s", "...."}, []string{"....", "s..s", "**hh", ".s.s", "...."}, []string{"....", "s**s", "hhhh", ".s.s", "...."}, held},
		{"a row of the same tier", []string{"ss", "2..", ".."}, []string{"**", "2..", ".."}, []string{"**", "2..", ".."}, []string{"ss", "2..", "**"}, sold},
		{"no other section", []string{"ss", "", ".."}, []string{"**", "", ".."}, []string{"**", "", ".."}, nil, sold},
		{"as many as were named in all rows", []string{"s....", "....."}, []string{"*....", "*...."}, []string{"*....", "....."}, []string{"s**..", "....."}, sold},
		{"all that are taken, the first reason", []string{"hpsba."}, []string{"******"}, []string{"*****."}, nil, notForYou},
		{"sold goes before in payment", []string{"hps..."}, []string{"***..."}, []string{"***..."}, []string{"hps***"}, sold},
		{"in payment goes before held", []string{"hp...."}, []string{"**...."}, []string{"**...."}, []string{"hp**.."}, paying},
		{"blocked is not for you", []string{"b.."}, []string{"*.."}, []string{"*.."}, []string{"b*."}, notForYou},
		{"another's is not for you, though free", []string{"a.."}, []string{"*.."}, []string{"*.."}, []string{"a*."}, notForYou},
		{"own seats are not taken, nor an alternative", []string{"ooh..."}, []string{".**..."}, []string{"..*..."}, []string{"ooh**."}, held},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := drawHouse(t, c.rows...)
			a := &ask{own: d.own, wants: []command.Want{{Kind: command.WantSeats, Seats: starred(c.named...)}}}
			var got choice
			if o := got.choose(d.v, a); o != c.outcome {
				t.Errorf("got %s, want %s", o, c.outcome)
			}
			got.explain(d.v, a, c.outcome)
			if want := starred(c.taken...); !slices.Equal(got.taken, want) {
				t.Errorf("taken %v, want %v", got.taken, want)
			}
			if want := starred(c.nearBy...); !slices.Equal(got.near, want) {
				t.Errorf("near %v, want %v", got.near, want)
			}
			if wrong := d.v.check(); len(wrong) > 0 {
				t.Error(wrong)
			}
		})
	}
}

// TestWantsKeepOffEachOther asks for a mix: named seats first, then each want in its order.
func TestWantsKeepOffEachOther(t *testing.T) {
	d := drawHouse(t, "......")
	best := command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2, Adjacent: true}
	var got choice
	o := got.choose(d.v, &ask{wants: []command.Want{best, {Kind: command.WantSeats, Seats: []holdfast.SeatIndex{3}}, best}})
	if want := []holdfast.SeatIndex{3, 1, 2, 4, 5}; o != holdfast.OK || !slices.Equal(got.units, want) {
		t.Errorf("%s, %v; want %v", o, got.units, want)
	}
	o = got.choose(d.v, &ask{wants: []command.Want{best, best, best, best}})
	if o != holdfast.SoldOut || len(got.units) != 0 {
		t.Errorf("%s, %v; four pairs of six seats", o, got.units)
	}
	if wrong := d.v.check(); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestGeneralAdmissionTakesTheFirstPlaces(t *testing.T) {
	spec := &command.EventSpec{Name: "festival", Currency: "eur", Tiers: []command.Tier{{Name: "day"}},
		Sections: []command.Section{{Name: "field", Places: 6}}}
	v := newInventory(t, spec)
	bring(v, 1, holdfast.Sold, 7)
	bring(v, 4, holdfast.Held, 7)
	for _, c := range []struct {
		n       uint8
		outcome holdfast.Outcome
		units   []holdfast.SeatIndex
	}{{1, holdfast.OK, []holdfast.SeatIndex{0}}, {4, holdfast.OK, []holdfast.SeatIndex{0, 2, 3, 5}}, {5, holdfast.NotEnough, nil}, {6, holdfast.SoldOut, nil}} {
		var got choice
		o := got.choose(v, &ask{wants: []command.Want{{Kind: command.WantGeneral, Count: c.n}}})
		if o != c.outcome || !slices.Equal(got.units, c.units) {
			t.Errorf("%d places: %s, %v; want %s, %v", c.n, o, got.units, c.outcome, c.units)
		}
	}

	// Places by number, as a swap may name its own: near are any others.
	var got choice
	a := &ask{wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{1, 2}}}}
	got.explain(v, a, got.choose(v, a))
	if want := []holdfast.SeatIndex{0, 2}; !slices.Equal(got.near, want) {
		t.Errorf("near %v, want %v", got.near, want)
	}
}

// TestChoosingAllocatesNothing asks in every way, again and again.
func TestChoosingAllocatesNothing(t *testing.T) {
	v := newInventory(t, stadium(3, 200))
	v.hold(scattered(3))
	asks := []*ask{bestOf(2, true), bestOf(7, false), bestOf(64, true)}
	for u := range holdfast.SeatIndex(100) {
		asks = append(asks, &ask{noOrphans: true, wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{u, u + 1}}}})
	}
	var c choice
	all := func() {
		for _, a := range asks {
			c.explain(v, a, c.choose(v, a))
		}
	}
	all()
	if n := testing.AllocsPerRun(3, all); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
