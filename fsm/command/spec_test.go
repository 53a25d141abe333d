package command_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestDescriptionsSurviveTheRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := spec(t)
		if err := want.Validate(); err != nil {
			t.Fatalf("the generator drew what is not valid: %v", err)
		}
		packed := want.Append(nil)
		got, err := command.DecodeSpec(packed)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded\n%+v\nfrom\n%+v", got, want)
		}
		if again := got.Append(nil); !bytes.Equal(again, packed) {
			t.Fatal("encoded again it differs")
		}
		cut := rapid.IntRange(0, len(packed)-1).Draw(t, "cut")
		lined := want
		lined.Checkout = command.Checkout{}
		bare := lined
		bare.Line = command.LineRules{}
		whole := cut == len(bare.Append(nil)) || cut == len(lined.Append(nil)) // blocks are left out whole
		if _, err := command.DecodeSpec(packed[:cut]); err == nil && !whole {
			t.Fatalf("cut to %d of %d bytes it was accepted", cut, len(packed))
		}
		if _, err := command.DecodeSpec(append(packed, 0)); fieldOf(err) != "body" {
			t.Fatalf("with a byte more: %v", err)
		}
	})
}

func TestUnitsAreCounted(t *testing.T) {
	s := command.EventSpec{Sections: []command.Section{
		{Rows: []command.Row{{Seats: 3}, {Seats: 4}}}, {Places: 10}, {Rows: []command.Row{{Seats: 1}}},
	}}
	if s.Units() != 18 {
		t.Errorf("%d units", s.Units())
	}
	if s.Sections[0].General() || !s.Sections[1].General() {
		t.Error("a section with rows is reserved, one with places general")
	}
}

func TestDefaultsFillWhatIsZero(t *testing.T) {
	for _, c := range []struct{ in, want command.Rules }{
		{command.Rules{}, command.Rules{HoldTTLMs: 300_000, PayWindowMs: 600_000, ExtensionMs: 120_000, CoolDownMs: 30_000, SeatsPerHold: 8}},
		{command.Rules{HoldTTLMs: 1, PayWindowMs: 2, ExtensionMs: 3, CoolDownMs: 4, SeatsPerHold: 5, SeatsPerBuyer: 6, NoOrphans: true, ManyOpenHolds: true},
			command.Rules{HoldTTLMs: 1, PayWindowMs: 2, ExtensionMs: 3, CoolDownMs: 4, SeatsPerHold: 5, SeatsPerBuyer: 6, NoOrphans: true, ManyOpenHolds: true}},
		{command.Rules{CoolDownMs: 4, SkipCoolDown: true}, command.Rules{HoldTTLMs: 300_000, PayWindowMs: 600_000, ExtensionMs: 120_000, SeatsPerHold: 8, SkipCoolDown: true}},
	} {
		if got := c.in.WithDefaults(); got != c.want {
			t.Errorf("%+v became\n%+v, want\n%+v", c.in, got, c.want)
		}
	}
}

