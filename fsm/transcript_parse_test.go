package fsm_test

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The language of the transcripts, read. A line that is not understood fails the test with the line.

// parse reads one command and the indented lines below it. It gives the label as it is to be printed.
func (s *story) parse(line string, below []string) (label string, c command.Command) {
	name, valid := "", 30*time.Second
	if before, after, labelled := strings.Cut(line, " = "); labelled {
		var until string
		if name, until, labelled = strings.Cut(before, " for "); labelled {
			valid = duration(s.t, until)
		}
		label, line = name+": ", after
	}
	words := strings.Fields(line)
	h := command.Header{Event: 1}
	if event, err := holdfast.ParseEventID(words[0]); err == nil {
		h.Event, words = event, words[1:]
	}
	h.ID = s.id(name, valid)
	verb, args := words[0], words[1:]
	need := func(n int) {
		if len(args) < n {
			s.t.Fatalf("%q: %s needs %d words", line, verb, n)
		}
	}
	switch verb {
	case "hold":
		need(2)
		cmd := &command.Hold{Header: h, Buyer: s.buyer(args[0])}
		cmd.Allocation, cmd.Wants = s.wants(h.Event, args[1:])
		c = cmd
	case "swap":
		need(3)
		cmd := &command.Swap{Header: h, Buyer: s.buyer(args[0]), Hold: s.hold(args[1])}
		cmd.Allocation, cmd.Wants = s.wants(h.Event, args[2:])
		c = cmd
	case "extend":
		need(2)
		c = &command.Extend{Header: h, Buyer: s.buyer(args[0]), Hold: s.hold(args[1])}
	case "release":
		need(2)
		c = &command.Release{Header: h, Buyer: s.buyer(args[0]), Hold: s.hold(args[1])}
	case "pay":
		need(4)
		c = &command.BeginPayment{Header: h, Buyer: s.buyer(args[0]), Hold: s.hold(args[1]), Attempt: s.attempt(args[2]), Amount: s.money(args[3])}
	case "sell":
		need(3)
		c = s.sell(h, args)
	case "put":
		need(1)
		c = &command.PutEvent{Header: h, Expect: uint32(number(s.t, args[0])), Spec: s.spec(below)}
	case "open":
		c = &command.SetSale{Header: h, State: holdfast.SaleOpen}
	case "pause":
		c = &command.SetSale{Header: h, State: holdfast.SalePaused}
	case "close":
		c = &command.SetSale{Header: h, State: holdfast.SaleClosed}
	case "block", "unblock":
		need(1)
		c = &command.Block{Header: h, Unblock: verb == "unblock", Seats: s.units(h.Event, args)}
	case "mark":
		c = &command.Mark{Header: h}
	default:
		if c = s.parseLine(h, verb, args); c == nil {
			s.t.Fatalf("%q: there is no verb %q", line, verb)
		}
	}
	var d command.Decoder
	if _, err := d.CheckBatch(c.Append(nil)); err != nil {
		s.t.Fatalf("%q: %v", line, err)
	}
	return label, c
}

// hold gives the hold that a label stands for. One that nobody made is unknown.
func (s *story) hold(label string) holdfast.HoldID {
	if id, ok := s.ids[label]; ok {
		return holdfast.HoldID(id)
	}
	if n, ok := strings.CutPrefix(label, "offer"); ok { // of evt_1
		id := holdfast.HoldID{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 9: 1, 15: byte(number(s.t, n))}
		s.names[holdfast.CommandID(id)] = label
		return id
	}
	return holdfast.HoldID{0xFF}
}

func (s *story) sell(h command.Header, args []string) *command.Sell {
	c := &command.Sell{Header: h, Hold: s.hold(args[0])}
	kinds := []string{"paid", "free", "invoiced"}
	c.As = command.SaleKind(slices.Index(kinds, args[1]) + 1)
	args = args[2:]
	if c.As == command.SalePaid {
		c.Attempt, args = s.attempt(args[0]), args[1:]
	}
	c.Amount = s.money(args[0])
	if len(args) > 1 {
		c.Payment = args[1]
	}
	return c
}

func (s *story) attempt(text string) holdfast.Attempt {
	return holdfast.Attempt(number(s.t, strings.TrimPrefix(text, "#")))
}

func (s *story) money(text string) holdfast.Money {
	n := len(text) - 3
	return holdfast.Money{AmountMinor: int64(number(s.t, text[:n])), Currency: holdfast.Currency(text[n:])}
}

func (s *story) units(event holdfast.EventID, names []string) (units []holdfast.SeatIndex) {
	for _, name := range names {
		units = append(units, s.unit(event, name))
	}
	return units
}

