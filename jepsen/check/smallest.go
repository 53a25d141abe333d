package check

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Picture is what could not be explained, as porcupine shows it.
type Picture struct {
	Title      string
	HTML       string
	Clients    int      // that it shows
	Operations []string // the same in words, in order of their calls
}

// Smallest finds, of all seats, holds and counters whose operations no order explains, the one for which the fewest show it,
// and a picture of those: the operations that began before the first answer that cannot be.
func Smallest(h *history.History) (p Picture, ok bool) {
	rules := Rules(&h.Head)
	if rules.HoldTTL > lapseMax {
		rules.HoldTTL = 0
	}
	parts := []part{}
	if h.HoldTTL > lapseMax {
		parts = counters(h)
	}
	if p, ok := sale(h); ok {
		parts = append(parts, p)
	}
	parts = append(parts, registers(rules, h.Operations)...)
	var least part
	for _, one := range parts {
		if porcupine.CheckOperationsTimeout(one.model, one.operations, searchMax) != porcupine.Illegal {
			continue
		}
		one.operations = prefix(one.model, one.operations)
		if least.operations == nil || len(one.operations) < len(least.operations) {
			least = one
		}
	}
	if least.operations == nil {
		return p, false
	}
	_, info := porcupine.CheckOperationsVerbose(least.model, least.operations, searchMax)
	var page bytes.Buffer
	if err := porcupine.Visualize(least.model, info, &page); err != nil {
		return p, false
	}
	return least.picture(page.String()), true
}

// picture tells of the operations in words too.
func (p part) picture(html string) Picture {
	told := Picture{Title: fmt.Sprintf("%s, %d operations", p.name, len(p.operations)), HTML: html}
	ops, clients := slices.Clone(p.operations), map[int]bool{}
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, o := range ops {
		clients[o.ClientId] = true
		end := "never"
		if o.Return != math.MaxInt64 {
			end = time.Duration(o.Return).String()
		}
		told.Operations = append(told.Operations, fmt.Sprintf("client %d, from %v to %s: %s", o.ClientId, time.Duration(o.Call), end, p.model.DescribeOperation(o.Input, o.Output)))
	}
	told.Clients = len(clients)
	return told
}

// prefix leaves out what began after the answer that makes the operations impossible. Of those that had not been
// answered by then it is unknown what became of them.
func prefix(m porcupine.Model, ops []porcupine.Operation) []porcupine.Operation {
	byReturn := slices.Clone(ops)
	slices.SortFunc(byReturn, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	until := func(n int) (some []porcupine.Operation) {
		end := byReturn[n-1].Return
		for _, o := range ops {
			if o.Call > end {
				continue
			}
			if o.Return > end {
				o.Return = math.MaxInt64
				o.Output = unknown(o.Output)
			}
			some = append(some, o)
		}
		return some
	}
	// What is impossible stays so with more answers: the first such prefix is found by halving.
	n := sort.Search(len(byReturn), func(i int) bool {
		return porcupine.CheckOperationsTimeout(m, until(i+1), searchMax) == porcupine.Illegal
	})
	if n == len(byReturn) {
		return ops
	}
	return until(n + 1)
}

// unknown is the answer that has not come.
func unknown(output any) any {
	switch output.(type) {
	case model.CounterOutput:
		return model.CounterOutput{Unknown: true}
	case model.LifeOutput:
		return model.LifeOutput{}
	case model.SaleOutput:
		return model.SaleOutput{Unknown: true}
	}
	return model.Output{State: holdfast.Free}
}
