package surge

import (
	"slices"
)

// Report is what came of a world.
type Report struct {
	World   World    `json:"-"`
	Figures Figures  `json:"figures"`
	Samples []Sample `json:"samples"`

	calls []int
}

// Figures are a report in numbers.
type Figures struct {
	Surge        string  `json:"surge"`
	Seconds      int     `json:"seconds"`
	People       int     `json:"people"`
	Called       int     `json:"called"`
	Came         int     `json:"came"`
	NeverCame    int     `json:"never_came"`
	FoundNothing int     `json:"found_nothing"` // came, and left without having been offered anything
	StillWaiting int     `json:"still_waiting"`
	Units        int     `json:"units"`
	Sold         int     `json:"sold"`
	SoldHalfS    int     `json:"sold_half_s"` // seconds until half, and until 99 of a hundred units were sold
	Sold99S      int     `json:"sold_99_s"`
	HoldP50      float64 `json:"hold_p50_ms"` // outside faults and the minute after them
	HoldP99      float64 `json:"hold_p99_ms"`
	HoldMax      float64 `json:"hold_max_ms"`
	ActiveMax    int     `json:"active_max"`
	OverRule     float64 `json:"over_stock_rule_max"` // people without a hold above the stock rule when somebody was called
	OrdersMax    float64 `json:"orders_per_s_max"`    // over ten seconds
	Swing        float64 `json:"swing"`               // see swing
	IdleS        int     `json:"idle_s"`              // longest time with units free and people waiting, and nobody looking or called
	RecoveryS    int     `json:"recovery_s"`          // after the last fault, until as many came as before it; -1: never
	CalledMax    int     `json:"called_max_in_second"`
	Burst        float64 `json:"burst"` // most people called in a second of the minute after the last fault, as a share of the most in the minute before
	OutOfOrder   int     `json:"out_of_order"`
}

func (r *run) report() Report {
	f := Figures{Surge: r.Name, Seconds: int(r.now), People: r.joined, Called: int(r.calledTotal), Came: int(r.cameTotal), NeverCame: r.missed,
		FoundNothing: r.empty, StillWaiting: len(r.line) + len(r.deferred), Units: r.Units, Sold: r.sold,
		SoldHalfS: r.soldAfter(0.5), Sold99S: r.soldAfter(0.99), Swing: r.swing(), IdleS: r.idle(), RecoveryS: r.recovery(), Burst: r.burst()}
	var calm []float64
	for _, h := range r.holds {
		if !r.troubled(h.at) {
			calm = append(calm, h.ms)
		}
	}
	f.HoldP50, f.HoldP99, f.HoldMax = quantile(calm, 0.5), quantile(calm, 0.99), quantile(calm, 1)
	for i, s := range r.samples {
		f.ActiveMax = max(f.ActiveMax, s.Active)
		f.CalledMax = max(f.CalledMax, s.Called)
		if s.Called > 0 {
			f.OverRule = max(f.OverRule, float64(s.Looking)+s.Expected-max(s.Rule, 1))
		}
		if i >= 9 {
			sum := 0
			for _, t := range r.samples[i-9 : i+1] {
				sum += t.Orders
			}
			f.OrdersMax = max(f.OrdersMax, float64(sum)/10)
		}
	}
	for i := 1; i < len(r.calls); i++ {
		if r.calls[i] < r.calls[i-1] {
			f.OutOfOrder++
		}
	}
	return Report{World: r.World, Figures: f, Samples: r.samples, calls: r.calls}
}

// settling is how long after a fault is not judged as calm.
const settling = 60

func (r *run) troubled(at float64) bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool { return at >= f.From && at < f.To+settling })
}

func (r *run) soldAfter(share float64) int {
	for _, s := range r.samples {
		if float64(s.Sold) >= share*float64(r.Units) {
			return s.Second
		}
	}
	return -1
}

// swing is how far the people who look for seats swing around their own course: half the distance between the 5th and the
// 95th hundredth of what they are above their mean of two minutes, as a share of that mean, while the target, the ceiling or
// the provider decides, once the first people have gone through. 0: that was for less than three minutes.
func (r *run) swing() float64 {
	const half, from = 60, 240
	var off []float64
	for i := from; i+half < len(r.samples); i++ {
		sum, steady := 0, true
		for _, s := range r.samples[i-half : i+half+1] {
			sum += s.Looking
			steady = steady && s.steered && s.Why != "stock" && s.Why != "line" && !r.troubled(float64(s.Second))
		}
		if mean := float64(sum) / (2*half + 1); steady && mean > 0 {
			off = append(off, float64(r.samples[i].Looking)/mean-1)
		}
	}
	if len(off) < half {
		return 0
	}
	return (quantile(off, 0.95) - quantile(off, 0.05)) / 2
}

// idle is the longest time in which something was free and somebody waited, while nobody looked and nobody was expected.
func (r *run) idle() (longest int) {
	stretch := 0
	for _, s := range r.samples {
		if s.steered && s.room && s.Looking == 0 && s.Expected < 0.5 && s.Called == 0 {
			stretch++
		} else {
			stretch = 0
		}
		longest = max(longest, stretch)
	}
	return longest
}

// recovery is how long after the last fault it took until as many came in ten seconds as in the ten before it, less a
// tenth; 0 when there was none.
func (r *run) recovery() int {
	if len(r.Faults) == 0 {
		return 0
	}
	f := r.Faults[len(r.Faults)-1]
	came := func(from, to int) (n int) {
		for _, s := range r.samples {
			if s.Second > from && s.Second <= to {
				n += s.Came
			}
		}
		return n
	}
	before := came(int(f.From)-30, int(f.From))
	for end := int(f.To); end <= int(r.now); end++ {
		if float64(came(end-10, end)) >= 0.9*float64(before)/3 {
			return end - int(f.To)
		}
	}
	return -1
}

// burst compares the seconds around the last fault; 0 when there was none.
func (r *run) burst() float64 {
	if len(r.Faults) == 0 {
		return 0
	}
	f := r.Faults[len(r.Faults)-1]
	most := func(from, to float64) (n int) {
		for _, s := range r.samples {
			if float64(s.Second) > from && float64(s.Second) <= to {
				n = max(n, s.Called)
			}
		}
		return n
	}
	return float64(most(f.To-1, f.To+60)) / float64(max(1, most(f.From-60, f.From)))
}

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
