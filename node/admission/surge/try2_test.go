package surge

import (
	"fmt"
	"os"
	"testing"
)

func TestSeries(t *testing.T) {
	for _, w := range Scenarios() {
		if w.Name != os.Getenv("S") {
			continue
		}
		r := Run(w)
		for i, s := range r.Samples {
			if i%10 == 0 && i < 1000 {
				fmt.Printf("%4d u=%.2f called=%3d came=%3d T=%6.0f A=%4d A0=%4d E=%4.0f F=%5d held=%4d sold=%5d ord=%2d p99=%4.0f %s\n", s.Second, s.Busy, s.Called, s.Came, s.Target, s.Active, s.Looking, s.Expected, s.Free, s.Held, s.Sold, s.Orders, s.HoldP99, s.Why)
			}
		}
	}
}
