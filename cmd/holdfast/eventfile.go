package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The event file describes an event for people and for git; event.yaml is an example with every form. Reading is
// strict: a field that is not known, or stands twice, is an error with its line, so that a slip of the pen never
// sells the wrong thing. All faults of a file are told at once.
//
//	field         form
//	price         major units as written, 49 or "49.00"; or price_minor: 4900
//	times         5m, 30s, 1h30m; cool_down: none
//	sections      name: Floor, or names: 101-116 for sections that are alike
//	rows          "A-Z x 24", "A-C x 18, D-F x 5-22" (seats 5 to 22), or a list of these and of {row: A, seats: 5-22, tier: gold};
//	              the best row first
//	places        how many people a section without seats takes
//	line          a waiting line, in eventline.go
//	allocations   runs of seats by section, row and number: {section: "101", rows: A-C, seats: 1-10}; all seats
//	              without seats, all rows without rows; {section: Floor, places: 1-200}
//	checkout      how money is taken: see eventcheckout.go

// eventFileBytesMax bounds what is read: every seat of a large venue by itself would fit.
const eventFileBytesMax = 4 << 20

// faultsMax is how many faults are told before the rest is dropped.
const faultsMax = 20

// fault is one thing wrong with a file.
type fault struct {
	File    string
	Line    int
	Field   string // as sections[3].tier, counted as in the file
	Message string
}

func (f *fault) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Field, f.Message)
}

// eventFile reads one file into a description.
type eventFile struct {
	name     string
	spec     command.EventSpec
	tiers    map[string]holdfast.TierIndex
	rowCount int // of all sections
	faults   []error
	// places says where in the file a part of the description comes from, by the name that the description's own
	// check gives it: short forms make sections[7] of the description another one than the file's.
	places map[string]place
}

type place struct {
	line  int
	field string
}

// readEventFile reads a description. name is for messages.
func readEventFile(name string, text []byte) (command.EventSpec, error) {
	f := &eventFile{name: name, tiers: map[string]holdfast.TierIndex{}, places: map[string]place{}}
	if len(text) > eventFileBytesMax {
		return command.EventSpec{}, invalidFile(fmt.Errorf("%s: %d bytes, at most %d", name, len(text), eventFileBytesMax))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return command.EventSpec{}, invalidFile(fmt.Errorf("%s: %w", name, err))
	}
	if len(doc.Content) == 0 {
		return command.EventSpec{}, invalidFile(fmt.Errorf("%s: the file is empty", name))
	}
	f.event(doc.Content[0])
	if len(f.faults) == 0 {
		f.check()
	}
	if len(f.faults) > 0 {
		return command.EventSpec{}, invalidFile(errors.Join(f.faults...))
	}
	return f.spec, nil
}

func invalidFile(err error) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "event file", Message: "nothing was changed", Err: err}
}

