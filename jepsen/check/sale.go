package check

import (
	"cmp"
	"math"
	"slices"

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
	asked := map[holdfast.SaleState][]porcupine.Operation{} // by how they found it
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
		one := porcupine.Operation{ClientId: o.Client, Call: int64(o.Call), Return: end(o), Input: in, Output: out}
		if in.Set == 0 {
			asked[out.Was] = append(asked[out.Was], one)
		} else {
			p.operations = append(p.operations, one)
		}
	}
	for _, found := range asked {
		p.operations = append(p.operations, telling(found)...)
	}
	return p, ok
}

// telling leaves out, of buyers who found the sale in the same state, whoever asked all the while that another did: any order
// that explains the other's answer explains his. A search over a crowd that waits together would not end.
func telling(asked []porcupine.Operation) (some []porcupine.Operation) {
	slices.SortFunc(asked, func(a, b porcupine.Operation) int {
		return cmp.Or(cmp.Compare(b.Call, a.Call), cmp.Compare(a.Return, b.Return))
	})
	first := int64(math.MaxInt64) // return, of those that were called later
	for _, one := range asked {
		if one.Return < first {
			first, some = one.Return, append(some, one)
		}
	}
	return some
}
