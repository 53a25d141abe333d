package surge

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/node/admission"

	"github.com/holdfast-db/holdfast"
)

// World is what is simulated. Scenarios gives worlds that are of interest.
type World struct {
	Name  string
	Title string // what happens, in a line
	Seed  uint64

	Units    int     // to be sold
	Ceiling  int     // of sessions
	Orders   float64 // that the payment provider takes a second; 0: no bound
	Early    int     // people who wait when the sale opens, at second 0
	Arrivals []Flow  // people who come later

	ShowUp     float64       // share of the called who come within the window
	Return     float64       // share of the others who come back later, and are put back into the line
	ShowDelay  time.Duration // mean, of those who come
	Window     time.Duration // to come in
	Look       time.Duration // mean, from the session's beginning to the hold
	Pay        time.Duration // mean, from the hold to the payment
	PayShare   float64       // of holds that are paid
	LetGo      float64       // share of the other holds that are released after a while; the rest lapse
	TTL        time.Duration // of a hold
	Entry      time.Duration // what an entry takes
	Command    time.Duration // and each command in it
	Known      time.Duration // what the leader believes that a command takes
	Faults     []Fault
	SecondsMax int // the simulation ends here at the latest

	law func(*admission.Memory, admission.Facts) (int, holdfast.Bound) // nil: the law; tests try worse ones
}

// Flow is people who arrive at a rate that goes evenly from one value to another.
type Flow struct {
	From, To           float64 // seconds
	Rate, RateAtTheEnd float64 // people a second
}

// Fault is a time in which something is wrong.
type Fault struct {
	From, To float64 // seconds
	Slower   float64 // the commit path takes so many times as long; 0: the shard has no leader
	// Forgets: the next leader is not told the memory of the last one, and resumes from the state alone.
	Forgets bool
}

// Sample is one second.
type Sample struct {
	Second   int     `json:"second"`
	Busy     float64 `json:"busy"`
	Called   int     `json:"called"`
	Came     int     `json:"came"`
	Target   float64 `json:"target"`
	Active   int     `json:"active"`
	Looking  int     `json:"looking"`
	Expected float64 `json:"expected"` // called and still expected
	Waiting  int     `json:"waiting"`
	Free     int     `json:"free"`
	Held     int     `json:"held"`
	Sold     int     `json:"sold"`
	Orders   int     `json:"orders"` // in this second
	HoldP99  float64 `json:"hold_p99_ms"`
	Why      string  `json:"why"`
	Faulty   bool    `json:"faulty"`
	Rule     float64 `json:"rule"` // people without a hold that the stock rule allows

	steered bool // the law took a step
	room    bool // somebody waited and something was free
}

