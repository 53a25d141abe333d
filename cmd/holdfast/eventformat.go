package main

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The event file's inverse: a description as a file, short where there is a short form.

type fileOut struct {
	Name        string          `yaml:"name"`
	Title       string          `yaml:"title,omitempty"`
	Currency    string          `yaml:"currency"`
	Rules       rulesOut        `yaml:"rules,omitempty"`
	Line        *lineFileOut    `yaml:"line,omitempty"`
	Tiers       []tierOut       `yaml:"tiers"`
	Sections    []sectionOut    `yaml:"sections"`
	Allocations []allocationOut `yaml:"allocations,omitempty"`
	Checkout    *checkoutOut    `yaml:"checkout,omitempty"`
}

type rulesOut struct {
	HoldTTL       string `yaml:"hold_ttl,omitempty"`
	PayWindow     string `yaml:"pay_window,omitempty"`
	Extension     string `yaml:"extension,omitempty"`
	CoolDown      string `yaml:"cool_down,omitempty"`
	SeatsPerHold  uint8  `yaml:"seats_per_hold,omitempty"`
	SeatsPerBuyer uint16 `yaml:"seats_per_buyer,omitempty"`
	NoOrphans     bool   `yaml:"no_orphans,omitempty"`
	ManyOpenHolds bool   `yaml:"many_open_holds,omitempty"`
}

type tierOut struct {
	Name  string `yaml:"name"`
	Price string `yaml:"price"`
}

type sectionOut struct {
	Name   string   `yaml:"name"`
	Tier   string   `yaml:"tier"`
	Rows   []rowOut `yaml:"rows,omitempty"`
	Places uint32   `yaml:"places,omitempty"`
}

type rowOut struct {
	Row   string `yaml:"row,omitempty"`
	Rows  string `yaml:"rows,omitempty"`
	Seats string `yaml:"seats"`
	Tier  string `yaml:"tier,omitempty"`
}

type allocationOut struct {
	Name  string    `yaml:"name"`
	Seats []spanOut `yaml:"seats,omitempty"`
}

type spanOut struct {
	Section string `yaml:"section"`
	Rows    string `yaml:"rows,omitempty"`
	Seats   string `yaml:"seats,omitempty"`
	Places  string `yaml:"places,omitempty"`
}

// formatEventFile writes a valid description as an event file. Reading that gives the description again.
func formatEventFile(s *command.EventSpec) ([]byte, error) {
	out := fileOut{Name: s.Name, Title: s.Title, Currency: string(s.Currency), Rules: rulesFor(s.Rules), Line: lineFor(&s.Line), Checkout: checkoutFor(s)}
	for _, t := range s.Tiers {
		out.Tiers = append(out.Tiers, tierOut{t.Name, formatMinor(t.PriceMinor, s.Currency)})
	}
	for i := range s.Sections {
		sec := &s.Sections[i]
		out.Sections = append(out.Sections, sectionOut{Name: sec.Name, Tier: s.Tiers[sec.Tier].Name, Rows: rowsFor(s, sec), Places: sec.Places})
	}
	for _, a := range s.Allocations {
		out.Allocations = append(out.Allocations, allocationOut{Name: a.Name, Seats: spansFor(s, a.Spans)})
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("event file: %w", err)
	}
	return b.Bytes(), enc.Close()
}

func rulesFor(r command.Rules) rulesOut {
	out := rulesOut{HoldTTL: durationFor(r.HoldTTLMs), PayWindow: durationFor(r.PayWindowMs), Extension: durationFor(r.ExtensionMs), CoolDown: durationFor(r.CoolDownMs),
		SeatsPerHold: r.SeatsPerHold, SeatsPerBuyer: r.SeatsPerBuyer, NoOrphans: r.NoOrphans, ManyOpenHolds: r.ManyOpenHolds}
	if r.SkipCoolDown {
		out.CoolDown = "none"
	}
	return out
}

func rowsFor(s *command.EventSpec, sec *command.Section) (rows []rowOut) {
	for from := 0; from < len(sec.Rows); {
		first := sec.Rows[from]
		alike := from + 1
		for alike < len(sec.Rows) && sec.Rows[alike].First == first.First && sec.Rows[alike].Seats == first.Seats && sec.Rows[alike].Tier == first.Tier {
			alike++
		}
		labels := make([]string, 0, alike-from)
		for _, row := range sec.Rows[from:alike] {
			labels = append(labels, row.Label)
		}
		// The first number always stands there: 5-5 is the one seat number 5, 5 would be five seats.
		out := rowOut{Seats: fmt.Sprintf("%d-%d", first.First, uint32(first.First)+uint32(first.Seats)-1)}
		if first.Tier != holdfast.AnyTier {
			out.Tier = s.Tiers[first.Tier].Name
		}
		n, text := labelRun(labels)
		if n > 1 {
			out.Rows = text
		} else {
			out.Row = first.Label
		}
		rows, from = append(rows, out), from+n
	}
	return rows
}

func spansFor(s *command.EventSpec, spans []command.Span) (out []spanOut) {
	for from := 0; from < len(spans); {
		first, sec := spans[from], &s.Sections[spans[from].Section]
		if sec.General() {
			out = append(out, spanOut{Section: sec.Name, Places: numberRange{first.First + 1, first.Last + 1}.String()})
			from++
			continue
		}
		row := sec.Rows[first.Row]
		labels := []string{row.Label}
		for _, next := range spans[from+1:] {
			if next.Section != first.Section || next.First != first.First || next.Last != first.Last || sec.Rows[next.Row].First != row.First {
				break
			}
			labels = append(labels, sec.Rows[next.Row].Label)
		}
		n, text := labelRun(labels)
		// A row that is itself called A-C takes that name from the run.
		if n > 1 && slices.ContainsFunc(sec.Rows, func(r command.Row) bool { return r.Label == text }) {
			n, text = 1, row.Label
		}
		seats := numberRange{uint32(row.First) + first.First, uint32(row.First) + first.Last}
		out = append(out, spanOut{Section: sec.Name, Rows: text, Seats: seats.String()})
		from += n
	}
	return out
}
