package command

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/holdfast-db/holdfast"
)

// EventSpec describes an event: what there is to sell, at which prices, under which rules. Units are numbered in
// the order of the description: section by section, row by row, seat by seat; but units that an update adds get
// the numbers after all that exist, so a unit keeps its number for good.
type EventSpec struct {
	Name     string // unique in the cluster: lower-case letters, digits and dashes
	Title    string
	Currency holdfast.Currency
	Rules    Rules
	Tiers    []Tier    // 1 to TiersMax
	Sections []Section // 1 to SectionsMax
	// Allocations are the parts of the house that are not offered to everyone; the first has AllocationIndex 1.
	Allocations []Allocation
	// Line are the rules of the waiting line, if there is one.
	Line     LineRules
	Checkout Checkout // how it takes money; zero: not through the shard
}

// Rules are the options of an event. A zero means the default that stands beside it.
type Rules struct {
	HoldTTLMs     uint32 // how long a hold lasts; 300,000
	PayWindowMs   uint32 // how long from BeginPayment a payment may take; 600,000
	ExtensionMs   uint32 // what Extend adds; 120,000
	CoolDownMs    uint32 // how long after a lapsed hold a buyer must wait; 30,000
	SeatsPerHold  uint8  // the largest hold; 8
	SeatsPerBuyer uint16 // units held and sold per buyer; 0: no limit
	NoOrphans     bool   // refuse a choice that leaves a single seat alone when another would not
	ManyOpenHolds bool   // allow a buyer more than one open hold
	SkipCoolDown  bool   // no cool-down at all
}

// Defaults of Rules.
const (
	HoldTTLMsDefault    = 300_000
	PayWindowMsDefault  = 600_000
	ExtensionMsDefault  = 120_000
	CoolDownMsDefault   = 30_000
	SeatsPerHoldDefault = 8
)

// TimeMsMax bounds every duration among the rules: a day.
const TimeMsMax = 86_400_000

// Tier is a price.
type Tier struct {
	Name       string
	PriceMinor int64
}

// Section is a part of the venue: rows of numbered seats, or a number of places without seats.
type Section struct {
	Name string
	Tier holdfast.TierIndex
	// Rows, best first. Empty for general admission.
	Rows []Row
	// Places of a general-admission section; 0 for one with rows.
	Places uint32
}

// General reports whether the section is general admission.
func (s *Section) General() bool { return len(s.Rows) == 0 }

// Row is a row of seats that stand side by side.
type Row struct {
	Label string
	First uint16 // the number on the first seat; the others count up from it
	Seats uint16
	Tier  holdfast.TierIndex // AnyTier: the section's
}

// Allocation sets units apart.
type Allocation struct {
	Name  string
	Spans []Span
}

// Span is a run of units: seats First to Last of a row by position from 0, or, in a general-admission section,
// places First to Last from 0 with Row 0. No unit is in two of an event's spans.
type Span struct {
	Section     holdfast.SectionIndex
	Row         uint16
	First, Last uint32
}

// Limits of a description.
const (
	TiersMax       = 64
	SectionsMax    = 4096
	RowsMax        = 1 << 16 // of all sections
	AllocationsMax = 32
	SpansMax       = 1 << 16 // of all allocations
	RowSeatsMax    = 4096
	PriceMinorMax  = 1_000_000_000_00
)

// No total of a hold overflows.
const _ = uint64(math.MaxInt64) / holdfast.UnitsPerHoldMax / PriceMinorMax

// Units gives how many units the description has.
func (s *EventSpec) Units() int {
	n := 0
	for i := range s.Sections {
		n += int(s.Sections[i].Places)
		for _, row := range s.Sections[i].Rows {
			n += int(row.Seats)
		}
	}
	return n
}

// WithDefaults gives the rules with every default filled in.
func (r Rules) WithDefaults() Rules {
	def := func(v *uint32, d uint32) {
		if *v == 0 {
			*v = d
		}
	}
	def(&r.HoldTTLMs, HoldTTLMsDefault)
	def(&r.PayWindowMs, PayWindowMsDefault)
	def(&r.ExtensionMs, ExtensionMsDefault)
	def(&r.CoolDownMs, CoolDownMsDefault)
	if r.SeatsPerHold == 0 {
		r.SeatsPerHold = SeatsPerHoldDefault
	}
	if r.SkipCoolDown {
		r.CoolDownMs = 0
	}
	return r
}

