package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Sections, rows and allocations of the event file.

// section reads one section, or several that are alike.
func (f *eventFile) section(n *yaml.Node, field string) {
	var names []string
	sec := command.Section{}
	f.mapping(n, field, fields{
		"name":   func(n *yaml.Node) { names = append(names, f.text(n, field+".name")) },
		"names":  func(n *yaml.Node) { names = append(names, f.labels(n, field+".names")...) },
		"tier":   func(n *yaml.Node) { sec.Tier = f.tierNamed(n, field+".tier") },
		"rows":   func(n *yaml.Node) { sec.Rows = f.rows(n, field+".rows") },
		"places": func(n *yaml.Node) { sec.Places = uint32(f.number(n, field+".places", 1, holdfast.UnitsPerEventMax)) },
	}, "tier")
	if len(names) == 0 && n.Kind == yaml.MappingNode {
		f.fail(n.Line, field+".name", "is missing")
	}
	// Before memory is taken for them: a few lines can stand for very many.
	f.rowCount += len(names) * len(sec.Rows)
	if len(f.spec.Sections)+len(names) > command.SectionsMax || f.rowCount > command.RowsMax {
		f.fail(n.Line, field, "more than %d sections, or %d rows in all", command.SectionsMax, command.RowsMax)
		return
	}
	for _, name := range names {
		f.at(fmt.Sprintf("sections[%d]", len(f.spec.Sections)), n, field)
		sec.Name = name
		sec.Rows = slices.Clone(sec.Rows)
		f.spec.Sections = append(f.spec.Sections, sec)
	}
}

// rows reads the short form, or a list of short forms and single rows.
func (f *eventFile) rows(n *yaml.Node, field string) (rows []command.Row) {
	if n.Kind == yaml.ScalarNode {
		return f.shortRows(n, field)
	}
	f.list(n, field, func(n *yaml.Node, field string) {
		if n.Kind == yaml.ScalarNode {
			rows = append(rows, f.shortRows(n, field)...)
			return
		}
		var labels []string
		numbers, tier := numberRange{}, holdfast.AnyTier
		f.mapping(n, field, fields{
			"row":   func(n *yaml.Node) { labels = append(labels, f.text(n, field+".row")) },
			"rows":  func(n *yaml.Node) { labels = append(labels, f.labels(n, field+".rows")...) },
			"seats": func(n *yaml.Node) { numbers = f.rowSeats(n, f.text(n, field+".seats"), field+".seats") },
			"tier":  func(n *yaml.Node) { tier = f.tierNamed(n, field+".tier") },
		}, "seats")
		if len(labels) == 0 && n.Kind == yaml.MappingNode {
			f.fail(n.Line, field+".row", "is missing")
		}
		rows = append(rows, rowsOf(labels, numbers, tier)...)
	})
	return rows
}

// shortRows reads "A-Z x 24", or several of these separated by commas.
func (f *eventFile) shortRows(n *yaml.Node, field string) (rows []command.Row) {
	for part := range strings.SplitSeq(f.text(n, field), ",") {
		run, seats, ok := strings.Cut(part, " x ")
		if !ok {
			f.fail(n.Line, field, "%q is not rows and seats like A-Z x 24", strings.TrimSpace(part))
			continue
		}
		labels, err := expandLabels(run)
		if err != nil {
			f.fail(n.Line, field, "%v", err)
			continue
		}
		rows = append(rows, rowsOf(labels, f.rowSeats(n, strings.TrimSpace(seats), field), holdfast.AnyTier)...)
	}
	return rows
}

// rowSeats reads how many seats a row has, or the numbers on them.
func (f *eventFile) rowSeats(n *yaml.Node, text, field string) numberRange {
	r, err := parseRange(text)
	switch {
	case err != nil:
		f.fail(n.Line, field, "%v", err)
	case !strings.Contains(text, "-"):
		r.From = 1
	}
	if err == nil && (r.To < r.From || r.To-r.From >= command.RowSeatsMax || r.To >= math.MaxUint16) {
		f.fail(n.Line, field, "%q: a row has 1 to %d seats with numbers below %d", text, command.RowSeatsMax, math.MaxUint16)
		return numberRange{}
	}
	return r
}

func rowsOf(labels []string, numbers numberRange, tier holdfast.TierIndex) []command.Row {
	rows := make([]command.Row, len(labels))
	for i, label := range labels {
		rows[i] = command.Row{Label: label, First: uint16(numbers.From), Seats: uint16(numbers.To - numbers.From + 1), Tier: tier}
	}
	return rows
}

func (f *eventFile) labels(n *yaml.Node, field string) []string {
	labels, err := expandLabels(f.text(n, field))
	if err != nil {
		f.fail(n.Line, field, "%v", err)
	}
	return labels
}

