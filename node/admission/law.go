package admission

import (
	"math"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Facts are what the leader reads before each step. Totals are of the line since it opened; only their growth counts.
type Facts struct {
	Waiting int // people in the line who have not been called
	Called  int // C: called, their window still open, and not come yet
	Fresh   int // of these, those called in the last FreshPart of the window
	Active  int // A: live sessions
	Looking int // A0: of these without a hold

	Free     int // F: units that can be held now
	Capacity int // all units

	CalledTotal uint64 // people called
	CameTotal   uint64 // sessions opened
	ComingMs    uint64 // from the call to the session, of all of these together
	HeldTotal   uint64 // sessions that came to a hold
	UnitsTotal  uint64 // units of these holds
	SoldTotal   uint64 // sessions that ended with an order

	Busy    float64       // u: busy share of the commit path since the last step, 0 to 1: see Gauge
	Ceiling int           // the organizer's bound of live sessions
	RateMax float64       // the organizer's bound of people let in a second; 0: none
	Orders  float64       // R: orders a second that the payment provider takes; 0: no bound
	Window  time.Duration // how long a called person may take to come

	Paused bool // by the organizer, or the event does not sell
}

// FreshPart is the part of the window that Facts.Fresh looks at.
const FreshPart = 8

// The constants of the law. docs/admission.md says what happens with others.
const (
	busyAim        = 0.5  // the share of the commit path that may be busy for long
	busySaturated  = 0.95 // and from where on nobody is let in
	growMax        = 1.15 // the target grows by at most the root of this in a second
	shrinkMax      = 0.7  // and shrinks by at most the root of this
	usedShare      = 0.8  // of the target must be in use before it grows
	pendingLoadMax = 2    // the load that is foreseen is at most so many times the load that is there
	slewShare      = 0.1  // of the target is let in in a second above what left

	overcommit     = 1.2  // φ: people who look for seats, for each hold that the stock is good for
	overcommitLast = 1.0  // φ in the last hundredth of the stock
	lastShare      = 0.01 // the last hundredth

	startShare = 0.25 // of the ceiling is the first target
	floorShare = 1. / 32

	fillSeconds    = 4.  // a gap to the target is filled in this time
	roomSeconds    = 30. // and a gap to the ceiling in this: people who are let in together leave together, and so on in waves
	rateSeconds    = 10. // smoothing of rates
	busySeconds    = 4.  // of the busy share
	ratioSeconds   = 90. // of shares of people
	stepSecondsMax = 2.  // a longer silence counts as so much
)

// What is believed before anybody came, and for how many people that counts.
const (
	showUpPrior, showUpWeight = 0.9, 5
	unitsPrior, unitsWeight   = 2.0, 5
	holdsPrior, holdsWeight   = 0.9, 20
	ordersPrior, ordersWeight = 0.8, 100
	comingPrior, comingWeight = 1. / 24, 20 // seconds from the call to the session, as a part of the window
)

// Memory is what the law keeps from step to step. It is small and plain, so that it can travel with the commands that
// it leads to: the next leader goes on where this one ended. The zero value is a line that was never opened.
type Memory struct {
	Target  float64 // B*: people who should be looking for seats; 0: not begun
	Pending float64 // people called, weighted with the chance that they, if they come at all, are still to come
	Carry   float64 // part of a person that the last step owed

	Busy    float64 // u, smoothed
	Inflow  float64 // sessions opened a second, smoothed
	Leaving float64 // sessions a second that stopped looking for seats, smoothed
	Ending  float64 // sessions a second that ended, smoothed
	Work    float64 // sessions' worth of commands a second, smoothed

	Came, Due      float64 // fading sums: people who came, of so many whose time to come has passed
	Coming         float64 // seconds that those who came took to come
	Units, Holds   float64 // units, of so many holds
	Held, Opened   float64 // holds, of so many sessions
	Orders, Closed float64 // orders, of so many sessions that ended or have a hold

	Last   Facts // of the last step; its totals are what growth is counted from
	Primed bool  // Last is set
}

// Estimates are what the memory says of people.
type Estimates struct {
	ShowUp float64 // ŝ: share of the called who come
	Units  float64 // û: units a hold
	Holds  float64 // ĥ: holds a session
	Orders float64 // ĉ: orders a session
	Coming float64 // E: called people who are still expected
	Delay  float64 // τ: seconds from the call to the session; of those who will come, 1/e is still to come after so many
}

// Estimates reads the memory. It is safe for a line that nobody has come to.
func (m *Memory) Estimates() Estimates {
	e := Estimates{
		ShowUp: ratio(m.Came, m.Due, showUpPrior, showUpWeight, 0.05, 1),
		Units:  ratio(m.Units, m.Holds, unitsPrior, unitsWeight, 1, 64),
		Holds:  ratio(m.Held, m.Opened, holdsPrior, holdsWeight, 0.05, 1),
		Orders: ratio(m.Orders, m.Closed, ordersPrior, ordersWeight, 0.05, 1),
	}
	e.Coming = e.ShowUp * m.Pending
	window := max(m.Last.Window.Seconds(), 1)
	e.Delay = ratio(m.Coming, m.Came, window*comingPrior, comingWeight, 0.5, window/4)
	return e
}

func ratio(part, whole, prior, weight, low, high float64) float64 {
	return min(max((part+prior*weight)/(whole+weight), low), high)
}

// Left is what a leader leaves behind in the state for the next: what it steered to, and what the machine averages.
type Left struct {
	Target  float64       // 0: nobody has led a line that was drawn
	Busy    float64       // u
	Session time.Duration // how long a session lasts; 0: none has ended
}

// Resume is the memory of a new leader: it takes from the state that there is a flow of people, instead of beginning at
// zero.
func Resume(f Facts, left Left) Memory {
	m := Memory{Last: f, Primed: true, Target: left.Target, Busy: left.Busy}
	if f.CalledTotal == 0 {
		return m
	}
	// Everything that ever happened counts like the last minutes, but for no more people than these can hold.
	gone, came := float64(f.CalledTotal)-float64(f.Fresh), float64(f.CameTotal)
	scale := min(1, resumeWeight/max(gone, came, 1))
	m.Came, m.Due, m.Coming = came*scale, max(gone, came)*scale, float64(f.ComingMs)/1000*scale
	m.Units, m.Holds = float64(f.UnitsTotal)*scale, float64(f.HeldTotal)*scale
	m.Held, m.Opened = float64(f.HeldTotal)*scale, came*scale
	m.Orders, m.Closed = float64(f.SoldTotal)*scale, max(came-float64(f.Active), float64(f.SoldTotal))*scale

	// In an even flow r, of those called in the last eighth some have come: Fresh is what is left, and what of that still
	// counts is r·τ, less the tail that is older.
	e := m.Estimates()
	window := max(f.Window.Seconds(), 1) / FreshPart
	stay := e.ShowUp*e.Delay*(1-math.Exp(-window/e.Delay)) + (1-e.ShowUp)*window
	m.Pending = float64(f.Fresh) / max(stay, 1e-3) * e.Delay
	if left.Session > 0 { // Little's law
		m.Ending = float64(f.Active) / max(left.Session.Seconds(), 1)
		m.Leaving, m.Inflow, m.Work = m.Ending, m.Ending, m.Ending
	}
	return m
}

// resumeWeight is for how many people the past counts at most.
const resumeWeight = 500

// Step takes what the leader sees after so many seconds, and says how many people are called now, and why not more.
func (m *Memory) Step(f Facts, elapsed time.Duration) (count int, why holdfast.Bound) {
	dt := min(max(elapsed.Seconds(), 0), stepSecondsMax)
	m.observe(&f, dt)
	e := m.Estimates()
	if m.Target == 0 {
		m.Target = max(1, startShare*float64(f.Ceiling))
	}
	m.steer(&f, e, dt)
	count, why = m.decide(&f, e, dt)
	m.Last, m.Primed = f, true
	return count, why
}

// observe brings rates and shares up to date.
func (m *Memory) observe(f *Facts, dt float64) {
	if !m.Primed {
		m.Last = *f
	}
	m.Pending += grown(f.CalledTotal, m.Last.CalledTotal) // the machine may have called fewer than it was asked to
	due := m.Pending * (1 - math.Exp(-dt/m.Estimates().Delay))
	m.Pending -= due
	came, held := grown(f.CameTotal, m.Last.CameTotal), grown(f.HeldTotal, m.Last.HeldTotal)
	units, sold := grown(f.UnitsTotal, m.Last.UnitsTotal), grown(f.SoldTotal, m.Last.SoldTotal)
	left := max(0, came-float64(f.Looking-m.Last.Looking)) // stopped looking: found, or gave up
	ended := max(0, came-float64(f.Active-m.Last.Active))

	keep := math.Exp(-dt / ratioSeconds)
	fade := func(sum *float64, add float64) { *sum = *sum*keep + add }
	fade(&m.Came, came)
	fade(&m.Due, due)
	fade(&m.Coming, grown(f.ComingMs, m.Last.ComingMs)/1000)
	fade(&m.Units, units)
	fade(&m.Holds, held)
	fade(&m.Held, held)
	fade(&m.Opened, left) // whoever looks still is no witness
	fade(&m.Orders, sold)
	fade(&m.Closed, ended)
	m.Due = max(m.Due, m.Came) // nobody comes who was not called

	if dt == 0 {
		return
	}
	e := m.Estimates()
	blend := func(rate *float64, now, seconds float64) { *rate += (now - *rate) * (1 - math.Exp(-dt/seconds)) }
	blend(&m.Busy, f.Busy, busySeconds)
	blend(&m.Inflow, came/dt, rateSeconds)
	blend(&m.Leaving, left/dt, rateSeconds)
	blend(&m.Ending, ended/dt, rateSeconds)
	// A session costs the shard about one command to open, one to hold, and two to pay.
	blend(&m.Work, (came+held+2*sold)/dt/(1+e.Holds+2*e.Orders), rateSeconds)
}

func grown(now, before uint64) float64 {
	if now < before {
		return 0
	}
	return float64(now - before)
}

// Load is the busy share that the commit path will have when everybody who is inside has gone the whole way: people who
// came a moment ago have cost little yet, and will cost the rest soon.
func (m *Memory) Load() float64 {
	if m.Busy <= 0 || m.Work <= 0 {
		return m.Busy
	}
	return m.Busy * min(max(1, m.Inflow/m.Work), pendingLoadMax)
}

// steer moves the target: down when the commit path is, or will be, too busy; up while it is idle and the target used.
func (m *Memory) steer(f *Facts, e Estimates, dt float64) {
	g := min(max(math.Pow(busyAim/max(m.Load(), 1e-3), 0.25), math.Sqrt(shrinkMax)), math.Sqrt(growMax))
	if used := float64(f.Looking)+e.Coming >= usedShare*m.Target; g > 1 && !used {
		return
	}
	ceiling := max(1, float64(f.Ceiling))
	m.Target = min(max(m.Target*math.Pow(g, dt), 1, floorShare*ceiling), ceiling)
}

// decide is the smallest of what the bounds allow.
func (m *Memory) decide(f *Facts, e Estimates, dt float64) (int, holdfast.Bound) {
	switch {
	case f.Paused:
		m.Carry = 0
		return 0, holdfast.BoundPause
	case f.Waiting <= 0:
		m.Carry = 0
		return 0, holdfast.BoundLine
	case f.Free <= 0:
		m.Carry = 0
		return 0, holdfast.BoundStock
	case f.Busy >= busySaturated && m.Busy >= busySaturated:
		m.Carry = 0
		return 0, holdfast.BoundSaturated
	}
	looking := float64(f.Looking) + e.Coming
	allowed, why := math.Inf(1), holdfast.BoundTarget
	bound := func(people float64, by holdfast.Bound) {
		if people < allowed {
			allowed, why = people, by
		}
	}
	bound((m.Leaving+(m.Target-looking)/fillSeconds)*dt/e.ShowUp, holdfast.BoundTarget)
	bound((m.Leaving+slewShare*m.Target)*dt/e.ShowUp, holdfast.BoundSlew)
	room := float64(f.Ceiling) - float64(f.Active) - e.Coming
	bound(min(room, (m.Ending+room/roomSeconds)*dt)/e.ShowUp, holdfast.BoundCeiling)
	bound((stockRule(f, e)-looking)/e.ShowUp, holdfast.BoundStock)
	if f.Orders > 0 {
		bound(f.Orders*dt/(e.ShowUp*e.Orders), holdfast.BoundProvider)
	}
	if f.RateMax > 0 {
		bound(f.RateMax*dt, holdfast.BoundRate)
	}
	if looking < 0.5 && f.Active < f.Ceiling {
		allowed = max(allowed, 1/e.ShowUp) // something is free and nobody is looking: one person, of so many who are called
	}
	m.Carry += max(allowed, 0)
	count := int(m.Carry)
	m.Carry -= float64(count)
	if count >= f.Waiting {
		count, why, m.Carry = f.Waiting, holdfast.BoundLine, 0
	}
	return count, why
}

// stockRule is φ·F/û.
func stockRule(f *Facts, e Estimates) float64 {
	phi := overcommit
	if float64(f.Free) <= lastShare*float64(f.Capacity) {
		phi = overcommitLast
	}
	return phi * float64(f.Free) / e.Units
}

// StockRule is how many people without a hold the stock is good for.
func (m *Memory) StockRule(f *Facts) float64 { return stockRule(f, m.Estimates()) }