// event is something that happens at an instant.
type event struct {
	at  float64
	seq int // equal instants in the order in which they were made
	do  func()
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)   { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// run is a simulation under way.
type run struct {
	World
	rng    *rand.Rand
	now    float64
	seq    int
	agenda agenda
	shard  shard
	memory admission.Memory
	clamp  clamp

	joined   int    // numbers given out
	line     []int  // numbers that wait, in the order of the line
	deferred []back // who came back too late, in order
	served   int    // how many of the line have been called
	calls    []int  // numbers, in the order in which they were called for the first time

	called, active, looking    int
	outstanding                []int // of those called in each second, who has neither come nor been given up
	comingMs                   uint64
	target                     float64
	sessionS                   float64 // how long sessions last, averaged as the machine does
	free, held, sold           int
	calledTotal, cameTotal     uint64
	heldTotal, unitsTotal      uint64
	soldTotal                  uint64
	missed, left, empty, lapse int
	paidAt                     []float64

	second  []float64 // holds' latencies of this second, in ms
	holds   []timedHold
	samples []Sample
}

// back is somebody who is called again when the line has come so far.
type back struct{ number, served int }

type timedHold struct{ at, ms float64 }

// deferral is how many people pass before somebody who missed a call is called again.
const deferral = 200

// Run simulates a world to the end: everything sold, or nobody left, or its last second.
func Run(w World) Report {
	r := &run{World: w, rng: rand.New(rand.NewPCG(w.Seed, 0x51)), free: w.Units}
	r.clamp = newClamp()
	r.shard = shard{run: r, gauge: admission.Gauge{Command: w.Known}}
	for range w.Early {
		r.line = append(r.line, r.joined)
		r.joined++
	}
	for _, f := range w.Arrivals {
		r.arrive(f, f.From)
	}
	r.at(1, r.tick)
	for len(r.agenda) > 0 {
		e := heap.Pop(&r.agenda).(event)
		r.now = e.at
		e.do()
		if r.now > float64(w.SecondsMax) || r.over() {
			break
		}
	}
	return r.report()
}

// over reports whether nothing can change any more that anybody waits for.
func (r *run) over() bool {
	last := 0.0
	for _, f := range r.Arrivals {
		last = max(last, f.To)
	}
	quiet := r.active == 0 && r.called == 0
	return quiet && (r.free == 0 && r.held == 0 || r.now > last && len(r.line) == 0 && len(r.deferred) == 0)
}

func (r *run) at(when float64, do func()) {
	r.seq++
	heap.Push(&r.agenda, event{when, r.seq, do})
}

func (r *run) after(seconds float64, do func()) { r.at(r.now+seconds, do) }

// arrive lets a flow's next person join.
func (r *run) arrive(f Flow, from float64) {
	rate := f.Rate + (f.RateAtTheEnd-f.Rate)*(from-f.From)/(f.To-f.From)
	next := from + r.rng.ExpFloat64()/max(rate, 0.01)
	if next >= f.To {
		return
	}
	r.at(next, func() {
		r.line = append(r.line, r.joined)
		r.joined++
		r.arrive(f, next)
	})
}

// fault gives what is wrong now, if anything is.
func (r *run) fault() (f Fault, ok bool) {
	i := slices.IndexFunc(r.Faults, func(f Fault) bool { return r.now >= f.From && r.now < f.To })
	if i < 0 {
		return f, false
	}
	return r.Faults[i], true
}

func (r *run) leaderless() bool {
	f, ok := r.fault()
	return ok && f.Slower == 0
}

func (r *run) facts() admission.Facts {
	return admission.Facts{
		Waiting: len(r.line) + len(r.deferred), Called: r.called, Fresh: r.fresh(), ComingMs: r.comingMs, Active: r.active, Looking: r.looking,
		Free: r.free, Capacity: r.Units,
		CalledTotal: r.calledTotal, CameTotal: r.cameTotal, HeldTotal: r.heldTotal, UnitsTotal: r.unitsTotal, SoldTotal: r.soldTotal,
		Busy: r.shard.busy(), Ceiling: r.Ceiling, Orders: r.Orders, Window: r.Window,
	}
}

// fresh is how many of those called in the last eighth of their window have not come.
func (r *run) fresh() (n int) {
	from := max(0, int(r.now-r.Window.Seconds()/8))
	for second := from; second < len(r.outstanding); second++ {
		n += r.outstanding[second]
	}
	return n
}

// tick is the leader's duty, once a second.
func (r *run) tick() {
	r.at(r.now+1, r.tick)
	facts := r.facts()
	s := Sample{Second: int(r.now), Busy: facts.Busy, room: facts.Waiting > 0 && facts.Free > 0}
	if f, ok := r.fault(); ok {
		s.Faulty = true
		if f.Forgets {
			r.memory = admission.Memory{}
		}
	}
	if !r.leaderless() {
		if r.calledTotal > 0 && !r.memory.Primed {
			r.memory = admission.Resume(facts, admission.Left{Target: r.target, Busy: facts.Busy, Session: time.Duration(r.sessionS * float64(time.Second))})
		}
		step := r.law
		if step == nil {
			step = func(m *admission.Memory, f admission.Facts) (int, holdfast.Bound) { return m.Step(f, time.Second) }
		}
		count, why := step(&r.memory, facts)
		s.Called, s.Why, s.steered = r.call(r.allow(count)), why.String(), true
		r.clamp.opened(r.now, s.Called)
		r.target = math.Round(r.memory.Target) // goes into the log with Admit
	}
	e := r.memory.Estimates()
	s.Target, s.Expected, s.Rule = r.memory.Target, e.Coming+e.ShowUp*float64(s.Called), r.memory.StockRule(&facts)
	s.Active, s.Looking, s.Waiting = r.active, r.looking, len(r.line)+len(r.deferred)
	s.Free, s.Held, s.Sold = r.free, r.held, r.sold
	s.Came = int(r.cameTotal)
	if n := len(r.samples); n > 0 {
		s.Came -= r.cameSum(n)
	}
	s.Orders = r.ordersSince(r.now - 1)
	s.HoldP99 = quantile(r.second, 0.99)
	r.second = r.second[:0]
	r.samples = append(r.samples, s)
}

func (r *run) cameSum(n int) (sum int) {
	for _, s := range r.samples[:n] {
		sum += s.Came
	}
	return sum
}

func (r *run) ordersSince(from float64) (n int) {
	for i := len(r.paidAt) - 1; i >= 0 && r.paidAt[i] >= from; i-- {
		n++
	}
	return n
}

// call calls the next people of the line: first those who were put back and whose turn it is again.
func (r *run) call(count int) (called int) {
	for ; called < count; called++ {
		var number int
		switch {
		case len(r.deferred) > 0 && (r.deferred[0].served <= r.served || len(r.line) == 0):
			number, r.deferred = r.deferred[0].number, r.deferred[1:]
		case len(r.line) > 0:
			number, r.line = r.line[0], r.line[1:]
			r.served++
			r.calls = append(r.calls, number)
		default:
			return called
		}
		r.called++
		r.calledTotal++
		for len(r.outstanding) <= int(r.now) {
			r.outstanding = append(r.outstanding, 0)
		}
		r.outstanding[int(r.now)]++
		r.summon(number)
	}
	return called
}

// exponential and spread are times in seconds: the first forgets, the second has a body and a long tail.
func (r *run) exponential(mean time.Duration) float64 { return r.rng.ExpFloat64() * mean.Seconds() }

func (r *run) spread(mean time.Duration) float64 {
	const sigma = 0.6
	return mean.Seconds() * math.Exp(sigma*r.rng.NormFloat64()-sigma*sigma/2)
}