// TestValidateNamesTheField for each way in which a description can be wrong, and the decoder agrees with it.
func TestValidateNamesTheField(t *testing.T) {
	long := strings.Repeat("x", holdfast.NameBytesMax+1)
	for _, c := range []struct {
		field  string // empty: still valid
		change func(s *command.EventSpec)
	}{
		{"", func(s *command.EventSpec) {}},
		{"name", func(s *command.EventSpec) { s.Name = "" }},
		{"name", func(s *command.EventSpec) { s.Name = long }},
		{"name", func(s *command.EventSpec) { s.Name = "Gala" }},
		{"name", func(s *command.EventSpec) { s.Name = "a_b" }},
		{"", func(s *command.EventSpec) { s.Name = long[1:] }},
		{"", func(s *command.EventSpec) { s.Title = long[1:] }},
		{"title", func(s *command.EventSpec) { s.Title = long }},
		{"title", func(s *command.EventSpec) { s.Title = "two\nlines" }},
		{"title", func(s *command.EventSpec) { s.Title = "not UTF-8 \xC3" }},
		{"", func(s *command.EventSpec) { s.Title = "Grüße" }},
		{"currency", func(s *command.EventSpec) { s.Currency = "" }},
		{"currency", func(s *command.EventSpec) { s.Currency = "EUR" }},
		{"currency", func(s *command.EventSpec) { s.Currency = "euro" }},
		{"", func(s *command.EventSpec) {
			s.Rules = command.Rules{HoldTTLMs: command.TimeMsMax, PayWindowMs: command.TimeMsMax, ExtensionMs: command.TimeMsMax, CoolDownMs: command.TimeMsMax, SeatsPerHold: 64, SeatsPerBuyer: 65535}
		}},
		{"rules.hold_ttl", func(s *command.EventSpec) { s.Rules.HoldTTLMs = command.TimeMsMax + 1 }},
		{"rules.pay_window", func(s *command.EventSpec) { s.Rules.PayWindowMs = command.TimeMsMax + 1 }},
		{"rules.extension", func(s *command.EventSpec) { s.Rules.ExtensionMs = command.TimeMsMax + 1 }},
		{"rules.cool_down", func(s *command.EventSpec) { s.Rules.CoolDownMs = command.TimeMsMax + 1 }},
		{"rules.seats_per_hold", func(s *command.EventSpec) { s.Rules.SeatsPerHold = 65 }},
		{"tiers", func(s *command.EventSpec) { s.Tiers = nil }},
		{"", func(s *command.EventSpec) { s.Tiers = tiers(command.TiersMax) }},
		{"tiers", func(s *command.EventSpec) { s.Tiers = tiers(command.TiersMax + 1) }},
		{"tiers[1].name", func(s *command.EventSpec) { s.Tiers[1].Name = "" }},
		{"tiers[1].name", func(s *command.EventSpec) { s.Tiers[1].Name = s.Tiers[0].Name }},
		{"tiers[1].name", func(s *command.EventSpec) { s.Tiers[1].Name = "a\x7Fb" }},
		{"tiers[1].name", func(s *command.EventSpec) { s.Tiers[1].Name = "\xFF" }},
		{"tiers[1].price", func(s *command.EventSpec) { s.Tiers[1].PriceMinor = -1 }},
		{"", func(s *command.EventSpec) { s.Tiers[1].PriceMinor = command.PriceMinorMax }},
		{"tiers[1].price", func(s *command.EventSpec) { s.Tiers[1].PriceMinor = command.PriceMinorMax + 1 }},
		{"sections", func(s *command.EventSpec) { s.Sections, s.Allocations = nil, nil }},
		{"sections", func(s *command.EventSpec) { s.Sections = sections(command.SectionsMax + 1) }},
		{"", func(s *command.EventSpec) { s.Sections, s.Allocations = sections(command.SectionsMax), nil }},
		{"sections[1].name", func(s *command.EventSpec) { s.Sections[1].Name = s.Sections[0].Name }},
		{"sections[1].tier", func(s *command.EventSpec) { s.Sections[1].Tier = 2 }},
		{"sections[1].tier", func(s *command.EventSpec) { s.Sections[1].Tier = holdfast.AnyTier }},
		{"sections[0]", func(s *command.EventSpec) { s.Sections[0].Places = 1 }},
		{"sections[1]", func(s *command.EventSpec) { s.Sections[1].Places = 0 }},
		{"sections[1].places", func(s *command.EventSpec) { s.Sections[1].Places = holdfast.UnitsPerEventMax + 1 }},
		{"sections", func(s *command.EventSpec) { s.Sections[1].Places = holdfast.UnitsPerEventMax }}, // and the seats: too many units in all
		{"", func(s *command.EventSpec) {
			s.Sections[1].Places = uint32(holdfast.UnitsPerEventMax - s.Units() + int(s.Sections[1].Places))
		}},
		{"sections[0].rows[1].label", func(s *command.EventSpec) { s.Sections[0].Rows[1].Label = "A" }},
		{"sections[0].rows[1].label", func(s *command.EventSpec) { s.Sections[0].Rows[1].Label = "" }},
		{"sections[0].rows[0].seats", func(s *command.EventSpec) { s.Sections[0].Rows[0].Seats = 0 }},
		{"", func(s *command.EventSpec) { s.Sections[0].Rows[0].Seats = command.RowSeatsMax }},
		{"sections[0].rows[0].seats", func(s *command.EventSpec) { s.Sections[0].Rows[0].Seats = command.RowSeatsMax + 1 }},
		{"", func(s *command.EventSpec) { s.Sections[0].Rows[0].First = 65535 - 9 }},
		{"sections[0].rows[0].seats", func(s *command.EventSpec) { s.Sections[0].Rows[0].First = 65535 - 8 }},
		{"sections[0].rows[0].tier", func(s *command.EventSpec) { s.Sections[0].Rows[0].Tier = 2 }},
		{"allocations", func(s *command.EventSpec) { s.Allocations = allocations(command.AllocationsMax + 1) }},
		{"", func(s *command.EventSpec) { s.Allocations = allocations(command.AllocationsMax) }},
		{"allocations[0].name", func(s *command.EventSpec) { s.Allocations[0].Name = "public" }},
		{"allocations[0].name", func(s *command.EventSpec) { s.Allocations[0].Name = "" }},
		{"allocations[0].seats[0].section", func(s *command.EventSpec) { s.Allocations[0].Spans[0].Section = 2 }},
		{"allocations[0].seats[0].row", func(s *command.EventSpec) { s.Allocations[0].Spans[0].Row = 2 }},
		{"allocations[0].seats[1].row", func(s *command.EventSpec) { s.Allocations[0].Spans[1].Row = 1 }},
		{"allocations[0].seats[0]", func(s *command.EventSpec) { s.Allocations[0].Spans[0].First = 5 }},
		{"allocations[0].seats[0]", func(s *command.EventSpec) { s.Allocations[0].Spans[0].Last = 10 }},
		{"", func(s *command.EventSpec) { s.Allocations[0].Spans[1].Last = 99 }},
		{"allocations[0].seats[1]", func(s *command.EventSpec) { s.Allocations[0].Spans[1].Last = 100 }},
		{"allocations", func(s *command.EventSpec) {
			s.Allocations[0].Spans[1].First, s.Allocations = 0, append(s.Allocations, s.Allocations[0])
			s.Allocations[1].Name = "artist"
		}},
		{"allocations", func(s *command.EventSpec) {
			s.Allocations[0].Spans = append(s.Allocations[0].Spans, command.Span{Section: 1, First: 59, Last: 60})
		}},
		{"", func(s *command.EventSpec) {
			s.Allocations[0].Spans = append(s.Allocations[0].Spans, command.Span{Section: 1, First: 60, Last: 60})
		}},
	} {
		s := command.EventSpec{Name: "gala-2030", Title: "Gala", Currency: "eur",
			Tiers: []command.Tier{{Name: "one", PriceMinor: 1}, {Name: "two", PriceMinor: 2}},
			Sections: []command.Section{
				{Name: "Stalls", Rows: []command.Row{{Label: "A", Seats: 10, Tier: holdfast.AnyTier}, {Label: "B", Seats: 10, Tier: 1}}},
				{Name: "Floor", Places: 100, Tier: 1}},
			Allocations: []command.Allocation{{Name: "sponsor", Spans: []command.Span{{Section: 0, Row: 1, First: 0, Last: 4}, {Section: 1, First: 50, Last: 59}}}}}
		c.change(&s)
		err := s.Validate()
		if c.field == "" && err != nil || c.field != "" && fieldOf(err) != c.field {
			t.Errorf("field %q wanted: %v", c.field, err)
		}
		if _, decoded := command.DecodeSpec(s.Append(nil)); (decoded == nil) != (err == nil) {
			t.Errorf("Validate says %v, DecodeSpec %v", err, decoded)
		}
	}
}

