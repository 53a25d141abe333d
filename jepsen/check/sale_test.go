package check

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// A crowd waits for one answer while the sale is paused and opened again and again, and nobody knows when: as many orders as
// there are subsets of the crowd explain what it was told, and a search that tries them does not end.
func TestASearchOfTheSaleEndsWhateverACrowdWaitsFor(t *testing.T) {
	const crowd, changes = 60, 12
	h := &history.History{}
	for i := range changes {
		o := op(100, history.SetSale, 0, 0, nil, time.Duration(i)*ms, uint64(i+1), holdfast.OK)
		o.Sale, o.Return = holdfast.SaleOpen, time.Second
		if i%2 == 0 {
			o.Sale = holdfast.SalePaused
		}
		h.Operations = append(h.Operations, o)
	}
	for i := range crowd {
		o := op(i, history.Hold, byte(i), byte(i), seats{0}, 0, uint64(changes+i), holdfast.OK)
		o.Return = time.Second + time.Duration(i)*time.Microsecond
		if i%2 == 0 {
			o.Outcome = holdfast.EventPaused
		}
		h.Operations = append(h.Operations, o)
	}
	for i := range changes { // somebody who asked later finds what cannot be: all orders are tried
		o := op(200+i, history.Hold, byte(200+i), byte(200+i), seats{0}, 2*time.Second+time.Duration(i)*10*ms, uint64(1000+i), holdfast.EventPaused)
		if i%2 == 0 {
			o.Outcome = holdfast.OK
		}
		h.Operations = append(h.Operations, o)
	}
	found := Sale(h)
	if len(found) != 1 || found[0].Check != "linearizable" {
		t.Errorf("a sale that changes after the last change: %v", found)
	}
}
