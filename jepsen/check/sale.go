package check

import (
	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Sale searches an order of the changes of a sale and of what buyers were told that explains who could hold seats and who
// could not. It needs no log. Where nobody changes it there is nothing to find.
func Sale(h *history.History) []Violation {
	if p, ok := sale(h); ok {
		return search(p.name, p.model, p.operations)
	}
	return nil
}

func sale(h *history.History) (p part, ok bool) {
	p = part{name: "the sale", model: model.Sale()}
	for i := range h.Operations {
		o := &h.Operations[i]
		in, out := model.SaleInput{}, model.SaleOutput{Unknown: o.Unknown(), Was: holdfast.SaleOpen}
		switch o.Outcome {
		case holdfast.EventPaused:
			out.Was = holdfast.SalePaused
		case holdfast.EventClosed:
			out.Was = holdfast.SaleClosed
		case holdfast.CommandExpired: // it was not looked at
			continue
		}
		switch {
		case o.Kind == history.SetSale:
			ok, in.Set = true, o.Sale
			if o.Outcome == holdfast.OK {
				out.Was = o.Sale
			}
		case o.Unknown() || o.Kind != history.Hold && o.Kind != history.Swap:
			continue
		}
		p.operations = append(p.operations, porcupine.Operation{ClientId: o.Client, Call: int64(o.Call), Return: end(o), Input: in, Output: out})
	}
	return p, ok
}