// Validate checks the description by itself and names the field at fault.
func (s *EventSpec) Validate() error {
	if err := validName("name", s.Name, true); err != nil {
		return err
	}
	if len(s.Title) > holdfast.NameBytesMax {
		return invalid("title", "%d bytes, at most %d", len(s.Title), holdfast.NameBytesMax)
	}
	if !printable(s.Title) {
		return invalid("title", "%q is not UTF-8 without control characters", s.Title)
	}
	if !validCurrency(s.Currency) {
		return invalid("currency", "%q is not an ISO 4217 code in lower case, like eur", s.Currency)
	}
	if err := s.Rules.validate(); err != nil {
		return err
	}
	if len(s.Tiers) == 0 || len(s.Tiers) > TiersMax {
		return invalid("tiers", "%d tiers, 1 to %d", len(s.Tiers), TiersMax)
	}
	names := map[string]bool{}
	for i, t := range s.Tiers {
		field := fmt.Sprintf("tiers[%d]", i)
		if err := validUnique(field+".name", t.Name, names); err != nil {
			return err
		}
		if t.PriceMinor < 0 || t.PriceMinor > PriceMinorMax {
			return invalid(field+".price", "%d minor units, 0 to %d", t.PriceMinor, int64(PriceMinorMax))
		}
	}
	if err := s.validateSections(); err != nil {
		return err
	}
	if err := s.validateAllocations(); err != nil {
		return err
	}
	if err := cmp.Or(s.Line.validate(), s.Checkout.validate()); err != nil {
		return err
	}
	if err := s.validateStep(); err != nil {
		return err
	}
	if n := s.packedBytes(); n > holdfast.SpecBytesMax {
		return invalid("description", "%d bytes when packed, at most %d", n, holdfast.SpecBytesMax)
	}
	return nil
}

func (r *Rules) validate() error {
	for _, d := range []struct {
		field string
		ms    uint32
	}{{"hold_ttl", r.HoldTTLMs}, {"pay_window", r.PayWindowMs}, {"extension", r.ExtensionMs}, {"cool_down", r.CoolDownMs}} {
		if d.ms > TimeMsMax {
			return invalid("rules."+d.field, "%d ms, at most a day", d.ms)
		}
	}
	if r.SeatsPerHold > holdfast.UnitsPerHoldMax {
		return invalid("rules.seats_per_hold", "%d, at most %d", r.SeatsPerHold, holdfast.UnitsPerHoldMax)
	}
	return nil
}

func (s *EventSpec) validateSections() error {
	if len(s.Sections) == 0 || len(s.Sections) > SectionsMax {
		return invalid("sections", "%d sections, 1 to %d", len(s.Sections), SectionsMax)
	}
	names, rows := map[string]bool{}, 0
	for i := range s.Sections {
		sec, field := &s.Sections[i], fmt.Sprintf("sections[%d]", i)
		if err := validUnique(field+".name", sec.Name, names); err != nil {
			return err
		}
		if int(sec.Tier) >= len(s.Tiers) {
			return invalid(field+".tier", "tier %d of %d", sec.Tier, len(s.Tiers))
		}
		if sec.General() == (sec.Places == 0) {
			return invalid(field, "%q needs either rows or a number of places", sec.Name)
		}
		if sec.Places > holdfast.UnitsPerEventMax {
			return invalid(field+".places", "%d, at most %d", sec.Places, holdfast.UnitsPerEventMax)
		}
		labels := map[string]bool{}
		for j, row := range sec.Rows {
			field := fmt.Sprintf("%s.rows[%d]", field, j)
			if err := validUnique(field+".label", row.Label, labels); err != nil {
				return err
			}
			if row.Seats == 0 || row.Seats > RowSeatsMax || int(row.First)+int(row.Seats)-1 > math.MaxUint16 {
				return invalid(field+".seats", "%d seats from number %d; 1 to %d seats, numbers below 65536", row.Seats, row.First, RowSeatsMax)
			}
			if row.Tier != holdfast.AnyTier && int(row.Tier) >= len(s.Tiers) {
				return invalid(field+".tier", "tier %d of %d", row.Tier, len(s.Tiers))
			}
		}
		rows += len(sec.Rows)
	}
	if rows > RowsMax {
		return invalid("sections", "%d rows in all, at most %d", rows, RowsMax)
	}
	if n := s.Units(); n > holdfast.UnitsPerEventMax {
		return invalid("sections", "%d units in all, at most %d", n, holdfast.UnitsPerEventMax)
	}
	return nil
}

