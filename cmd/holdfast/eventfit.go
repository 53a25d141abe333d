package main

import (
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// fitEvent gives the description with exactly as many units as wanted: fewer or more rows of each section in
// proportion, and what is left over as places of its first general-admission section. Allocations keep what is
// still there.
func fitEvent(spec command.EventSpec, units int) (command.EventSpec, error) {
	had := spec.Units()
	if units == 0 || units == had {
		return spec, nil
	}
	floor := slices.IndexFunc(spec.Sections, func(s command.Section) bool { return s.General() })
	if floor < 0 {
		return spec, fmt.Errorf("an event without general admission cannot be fitted to %d units", units)
	}
	spec.Sections = slices.Clone(spec.Sections)
	if units < had {
		for i := range spec.Sections {
			sec := &spec.Sections[i]
			sec.Places = uint32(int64(sec.Places) * int64(units) / int64(had))
			sec.Rows = sec.Rows[:len(sec.Rows)*units/had]
		}
	}
	// A section that came to nothing still has to hold a place, so that the others keep their numbers; the
	// first general one takes what rounding left over.
	for i := range spec.Sections {
		if sec := &spec.Sections[i]; len(sec.Rows) == 0 && sec.Places == 0 {
			sec.Places = 1
		}
	}
	rest := units - spec.Units() + int(spec.Sections[floor].Places)
	if rest < 1 {
		return spec, fmt.Errorf("the event has %d sections and cannot be fitted to %d units", len(spec.Sections), units)
	}
	spec.Sections[floor].Places = uint32(rest)
	spec.Allocations = slices.Clone(spec.Allocations)
	for i := range spec.Allocations {
		spec.Allocations[i].Spans = stillThere(&spec, spec.Allocations[i].Spans)
	}
	return spec, spec.Validate()
}

func stillThere(spec *command.EventSpec, spans []command.Span) (kept []command.Span) {
	for _, s := range spans {
		sec := &spec.Sections[s.Section]
		size := sec.Places
		if !sec.General() {
			if int(s.Row) >= len(sec.Rows) {
				continue
			}
			size = uint32(sec.Rows[s.Row].Seats)
		} else if s.Row > 0 {
			continue
		}
		if s.Last = min(s.Last, size-1); s.First <= s.Last {
			kept = append(kept, s)
		}
	}
	return kept
}
