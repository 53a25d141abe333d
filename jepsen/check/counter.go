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
			if one, ok := counted(o, holdfast.BuyerOverLimit); ok {
				buyers[o.Buyer] = append(buyers[o.Buyer], one)
			}
		}
		for buyer, ops := range buyers {
			parts = append(parts, part{fmt.Sprintf("what %s may have", buyer), model.Counter(h.SeatsPerBuyer), ops})
		}
	}
	general := map[holdfast.SectionIndex]*part{}
	for _, b := range h.House {
		if b.General {
			general[b.Section] = &part{name: fmt.Sprintf("places of section %d", b.Section), model: model.Counter(b.Count)}
		}
	}
	sections := sectionsOf(h)
	for i := range h.Operations {
		o := &h.Operations[i]
		p := general[sections[o.Hold]]
		if one, ok := counted(o, holdfast.NotEnough, holdfast.SoldOut); ok && p != nil {
			p.operations = append(p.operations, one)
		}
	}
	for _, p := range general {
		parts = append(parts, *p)
	}
	return parts
}

// sectionsOf says in which section holds were that wanted places of one.
func sectionsOf(h *history.History) map[holdfast.HoldID]holdfast.SectionIndex {
	in := map[holdfast.HoldID]holdfast.SectionIndex{}
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Kind == history.Hold && o.Best != nil && o.Best.General {
			in[o.Hold] = o.Best.Section
		} else if _, known := in[o.Hold]; !known {
			in[o.Hold] = holdfast.AnySection
		}
	}
	return in
}

// counted is an operation as it concerns a counter: a hold takes, a release gives back. An answer that is neither yes
// nor one of those that say that not enough was left tells nothing about it.
func counted(o *history.Operation, refusals ...holdfast.Outcome) (one porcupine.Operation, ok bool) {
	in := model.CounterInput{Take: o.Units()}
	switch o.Kind {
	case history.Hold:
	case history.Release:
		in.Take = -in.Take
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
	return porcupine.Operation{ClientId: o.Client, Call: int64(o.Call), Return: end, Input: in, Output: out}, true
}