func (s *EventSpec) validateAllocations() error {
	if len(s.Allocations) > AllocationsMax {
		return invalid("allocations", "%d, at most %d", len(s.Allocations), AllocationsMax)
	}
	names, spans := map[string]bool{"public": true}, 0
	for i, a := range s.Allocations {
		field := fmt.Sprintf("allocations[%d]", i)
		if err := validUnique(field+".name", a.Name, names); err != nil {
			return err
		}
		for j, sp := range a.Spans {
			field := fmt.Sprintf("%s.seats[%d]", field, j)
			if int(sp.Section) >= len(s.Sections) {
				return invalid(field+".section", "section %d of %d", sp.Section, len(s.Sections))
			}
			sec, size := &s.Sections[sp.Section], uint32(0)
			switch {
			case sec.General() && sp.Row == 0:
				size = sec.Places
			case !sec.General() && int(sp.Row) < len(sec.Rows):
				size = uint32(sec.Rows[sp.Row].Seats)
			default:
				return invalid(field+".row", "row %d of %d", sp.Row, len(sec.Rows))
			}
			if sp.First > sp.Last || sp.Last >= size {
				return invalid(field, "%d to %d of %d", sp.First, sp.Last, size)
			}
		}
		if spans += len(a.Spans); spans > SpansMax {
			return invalid("allocations", "more than %d runs of seats in all", SpansMax)
		}
	}
	return s.validateDisjoint(spans)
}

// validateDisjoint refuses units that are set apart twice: nobody could say whose they are.
func (s *EventSpec) validateDisjoint(count int) error {
	spans := make([]Span, 0, count)
	for _, a := range s.Allocations {
		spans = append(spans, a.Spans...)
	}
	slices.SortFunc(spans, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Row, b.Row), cmp.Compare(a.First, b.First))
	})
	for i := 1; i < len(spans); i++ {
		if a, b := spans[i-1], spans[i]; a.Section == b.Section && a.Row == b.Row && b.First <= a.Last {
			return invalid("allocations", "%d of row %d in section %q is set apart twice", b.First, b.Row, s.Sections[b.Section].Name)
		}
	}
	return nil
}

func validUnique(field, name string, seen map[string]bool) error {
	if err := validName(field, name, false); err != nil {
		return err
	}
	if seen[name] {
		return invalid(field, "%q stands twice", name)
	}
	seen[name] = true
	return nil
}

func validName(field, name string, slug bool) error {
	if name == "" || len(name) > holdfast.NameBytesMax {
		return invalid(field, "%d bytes, 1 to %d", len(name), holdfast.NameBytesMax)
	}
	for _, c := range []byte(name) {
		if slug && !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return invalid(field, "%q: lower-case letters, digits and dashes only", name)
		}
	}
	if !printable(name) {
		return invalid(field, "%q is not UTF-8 without control characters", name)
	}
	return nil
}

// printable reports whether s can be shown and sent: other formats that it must fit into refuse what is not UTF-8.
func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c == 0x7F {
			return false
		}
	}
	return utf8.ValidString(s)
}

func validCurrency(c holdfast.Currency) bool {
	for _, b := range []byte(c) {
		if b < 'a' || b > 'z' {
			return false
		}
	}
	return len(c) == 3
}

func invalid(field, format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "event", Field: field, Message: fmt.Sprintf(format, args...)}
}