// check holds the description to the rules that every client is held to, and finds the place in the file.
func (f *eventFile) check() {
	var e *holdfast.Error
	if err := f.spec.Validate(); !errors.As(err, &e) {
		return
	}
	at, field := place{line: 1, field: e.Field}, e.Field
	for field != "" {
		if found, ok := f.places[field]; ok {
			at = found
			break
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	f.fail(at.line, at.field, "%s", e.Message)
}

func (f *eventFile) fail(line int, field, format string, args ...any) {
	if len(f.faults) < faultsMax {
		f.faults = append(f.faults, &fault{File: f.name, Line: line, Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// at notes that the part of the description called spec comes from n, which the file calls field.
func (f *eventFile) at(spec string, n *yaml.Node, field string) {
	f.places[spec] = place{line: n.Line, field: field}
}

func (f *eventFile) event(n *yaml.Node) {
	var rules, tiers, sections, allocations, checkout *yaml.Node
	f.mapping(n, "", fields{
		"name":  func(n *yaml.Node) { f.spec.Name = f.text(n, "name"); f.at("name", n, "name") },
		"title": func(n *yaml.Node) { f.spec.Title = f.text(n, "title"); f.at("title", n, "title") },
		"currency": func(n *yaml.Node) {
			f.spec.Currency = holdfast.Currency(f.text(n, "currency"))
			f.at("currency", n, "currency")
		},
		"line":        func(n *yaml.Node) { f.line(n) },
		"rules":       func(n *yaml.Node) { rules = n },
		"tiers":       func(n *yaml.Node) { tiers = n; f.at("tiers", n, "tiers") },
		"sections":    func(n *yaml.Node) { sections = n; f.at("sections", n, "sections") },
		"allocations": func(n *yaml.Node) { allocations = n; f.at("allocations", n, "allocations") },
		"checkout":    func(n *yaml.Node) { checkout = n },
	}, "name", "currency", "tiers", "sections")
	// In the order in which they need each other, whatever their order in the file.
	if rules != nil {
		f.rules(rules)
	}
	f.list(tiers, "tiers", f.tier)
	f.list(sections, "sections", f.section)
	f.list(allocations, "allocations", f.allocation)
	if checkout != nil {
		f.checkout(checkout)
	}
}

func (f *eventFile) rules(n *yaml.Node) {
	r := &f.spec.Rules
	set := func(name string, to *uint32) func(*yaml.Node) {
		return func(n *yaml.Node) { *to = f.duration(n, "rules."+name); f.at("rules."+name, n, "rules."+name) }
	}
	flag := func(name string, to *bool) func(*yaml.Node) {
		return func(n *yaml.Node) { *to = f.flag(n, "rules."+name) }
	}
	f.mapping(n, "rules", fields{
		"hold_ttl":   set("hold_ttl", &r.HoldTTLMs),
		"pay_window": set("pay_window", &r.PayWindowMs),
		"extension":  set("extension", &r.ExtensionMs),
		"cool_down": func(n *yaml.Node) {
			if r.SkipCoolDown = n.Value == "none"; !r.SkipCoolDown {
				set("cool_down", &r.CoolDownMs)(n)
			}
		},
		"seats_per_hold": func(n *yaml.Node) {
			r.SeatsPerHold = uint8(f.number(n, "rules.seats_per_hold", 1, holdfast.UnitsPerHoldMax))
		},
		"seats_per_buyer": func(n *yaml.Node) { r.SeatsPerBuyer = uint16(f.number(n, "rules.seats_per_buyer", 1, math.MaxUint16)) },
		"no_orphans":      flag("no_orphans", &r.NoOrphans),
		"many_open_holds": flag("many_open_holds", &r.ManyOpenHolds),
	})
}

func (f *eventFile) tier(n *yaml.Node, field string) {
	t, index, priced := command.Tier{}, len(f.spec.Tiers), 0
	f.at(fmt.Sprintf("tiers[%d]", index), n, field)
	f.mapping(n, field, fields{
		"name": func(n *yaml.Node) { t.Name = f.text(n, field+".name") },
		"price": func(n *yaml.Node) {
			var err error
			if t.PriceMinor, err = parsePrice(f.text(n, field+".price"), f.spec.Currency); err != nil {
				f.fail(n.Line, field+".price", "%v", err)
			}
			priced++
		},
		"price_minor": func(n *yaml.Node) {
			t.PriceMinor = int64(f.number(n, field+".price_minor", 0, command.PriceMinorMax))
			priced++
		},
	}, "name")
	if priced != 1 && n.Kind == yaml.MappingNode {
		f.fail(n.Line, field, "a tier needs a price: either price or price_minor")
	}
	f.spec.Tiers = append(f.spec.Tiers, t)
	if _, twice := f.tiers[t.Name]; !twice && index < command.TiersMax {
		f.tiers[t.Name] = holdfast.TierIndex(index)
	}
}

// tierNamed finds a tier by the name that n holds.
func (f *eventFile) tierNamed(n *yaml.Node, field string) holdfast.TierIndex {
	name := f.text(n, field)
	if t, ok := f.tiers[name]; ok {
		return t
	}
	names := make([]string, len(f.spec.Tiers))
	for i, t := range f.spec.Tiers {
		names[i] = t.Name
	}
	f.fail(n.Line, field, "there is no tier %q%s", name, didYouMean(name, names))
	return 0
}

// fields are what a mapping may hold, each with what reads it.
type fields map[string]func(*yaml.Node)

// mapping reads a mapping and refuses what it does not know.
func (f *eventFile) mapping(n *yaml.Node, field string, known fields, required ...string) {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		f.fail(n.Line, fieldOr(field), "expected fields with values")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		read, ok := known[key.Value]
		switch line, twice := seen[key.Value]; {
		case !ok:
			f.fail(key.Line, join(field, key.Value), "no such field%s", didYouMean(key.Value, sortedKeys(known)))
		case twice:
			f.fail(key.Line, join(field, key.Value), "stands in line %d already", line)
		default:
			seen[key.Value] = key.Line
			read(value)
		}
	}
	for _, name := range required {
		if seen[name] == 0 {
			f.fail(n.Line, join(field, name), "is missing")
		}
	}
}

// list reads a list's elements; no list is an empty one.
func (f *eventFile) list(n *yaml.Node, field string, element func(n *yaml.Node, field string)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		f.fail(n.Line, field, "expected a list")
		return
	}
	for i, e := range n.Content {
		element(resolve(e), fmt.Sprintf("%s[%d]", field, i))
	}
}

// text reads a scalar as it is written, so that a section may be called 101 without quotes.
func (f *eventFile) text(n *yaml.Node, field string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		f.fail(n.Line, field, "expected a value")
		return ""
	}
	return n.Value
}

func (f *eventFile) number(n *yaml.Node, field string, from, to uint64) uint64 {
	v, err := strconv.ParseUint(strings.ReplaceAll(f.text(n, field), "_", ""), 10, 64)
	if err != nil || v < from || v > to {
		f.fail(n.Line, field, "%q is not a number from %d to %d", n.Value, from, to)
		return from
	}
	return v
}

// duration reads a time into milliseconds.
func (f *eventFile) duration(n *yaml.Node, field string) uint32 {
	d, err := time.ParseDuration(f.text(n, field))
	if err != nil || d < time.Millisecond || d%time.Millisecond != 0 || d > command.TimeMsMax*time.Millisecond {
		f.fail(n.Line, field, "%q is not a time like 5m or 90s, from 1ms to a day", n.Value)
		return 0
	}
	return uint32(d / time.Millisecond)
}

func (f *eventFile) flag(n *yaml.Node, field string) bool {
	v := f.text(n, field)
	if v != "true" && v != "false" {
		f.fail(n.Line, field, "%q is neither true nor false", v)
	}
	return v == "true"
}

// resolve follows an alias to what it stands for. An alias cannot stand for a list of aliases of lists and so on
// without end: the form of the file is only a few levels deep.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

func fieldOr(field string) string {
	if field == "" {
		return "event"
	}
	return field
}

func sortedKeys(m fields) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// didYouMean names the known word that is nearest, when one is near.
func didYouMean(word string, known []string) string {
	best, distance := "", 1+len(word)/3
	for _, k := range known {
		if d := editDistance(word, k); d <= distance && (best == "" || d < editDistance(word, best)) {
			best = k
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance counts the letters to add, drop or change between two words, and swaps of neighbours (the optimal
// string alignment distance).
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, next := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			differs := 1
			if a[i-1] == b[j-1] {
				differs = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+differs)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