// wants reads "sponsor: A1 A2 and best 2 in stalls of vip adjacent and general 3 floor".
func (s *story) wants(event holdfast.EventID, words []string) (allocation holdfast.AllocationIndex, wants []command.Want) {
	var spec command.EventSpec
	if e := s.model.events[event]; e != nil {
		spec = e.spec
	}
	if name, ok := strings.CutSuffix(words[0], ":"); ok {
		at := slices.IndexFunc(spec.Allocations, func(a command.Allocation) bool { return a.Name == name })
		allocation, words = holdfast.AllocationIndex(at+1), words[1:]
		if at < 0 {
			allocation = holdfast.AllocationIndex(len(spec.Allocations) + 1)
		}
	}
	section := func(name string) holdfast.SectionIndex {
		at := slices.IndexFunc(spec.Sections, func(s command.Section) bool { return s.Name == name })
		if at < 0 {
			at = len(spec.Sections)
		}
		return holdfast.SectionIndex(at)
	}
	for _, part := range strings.Split(strings.Join(words, " "), " and ") {
		words := strings.Fields(part)
		switch words[0] {
		case "best":
			w := command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: uint8(number(s.t, words[1]))}
			for words = words[2:]; len(words) > 0; {
				switch words[0] {
				case "in":
					w.Section, words = section(words[1]), words[2:]
				case "of":
					w.Tier, words = s.tier(&spec, words[1]), words[2:]
				case "adjacent":
					w.Adjacent, words = true, words[1:]
				default:
					s.t.Fatalf("what is %q of a best?", words[0])
				}
			}
			wants = append(wants, w)
		case "general":
			wants = append(wants, command.Want{Kind: command.WantGeneral, Count: uint8(number(s.t, words[1])), Section: section(words[2])})
		default:
			units := s.units(event, words)
			wants = append(wants, command.Want{Kind: command.WantSeats, Seats: units, Count: uint8(len(units))})
		}
	}
	return allocation, wants
}

// tier finds a tier by its name; one behind the last if there is none.
func (s *story) tier(spec *command.EventSpec, name string) holdfast.TierIndex {
	at := slices.IndexFunc(spec.Tiers, func(t command.Tier) bool { return t.Name == name })
	if at < 0 {
		at = len(spec.Tiers)
	}
	return holdfast.TierIndex(at)
}

// spec reads a description: the event's name, title and currency are gala, nothing and eur unless they are said.
//
//	title Great gala
//	tier vip 5000
//	section stalls vip
//	row A 8                    seats 1 to 8, of the section's tier
//	row B 11-20 std            seats 11 to 20, of another tier
//	places 100                 instead of rows
//	allocation sponsor A1-4 floor.1-10
//	rules ttl=5s pay=10s extension=2s cool-down=3s per-hold=4 per-buyer=6 no-orphans many-holds skip-cool-down
func (s *story) spec(lines []string) command.EventSpec {
	spec := command.EventSpec{Name: "gala", Currency: "eur"}
	for _, line := range lines {
		words := strings.Fields(line)
		switch verb, args := words[0], words[1:]; verb {
		case "name":
			spec.Name = args[0]
		case "title":
			spec.Title = strings.Join(args, " ")
		case "currency":
			spec.Currency = holdfast.Currency(args[0])
		case "tier":
			spec.Tiers = append(spec.Tiers, command.Tier{Name: args[0], PriceMinor: int64(number(s.t, args[1]))})
		case "section":
			spec.Sections = append(spec.Sections, command.Section{Name: args[0], Tier: s.tier(&spec, args[1])})
		case "row":
			row := command.Row{Label: args[0], First: 1, Tier: holdfast.AnyTier}
			first, last, numbered := strings.Cut(args[1], "-")
			if numbered {
				row.First = uint16(number(s.t, first))
				row.Seats = uint16(number(s.t, last)) - row.First + 1
			} else {
				row.Seats = uint16(number(s.t, first))
			}
			if len(args) > 2 {
				row.Tier = s.tier(&spec, args[2])
			}
			section := &spec.Sections[len(spec.Sections)-1]
			section.Rows = append(section.Rows, row)
		case "places":
			spec.Sections[len(spec.Sections)-1].Places = uint32(number(s.t, args[0]))
		case "allocation":
			a := command.Allocation{Name: args[0]}
			for _, text := range args[1:] {
				a.Spans = append(a.Spans, s.span(&spec, text))
			}
			spec.Allocations = append(spec.Allocations, a)
		case "rules":
			spec.Rules = s.rules(args)
		case "line":
			spec.Line = s.lineRules(args)
		default:
			s.t.Fatalf("%q: a description has no %s", line, verb)
		}
	}
	return spec
}

// span reads A1-4, seats 1 to 4 of row A, or floor.1-10.
func (s *story) span(spec *command.EventSpec, text string) command.Span {
	from, to, _ := strings.Cut(text, "-")
	for i, section := range spec.Sections {
		if digits, ok := strings.CutPrefix(from, section.Name+"."); ok && section.General() {
			return command.Span{Section: holdfast.SectionIndex(i), First: uint32(number(s.t, digits)) - 1, Last: uint32(number(s.t, to)) - 1}
		}
		for j, row := range section.Rows {
			if digits, ok := strings.CutPrefix(from, row.Label); ok {
				first := uint32(row.First)
				return command.Span{Section: holdfast.SectionIndex(i), Row: uint16(j), First: uint32(number(s.t, digits)) - first, Last: uint32(number(s.t, to)) - first}
			}
		}
	}
	s.t.Fatalf("there are no seats %s", text)
	return command.Span{}
}

func (s *story) rules(args []string) (r command.Rules) {
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		ms := func() uint32 { return uint32(duration(s.t, value) / time.Millisecond) }
		switch name {
		case "ttl":
			r.HoldTTLMs = ms()
		case "pay":
			r.PayWindowMs = ms()
		case "extension":
			r.ExtensionMs = ms()
		case "cool-down":
			r.CoolDownMs = ms()
		case "per-hold":
			r.SeatsPerHold = uint8(number(s.t, value))
		case "per-buyer":
			r.SeatsPerBuyer = uint16(number(s.t, value))
		case "no-orphans":
			r.NoOrphans = true
		case "many-holds":
			r.ManyOpenHolds = true
		case "skip-cool-down":
			r.SkipCoolDown = true
		default:
			s.t.Fatalf("there is no rule %q", arg)
		}
	}
	return r
}