// Append appends the packed description to b.
func (s *EventSpec) Append(b []byte) []byte {
	b = appendString(b, s.Name)
	b = appendString(b, s.Title)
	b = appendString(b, string(s.Currency))
	r := &s.Rules
	for _, v := range []uint32{r.HoldTTLMs, r.PayWindowMs, r.ExtensionMs, r.CoolDownMs} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, r.SeatsPerHold)
	b = binary.LittleEndian.AppendUint16(b, r.SeatsPerBuyer)
	b = append(b, boolByte(r.NoOrphans), boolByte(r.ManyOpenHolds), boolByte(r.SkipCoolDown))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.Tiers)))
	for _, t := range s.Tiers {
		b = appendString(b, t.Name)
		b = binary.LittleEndian.AppendUint64(b, uint64(t.PriceMinor))
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.Sections)))
	for i := range s.Sections {
		sec := &s.Sections[i]
		b = appendString(b, sec.Name)
		b = append(b, byte(sec.Tier))
		b = binary.LittleEndian.AppendUint32(b, sec.Places)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(sec.Rows)))
		for _, row := range sec.Rows {
			b = appendString(b, row.Label)
			b = binary.LittleEndian.AppendUint16(b, row.First)
			b = binary.LittleEndian.AppendUint16(b, row.Seats)
			b = append(b, byte(row.Tier))
		}
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.Allocations)))
	for _, a := range s.Allocations {
		b = appendString(b, a.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a.Spans)))
		for _, sp := range a.Spans {
			b = binary.LittleEndian.AppendUint16(b, uint16(sp.Section))
			b = binary.LittleEndian.AppendUint16(b, sp.Row)
			b = binary.LittleEndian.AppendUint32(b, sp.First)
			b = binary.LittleEndian.AppendUint32(b, sp.Last)
		}
	}
	return s.appendBlocks(b)
}

// packedBytes gives the length of what Append appends.
func (s *EventSpec) packedBytes() int {
	n := 3 + len(s.Name) + len(s.Title) + len(s.Currency) + 4*4 + 1 + 2 + 3 + 3*2
	for i := range s.Tiers {
		n += 1 + len(s.Tiers[i].Name) + 8
	}
	for i := range s.Sections {
		n += 1 + len(s.Sections[i].Name) + 1 + 4 + 4
		for j := range s.Sections[i].Rows {
			n += 1 + len(s.Sections[i].Rows[j].Label) + 2 + 2 + 1
		}
	}
	for i := range s.Allocations {
		n += 1 + len(s.Allocations[i].Name) + 4 + 12*len(s.Allocations[i].Spans)
	}
	return n + s.blocksBytes()
}

// DecodeSpec decodes and validates a packed description, which must be all of b.
func DecodeSpec(b []byte) (EventSpec, error) {
	r := reader{b: b}
	s := r.spec()
	return s, r.done()
}

// spec reads a description and validates it.
func (r *reader) spec() (s EventSpec) {
	s.Name = r.text("name", holdfast.NameBytesMax)
	s.Title = r.text("title", holdfast.NameBytesMax)
	s.Currency = holdfast.Currency(r.text("currency", 3))
	s.Rules = Rules{HoldTTLMs: r.u32(), PayWindowMs: r.u32(), ExtensionMs: r.u32(), CoolDownMs: r.u32(),
		SeatsPerHold: r.u8(), SeatsPerBuyer: r.u16(), NoOrphans: r.bool(), ManyOpenHolds: r.bool(), SkipCoolDown: r.bool()}
	for range r.count("tiers", int(r.u16()), TiersMax) {
		s.Tiers = append(s.Tiers, Tier{Name: r.text("tier", holdfast.NameBytesMax), PriceMinor: int64(r.u64())})
	}
	for range r.count("sections", int(r.u16()), SectionsMax) {
		sec := Section{Name: r.text("section", holdfast.NameBytesMax), Tier: holdfast.TierIndex(r.u8()), Places: r.u32()}
		for range r.count("rows", int(r.u32()), RowsMax) {
			sec.Rows = append(sec.Rows, Row{Label: r.text("row", holdfast.NameBytesMax), First: r.u16(), Seats: r.u16(), Tier: holdfast.TierIndex(r.u8())})
		}
		s.Sections = append(s.Sections, sec)
	}
	for range r.count("allocations", int(r.u16()), AllocationsMax) {
		a := Allocation{Name: r.text("allocation", holdfast.NameBytesMax)}
		for range r.count("spans", int(r.u32()), SpansMax) {
			a.Spans = append(a.Spans, Span{Section: holdfast.SectionIndex(r.u16()), Row: r.u16(), First: r.u32(), Last: r.u32()})
		}
		s.Allocations = append(s.Allocations, a)
	}
	r.blocks(&s)
	if r.err == nil {
		r.err = s.Validate()
	}
	return s
}

// count refuses a number of elements over max, or more than the bytes left can hold, before memory is taken.
func (r *reader) count(field string, n, max int) int {
	if r.err == nil && (n > max || n > len(r.b)) {
		r.fail(field, "%d, at most %d", n, max)
	}
	if r.err != nil {
		return 0
	}
	return n
}
