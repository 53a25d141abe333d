package check

import (
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Counters searches, for what a buyer may have and for the places of each section without seats, an order of the
// operations that explains every answer. It needs no log and no seats. Where holds lapse a counter may go up by itself,
// which is for the replay to judge.
func Counters(h *history.History) (found []Violation) {
	if h.HoldTTL < lapseMax {
		return nil
	}
	for _, p := range counters(h) {
		found = append(found, search(p.name, p.model, p.operations)...)
	}
	return found
}

// part is the operations of one thing that is independent of all others, with its model.
type part struct {
	name       string
	model      porcupine.Model
	operations []porcupine.Operation
}

func counters(h *history.History) (parts []part) {
	if h.SeatsPerBuyer > 0 {
		buyers := map[holdfast.BuyerID][]porcupine.Operation{}
		for i := range h.Operations {
			o := &h.Operations[i]
			if one, ok := counted(o, taken(o), holdfast.BuyerOverLimit); ok {
				buyers[o.Buyer] = append(buyers[o.Buyer], one)
			}
		}
		for buyer, ops := range buyers {
			parts = append(parts, part{fmt.Sprintf("what %s may have", buyer), model.Counter(h.SeatsPerBuyer), ops})
		}
	}
	return append(parts, places(h)...)
}

// places are the counters of sections without seats: of those that keep their size, all of whose units are on sale.
func places(h *history.History) (parts []part) {
	general := map[holdfast.SectionIndex]*part{}
	for _, b := range h.House {
		if b.General {
			general[b.Section] = &part{name: fmt.Sprintf("places of section %d", b.Section), model: model.Counter(b.Count)}
		}
	}
	sectionOf := func(s holdfast.SeatIndex) holdfast.SectionIndex {
		for _, b := range h.House {
			if b.General && b.First <= s && s < b.First+holdfast.SeatIndex(b.Count) {
				return b.Section
			}
		}
		return holdfast.AnySection
	}
	for i := range h.Operations {
		switch o := &h.Operations[i]; {
		case o.Kind == history.TakeOff || o.Kind == history.PutBack:
			for _, s := range o.Seats {
				delete(general, sectionOf(s))
			}
		case o.Kind == history.Put:
			for _, b := range o.Put.Grown {
				delete(general, b.Section)
			}
		}
	}
	for i := range h.Operations {
		o := &h.Operations[i]
		for section, units := range inSections(o, sectionOf) {
			p := general[section]
			var refusals []holdfast.Outcome
			if len(o.Also) == 0 && o.Best != nil && o.Best.Section == section { // else which of its wants was refused is not said
				refusals = []holdfast.Outcome{holdfast.NotEnough, holdfast.SoldOut}
			}
			if one, ok := counted(o, units, refusals...); ok && p != nil {
				p.operations = append(p.operations, one)
			}
		}
	}
	for _, p := range general {
		parts = append(parts, *p)
	}
	return parts
}

// taken is how many units an operation takes from what its buyer may have; negative: it gives them back.
func taken(o *history.Operation) int {
	switch o.Kind {
	case history.Hold, history.Swap:
		return o.Units() - len(o.Had)
	case history.Release:
		return -len(o.Seats)
	}
	return 0
}

// inSections is how many units of each section an operation takes: by the units where they are known, else by what was
// wanted.
func inSections(o *history.Operation, sectionOf func(holdfast.SeatIndex) holdfast.SectionIndex) map[holdfast.SectionIndex]int {
	units := map[holdfast.SectionIndex]int{}
	count := func(seats []holdfast.SeatIndex, each int) {
		for _, s := range seats {
			units[sectionOf(s)] += each
		}
	}
	switch o.Kind {
	case history.Release:
		count(o.Seats, -1)
	case history.Hold, history.Swap:
		count(o.Had, -1)
		count(o.Seats, 1)
		if o.Seats == nil && o.Best != nil {
			for _, b := range append([]history.Best{*o.Best}, o.Also...) {
				if count(b.Seats, 1); b.General {
					units[b.Section] += b.Count
				}
			}
		}
	}
	delete(units, holdfast.AnySection) // seats
	return units
}

// counted is an operation as it concerns a counter. An answer that is neither yes nor one of those that say that not
// enough was left tells nothing about it.
func counted(o *history.Operation, takes int, refusals ...holdfast.Outcome) (one porcupine.Operation, ok bool) {
	switch o.Kind {
	case history.Hold, history.Release, history.Swap:
	default:
		return one, false
	}
	out, end := model.CounterOutput{Unknown: o.Unknown()}, int64(o.Return)
	for _, r := range refusals {
		out.Refused = out.Refused || o.Outcome == r
	}
	if out.Unknown {
		end = math.MaxInt64
	} else if o.Outcome != holdfast.OK && !out.Refused {
		return one, false
	}
	return porcupine.Operation{ClientId: o.Client, Call: int64(o.Call), Return: end, Input: model.CounterInput{Take: takes}, Output: out}, true
}