func TestTooManySpansInAll(t *testing.T) {
	s := wide(command.SpansMax, command.RowsMax)
	s.Allocations[0].Spans = append(s.Allocations[0].Spans, command.Span{})
	if fieldOf(s.Validate()) != "allocations" {
		t.Errorf("one more than may be: %v", s.Validate())
	}
}

func TestTooManyRowsInAll(t *testing.T) {
	s := wide(0, command.RowsMax)
	if err := s.Validate(); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	s.Sections = append(s.Sections, command.Section{Name: "more", Rows: []command.Row{{Label: "A", Seats: 1, Tier: holdfast.AnyTier}}})
	if fieldOf(s.Validate()) != "sections" {
		t.Errorf("one more: %v", s.Validate())
	}
}

// TestCountsAreCheckedBeforeMemoryIsTaken: a few bytes that promise millions of rows cost nothing.
func TestCountsAreCheckedBeforeMemoryIsTaken(t *testing.T) {
	s := wide(0, 1)
	s.Sections[0] = command.Section{Name: "s", Places: 0x01020304}
	b := s.Append(nil)
	at := bytes.Index(b, []byte{4, 3, 2, 1}) + 4
	b[at], b[at+1] = 0xFF, 0xFF // 65,535 rows, and two bytes are left
	if n := testing.AllocsPerRun(10, func() {
		if _, err := command.DecodeSpec(b); fieldOf(err) != "rows" {
			t.Fatalf("%v", err)
		}
	}); n > 30 {
		t.Errorf("%v allocations for a promise", n)
	}
}

func tiers(n int) (tiers []command.Tier) {
	for i := range n {
		tiers = append(tiers, command.Tier{Name: fmt.Sprint(i)})
	}
	return tiers
}

func sections(n int) (sections []command.Section) {
	for i := range n {
		sections = append(sections, command.Section{Name: fmt.Sprint(i), Places: 1})
	}
	return sections
}

func allocations(n int) (allocations []command.Allocation) {
	for i := range n {
		allocations = append(allocations, command.Allocation{Name: fmt.Sprint(i)})
	}
	return allocations
}
