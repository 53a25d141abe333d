package main

import (
	_ "embed"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// smallest is the least that an event file holds; tests add to it.
const smallest = `name: a
currency: eur
tiers:
  - {name: one, price: 49}
sections:
  - {name: Floor, tier: one, places: 10}
`

func TestTheArenaIsAsDescribed(t *testing.T) {
	spec, err := readEventFile("event.yaml", arenaFile)
	if err != nil {
		t.Fatal(err)
	}
	sizes, apart := map[string]int{}, map[string]int{}
	for i := range spec.Sections {
		sec := &spec.Sections[i]
		sizes["all"] += int(sec.Places)
		for _, row := range sec.Rows {
			sizes["all"] += int(row.Seats)
			if row.Tier != holdfast.AnyTier {
				sizes[spec.Tiers[row.Tier].Name] += int(row.Seats)
			}
		}
	}
	for _, a := range spec.Allocations {
		for _, s := range a.Spans {
			apart[a.Name] += int(s.Last-s.First) + 1
		}
	}
	if spec.Units() != sizes["all"] || spec.Units() < 19_000 || spec.Units() > 21_000 {
		t.Errorf("%d units, counted %d", spec.Units(), sizes["all"])
	}
	if want := map[string]int{"accessible": 120, "sponsor": 2*6*20 + 100}; !reflect.DeepEqual(apart, want) {
		t.Errorf("set apart: %v, want %v", apart, want)
	}
	if sizes["last rows"] != 24*6*18 {
		t.Errorf("%d seats in the last rows", sizes["last rows"])
	}
	if sizes["all"] != 19_750 {
		t.Errorf("the file says 19,750 places and has %d", sizes["all"])
	}
}

func TestShortFormsMeanWhatTheySay(t *testing.T) {
	text := `
name: short-forms
title: Every form
currency: jpy
rules: {hold_ttl: 90s, cool_down: none, seats_per_hold: 4, seats_per_buyer: 1_000, no_orphans: true}
tiers: [{name: gold, price: 5000}, {name: silver, price_minor: 3000}]
sections:
  - {names: "8-10", tier: gold, rows: "A-B x 3, AA x 5-7"}
  - name: 11
    tier: silver
    rows:
      - "Z-AB x 2"
      - {row: A-B, seats: 7-7, tier: gold}
      - {rows: "x-z", seats: 4}
  - {name: Floor, tier: silver, places: 50}
allocations:
  - name: press
    seats:
      - {sections: 8-9, rows: "A, AA"}
      - {section: 11, rows: A-B}
      - {section: "11", rows: y-z, seats: "1, 3-4"}
      - {section: Floor, places: "1-5, 9"}
`
	got, err := readEventFile("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	row := func(label string, first, seats uint16, tier holdfast.TierIndex) command.Row {
		return command.Row{Label: label, First: first, Seats: seats, Tier: tier}
	}
	alike := []command.Row{row("A", 1, 3, holdfast.AnyTier), row("B", 1, 3, holdfast.AnyTier), row("AA", 5, 3, holdfast.AnyTier)}
	want := command.EventSpec{
		Name: "short-forms", Title: "Every form", Currency: "jpy",
		Rules: command.Rules{HoldTTLMs: 90_000, SkipCoolDown: true, SeatsPerHold: 4, SeatsPerBuyer: 1000, NoOrphans: true},
		Tiers: []command.Tier{{Name: "gold", PriceMinor: 5000}, {Name: "silver", PriceMinor: 3000}},
		Sections: []command.Section{
			{Name: "8", Rows: alike}, {Name: "9", Rows: alike}, {Name: "10", Rows: alike},
			{Name: "11", Tier: 1, Rows: []command.Row{
				row("Z", 1, 2, holdfast.AnyTier), row("AA", 1, 2, holdfast.AnyTier), row("AB", 1, 2, holdfast.AnyTier),
				row("A-B", 7, 1, 0),
				row("x", 1, 4, holdfast.AnyTier), row("y", 1, 4, holdfast.AnyTier), row("z", 1, 4, holdfast.AnyTier)}},
			{Name: "Floor", Tier: 1, Places: 50},
		},
		Allocations: []command.Allocation{{Name: "press", Spans: []command.Span{
			{Section: 0, Row: 0, Last: 2}, {Section: 0, Row: 2, Last: 2}, {Section: 1, Row: 0, Last: 2}, {Section: 1, Row: 2, Last: 2},
			{Section: 3, Row: 3},
			{Section: 3, Row: 5}, {Section: 3, Row: 5, First: 2, Last: 3}, {Section: 3, Row: 6}, {Section: 3, Row: 6, First: 2, Last: 3},
			{Section: 4, Last: 4}, {Section: 4, First: 8, Last: 8},
		}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFaultsAreToldWithLineAndField(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(smallest, old, new, 1) }
	for _, c := range []struct{ file, want string }{
		{smallest + "colour: red\n", "x.yaml:7: colour: no such field"},
		{smallest + "allocatons: []\n", `x.yaml:7: allocatons: no such field; did you mean "allocations"?`},
		{smallest + "rules:\n  hold_tll: 5m\n", `x.yaml:8: rules.hold_tll: no such field; did you mean "hold_ttl"?`},
		{smallest + "rules:\n  hold_ttl: 5\n", `x.yaml:8: rules.hold_ttl: "5" is not a time like 5m`},
		{smallest + "rules:\n  seats_per_hold: 65\n", `x.yaml:8: rules.seats_per_hold: "65" is not a number from 1 to 64`},
		{smallest + "rules:\n  no_orphans: yes\n", `x.yaml:8: rules.no_orphans: "yes" is neither true nor false`},
		{smallest + "name: b\n", "x.yaml:7: name: stands in line 1 already"},
		{replace("name: a\n", ""), "x.yaml:1: name: is missing"},
		{replace("name: a\n", "name: An Event\n"), "x.yaml:1: name: \"An Event\": lower-case letters"},
		{replace("currency: eur", "currency: EUR"), "x.yaml:2: currency: "},
		{replace("price: 49", "price: 49.5"), `x.yaml:4: tiers[0].price: "49.5": eur has 2 decimals: write all of them, or none`},
		{replace("price: 49", "price: free"), `x.yaml:4: tiers[0].price: "free" is not a price like 49.00`},
		{replace(", price: 49", ""), "x.yaml:4: tiers[0]: a tier needs a price"},
		{replace("price: 49", "price: 49, price_minor: 4900"), "x.yaml:4: tiers[0]: a tier needs a price"},
		{replace("tier: one", "tier: onne"), `x.yaml:6: sections[0].tier: there is no tier "onne"; did you mean "one"?`},
		{replace("places: 10", "places: 0"), "x.yaml:6: sections[0].places: "},
		{replace(", places: 10", ""), `x.yaml:6: sections[0]: "Floor" needs either rows or a number of places`},
		{replace("places: 10", "rows: A-Z"), `x.yaml:6: sections[0].rows: "A-Z" is not rows and seats like A-Z x 24`},
		{replace("places: 10", "rows: A-9 x 24"), "x.yaml:6: sections[0].rows: A-9 is not a run"},
		{replace("places: 10", "rows: C-A x 24"), "x.yaml:6: sections[0].rows: C-A does not count up"},
		{replace("places: 10", "rows: A x 0"), `x.yaml:6: sections[0].rows: "0": a row has 1 to 4096 seats`},
		{replace("places: 10", `rows: "A x 5, A x 6"`), `x.yaml:6: sections[0]: "A" stands twice`},
		{replace("places: 10", `rows: [{row: A}]`), "x.yaml:6: sections[0].rows[0].seats: is missing"},
		{replace("places: 10", `rows: [{seats: 3}]`), "x.yaml:6: sections[0].rows[0].row: is missing"},
		{replace("name: Floor", `names: "1-3, 2"`), `x.yaml:6: sections[0]: "2" stands twice`},
		{replace("name: Floor", `names: 1-9999`), "x.yaml:6: sections[0]: more than 4096 sections"},
		{smallest + "allocations:\n  - {name: x, seats: [{section: Flor}]}\n", `x.yaml:8: allocations[0].seats[0].section: there is no section "Flor"; did you mean "Floor"?`},
		{smallest + "allocations:\n  - {name: x, seats: [{section: Floor, places: 5-11}]}\n", `x.yaml:8: allocations[0].seats[0]: section "Floor": it has places 1 to 10, not 5-11`},
		{smallest + "allocations:\n  - {name: x, seats: [{section: Floor, rows: A}]}\n", "it has no rows: name places instead"},
		{smallest + "allocations:\n  - name: x\n    seats:\n    - {section: Floor, places: 1-3}\n    - {section: Floor, places: 3}\n", "x.yaml:8: allocations: 2 of row 0 in section \"Floor\" is set apart twice"},
		{smallest + "line: {opens: tomorrow}\n", `x.yaml:7: line.opens: "tomorrow" is not an instant with its offset`},
		{smallest + "line:\n  opens: 2026-11-27T10:00:00\n", `x.yaml:8: line.opens: "2026-11-27T10:00:00" is not an instant with its offset`},
		{smallest + "line:\n  opens: 2026-11-27T10:00:00Z\n  draw: 2026-11-27T09:00:00Z\n", "x.yaml:9: line.draw: it comes before what it follows"},
		{smallest + "line:\n  cieling: 5\n", `x.yaml:8: line.cieling: no such field; did you mean "ceiling"?`},
		{smallest + "line: {who: acount}\n", `x.yaml:7: line.who: "acount" is none of anonymous, link, account and assertion; did you mean "account"?`},
		{smallest + "line: {challenge: work}\n", "x.yaml:7: line: 0 bits of work with challenge 1"},
		{smallest + "line:\n  challenge: none\n  work_bits: 9\n", "x.yaml:9: line.work_bits: 9 bits of work with challenge 0"},
		{smallest + "line:\n  beacon: {key: abc, genesis: 2026-01-01T00:00:00Z, period: 30s}\n", `x.yaml:8: line.beacon.key: "abc" is not an Ed25519 public key`},
		{smallest + "line:\n  beacon: {period: 30s}\n", "x.yaml:8: line.beacon.key: is missing"},
		{smallest + "line: 5\n", "x.yaml:7: line: expected fields with values"},
		{"", "the file is empty"},
		{"- 1\n", "x.yaml:1: event: expected fields with values"},
		{"a: [\n", "x.yaml: "},
	} {
		_, err := readEventFile("x.yaml", []byte(c.file))
		if holdfast.KindOf(err) != holdfast.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %s\ngot  %v\nof:\n%s", c.want, err, c.file)
		}
	}
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	_, err := readEventFile("x.yaml", []byte("nam: a\ncurrency: eur\ntiers: [{name: one}]\nsections: {}\n"))
	for _, want := range []string{`nam: no such field; did you mean "name"?`, "name: is missing", "a tier needs a price", "sections: expected a list"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestAFewLinesCannotTakeMuchMemory(t *testing.T) {
	file := strings.Replace(smallest, "{name: Floor, tier: one, places: 10}", `{names: 1-4096, tier: one, rows: "1-60000 x 4000"}`, 1)
	if _, err := readEventFile("x.yaml", []byte(file)); err == nil || !strings.Contains(err.Error(), "rows in all") {
		t.Errorf("got %v", err)
	}
}

// TestFormatIsReadsInverse draws descriptions with awkward labels.
func TestFormatIsReadsInverse(t *testing.T) {
	label := rapid.SampledFrom([]string{"A", "B", "C", "D", "Z", "AA", "AB", "1", "2", "3", "01", "02", "A-C", "1-2", "x, y", "true", "~", "Ä", "a", "b", " s"})
	rapid.Check(t, func(t *rapid.T) {
		s := command.EventSpec{Name: "e", Title: rapid.SampledFrom([]string{"", "T: x"}).Draw(t, "title"), Currency: holdfast.Currency(rapid.SampledFrom([]string{"eur", "jpy", "kwd"}).Draw(t, "currency"))}
		s.Rules = command.Rules{HoldTTLMs: rapid.Uint32Range(0, 100_000).Draw(t, "ttl"), SkipCoolDown: rapid.Bool().Draw(t, "skip"), NoOrphans: rapid.Bool().Draw(t, "orphans")}
		if rapid.Bool().Draw(t, "line") {
			s.Line = drawnLine(t)
		}
		for _, name := range rapid.SliceOfNDistinct(label, 1, 3, rapid.ID).Draw(t, "tiers") {
			s.Tiers = append(s.Tiers, command.Tier{Name: name, PriceMinor: rapid.Int64Range(0, 100_000).Draw(t, "price")})
		}
		tier := rapid.IntRange(0, len(s.Tiers)-1)
		for _, name := range rapid.SliceOfNDistinct(label, 1, 3, rapid.ID).Draw(t, "sections") {
			sec := command.Section{Name: name, Tier: holdfast.TierIndex(tier.Draw(t, "tier"))}
			if rapid.Bool().Draw(t, "general") {
				sec.Places = rapid.Uint32Range(1, 50).Draw(t, "places")
			} else {
				for _, l := range rapid.SliceOfNDistinct(label, 1, 8, rapid.ID).Draw(t, "rows") {
					row := command.Row{Label: l, First: rapid.Uint16Range(0, 1).Draw(t, "first"), Seats: rapid.Uint16Range(1, 2).Draw(t, "seats"), Tier: holdfast.AnyTier}
					if rapid.IntRange(0, 4).Draw(t, "row tier") == 0 {
						row.Tier = holdfast.TierIndex(tier.Draw(t, "tier"))
					}
					sec.Rows = append(sec.Rows, row)
				}
			}
			s.Sections = append(s.Sections, sec)
		}
		a := command.Allocation{Name: "press"}
		for i := range s.Sections {
			sec := &s.Sections[i]
			if sec.General() {
				a.Spans = append(a.Spans, command.Span{Section: holdfast.SectionIndex(i), Last: sec.Places - 1})
			}
			for r, row := range sec.Rows {
				if rapid.Bool().Draw(t, "apart") {
					a.Spans = append(a.Spans, command.Span{Section: holdfast.SectionIndex(i), Row: uint16(r), Last: uint32(row.Seats) - 1})
				}
			}
		}
		s.Allocations = append(s.Allocations, a)
		text, err := formatEventFile(&s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readEventFile("x.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(got, s) {
			t.Fatalf("got  %+v\nwant %+v\n%s", got, s, text)
		}
	})
}

// drawnLine draws the rules of a line, each left out now and then.
func drawnLine(t *rapid.T) command.LineRules {
	var at int64
	instant := func(name string) int64 {
		if rapid.Bool().Draw(t, name) {
			return 0
		}
		at += rapid.Int64Range(1_800_000_000_000, 1_900_000_000_000).Draw(t, name+" at")
		return at
	}
	span := rapid.Uint32Range(0, command.TimeMsMax)
	l := command.LineRules{Enabled: true, OpensMs: instant("opens"), DrawMs: instant("draw"), SaleMs: instant("sale"),
		CeilingMax: rapid.Uint32Max(command.CeilingMax).Draw(t, "ceiling"), RateMax: rapid.Uint32Max(command.RateMax).Draw(t, "rate"),
		SessionMs: span.Draw(t, "session"), IdleMs: span.Draw(t, "idle"), CallMs: span.Draw(t, "call"), OfferMs: span.Draw(t, "offer"),
		Who: command.Identity(rapid.Uint8Max(3).Draw(t, "who")), Challenge: command.Challenge(rapid.Uint8Max(2).Draw(t, "challenge"))}
	if l.Challenge == command.ChallengeWork {
		l.WorkBits = rapid.Uint8Range(1, command.WorkBitsMax).Draw(t, "bits")
	}
	if rapid.Bool().Draw(t, "beacon") {
		l.Beacon = holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte{1, 31: 2}, GenesisMs: rapid.Int64Range(1, 1_700_000_000_000).Draw(t, "genesis"),
			PeriodMs: rapid.Uint32Range(command.PeriodMsMin, command.TimeMsMax).Draw(t, "period")}
		l.FallbackMs = span.Draw(t, "fallback")
	}
	return l
}

func TestPricesAreReadAsTheyAreWritten(t *testing.T) {
	for _, c := range []struct {
		text     string
		currency holdfast.Currency
		minor    int64
		again    string
	}{
		{"49", "eur", 4900, "49.00"}, {"49.00", "eur", 4900, "49.00"}, {"0.05", "usd", 5, "0.05"}, {"0", "eur", 0, "0.00"},
		{"5000", "jpy", 5000, "5000"}, {"1.250", "kwd", 1250, "1.250"}, {"1", "kwd", 1000, "1.000"},
	} {
		got, err := parsePrice(c.text, c.currency)
		if err != nil || got != c.minor || formatMinor(got, c.currency) != c.again {
			t.Errorf("%s %s: %d, %v, again %s", c.text, c.currency, got, err, formatMinor(got, c.currency))
		}
	}
	for _, text := range []string{"", ".", ".50", "4.5", "4.500", "-1", "+1", "1e3", "1,000", "99999999999999999999", "10000000000.00"} {
		if got, err := parsePrice(text, "eur"); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}