func (f *eventFile) allocation(n *yaml.Node, field string) {
	index := len(f.spec.Allocations)
	f.at(fmt.Sprintf("allocations[%d]", index), n, field)
	a := command.Allocation{}
	f.mapping(n, field, fields{
		"name": func(n *yaml.Node) { a.Name = f.text(n, field+".name") },
		"seats": func(n *yaml.Node) {
			f.list(n, field+".seats", func(n *yaml.Node, field string) {
				from := len(a.Spans)
				a.Spans = append(a.Spans, f.spans(n, field)...)
				for i := from; i < len(a.Spans); i++ {
					f.at(fmt.Sprintf("allocations[%d].seats[%d]", index, i), n, field)
				}
			})
		},
	}, "name")
	f.spec.Allocations = append(f.spec.Allocations, a)
}

// setApart is one element of an allocation, as it is written.
type setApart struct {
	sections      []string
	rows          string // empty: all
	seats, places []numberRange
}

// spans reads one element of an allocation.
func (f *eventFile) spans(n *yaml.Node, field string) (spans []command.Span) {
	var q setApart
	ranges := func(name string, to *[]numberRange) func(*yaml.Node) {
		return func(n *yaml.Node) {
			var err error
			if *to, err = parseRanges(f.text(n, field+"."+name)); err != nil {
				f.fail(n.Line, field+"."+name, "%v", err)
			}
		}
	}
	f.mapping(n, field, fields{
		"section":  func(n *yaml.Node) { q.sections = append(q.sections, f.text(n, field+".section")) },
		"sections": func(n *yaml.Node) { q.sections = append(q.sections, f.labels(n, field+".sections")...) },
		"rows":     func(n *yaml.Node) { q.rows = f.text(n, field+".rows") },
		"seats":    ranges("seats", &q.seats),
		"places":   ranges("places", &q.places),
	})
	if len(q.sections) == 0 {
		f.fail(n.Line, field+".section", "is missing")
	}
	for _, name := range q.sections {
		index := slices.IndexFunc(f.spec.Sections, func(s command.Section) bool { return s.Name == name })
		if index < 0 {
			f.fail(n.Line, field+".section", "there is no section %q%s", name, didYouMean(name, f.sectionNames()))
			continue
		}
		more, err := q.spansIn(&f.spec.Sections[index], holdfast.SectionIndex(index))
		if err != nil {
			f.fail(n.Line, field, "section %q: %v", name, err)
		}
		if spans = append(spans, more...); len(spans) > command.SpansMax {
			f.fail(n.Line, field, "more than %d runs of seats", command.SpansMax)
			return nil
		}
	}
	return spans
}

func (f *eventFile) sectionNames() []string {
	names := make([]string, len(f.spec.Sections))
	for i := range f.spec.Sections {
		names[i] = f.spec.Sections[i].Name
	}
	return names
}

// spansIn gives the runs that are set apart in one section.
func (q *setApart) spansIn(sec *command.Section, index holdfast.SectionIndex) (spans []command.Span, err error) {
	if sec.General() {
		return q.placesIn(sec, index)
	}
	if q.places != nil {
		return nil, fmt.Errorf("it has rows: name them and the seats instead of places")
	}
	rows, err := q.rowsIn(sec)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		row := &sec.Rows[r]
		first, last := uint32(row.First), uint32(row.First)+uint32(row.Seats)-1
		seats := q.seats
		if seats == nil {
			seats = []numberRange{{first, last}}
		}
		for _, s := range seats {
			if s.From < first || s.To > last {
				return nil, fmt.Errorf("row %q has seats %d to %d, not %s", row.Label, first, last, s)
			}
			spans = append(spans, command.Span{Section: index, Row: uint16(r), First: s.From - first, Last: s.To - first})
		}
	}
	return spans, nil
}

// placesIn gives runs of places, which are counted from 1 in the file.
func (q *setApart) placesIn(sec *command.Section, index holdfast.SectionIndex) (spans []command.Span, err error) {
	if q.rows != "" || q.seats != nil {
		return nil, fmt.Errorf("it has no rows: name places instead")
	}
	places := q.places
	if places == nil {
		places = []numberRange{{1, sec.Places}}
	}
	for _, p := range places {
		if p.From < 1 || p.To > sec.Places {
			return nil, fmt.Errorf("it has places 1 to %d, not %s", sec.Places, p)
		}
		spans = append(spans, command.Span{Section: index, First: p.From - 1, Last: p.To - 1})
	}
	return spans, nil
}

// rowsIn finds the rows by their labels: a row that is called just as it is written, else what the short form
// stands for.
func (q *setApart) rowsIn(sec *command.Section) (rows []int, err error) {
	at, all := make(map[string]int, len(sec.Rows)), make([]int, len(sec.Rows))
	for i, row := range sec.Rows {
		at[row.Label], all[i] = i, i
	}
	if q.rows == "" {
		return all, nil
	}
	if i, ok := at[q.rows]; ok {
		return []int{i}, nil
	}
	labels, err := expandLabels(q.rows)
	for _, label := range labels {
		i, ok := at[label]
		if !ok {
			return nil, fmt.Errorf("there is no row %q", label)
		}
		rows = append(rows, i)
	}
	return rows, err
}
