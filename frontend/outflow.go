package frontend

import (
	"sync"
	"time"
)

// outflow measures how fast the line is served, from what the feed says, and tells the wait as a range. It is honest
// in three ways: it says nothing until it has seen enough, the range is as wide as what was seen, and when the wait it
// told has to grow it gives a cause.
type outflow struct {
	mu      sync.Mutex
	samples []sample // by time, one a second at most, none older than the longest window
	told    float64  // the pessimistic rate that was told last, places a second; 0: none
	cause   waitCause
	since   time.Time // of cause
}

type sample struct {
	at     time.Time
	served uint64
}

// waitCause says why a wait grew. Nothing else makes it grow.
type waitCause string

const (
	causeNone     waitCause = ""
	causePaused   waitCause = "paused"    // the organizer has stopped admission
	causeNoLeader waitCause = "no_leader" // the sale's system is choosing who leads it
	causeSlower   waitCause = "slower"    // people inside take longer than those before them
	causeStock    waitCause = "stock"     // few seats are free: people are let in as seats come back
)

var causeTexts = map[waitCause]string{
	causePaused:   "The organizer has paused the line. Your place stands.",
	causeNoLeader: "The sale's system is recovering from a fault. Your place stands, and nobody passes you.",
	causeSlower:   "The people inside take longer than those before them.",
	causeStock:    "Few seats are free just now. People are let in as seats come back.",
}

// windows are the spans over which the rate is measured. The slowest of them makes the upper end of the range, the
// fastest the lower one.
var windows = []time.Duration{20 * time.Second, time.Minute, 5 * time.Minute}

const (
	sampleEvery = time.Second
	// seenMin is how much has to be seen before anything is told: time, and places served.
	seenTimeMin   = 10 * time.Second
	seenServedMin = 5
	// causeLife is how long a cause is told after the wait grew by it.
	causeLife = time.Minute
	// slack is by how much the measured rate may fall before that is said: measurement alone sways by about this.
	slack = 0.85
)

// see takes what the feed says. standing is why nothing is served now, if there is a reason.
func (o *outflow) see(now time.Time, served uint64, standing waitCause) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.samples); n > 0 && (now.Sub(o.samples[n-1].at) < sampleEvery || served < o.samples[n-1].served) {
		if served < o.samples[n-1].served {
			o.samples = o.samples[:0] // another line than the one before
		} else {
			return
		}
	}
	if standing != causeNone {
		// Time that stands still is no measure of how fast people are served: begin again after it.
		o.samples = o.samples[:0]
		o.cause, o.since = standing, now
		return
	}
	keep := 0
	for keep < len(o.samples) && now.Sub(o.samples[keep].at) > windows[len(windows)-1] {
		keep++
	}
	o.samples = append(o.samples[:0], o.samples[keep:]...)
	o.samples = append(o.samples, sample{now, served})
	low, _, ok := o.rates(now)
	switch {
	case !ok:
	case o.told == 0 || low >= o.told:
		o.told = low
	case low < o.told*slack:
		o.told, o.cause, o.since = low, causeSlower, now
	}
}

// rates gives the slowest and the fastest rate over the windows.
func (o *outflow) rates(now time.Time) (low, high float64, ok bool) {
	if len(o.samples) < 2 {
		return 0, 0, false
	}
	last, first := o.samples[len(o.samples)-1], o.samples[0]
	if last.at.Sub(first.at) < seenTimeMin || last.served-first.served < seenServedMin {
		return 0, 0, false
	}
	for _, window := range windows {
		from := first
		for i := len(o.samples) - 2; i >= 0 && now.Sub(o.samples[i].at) <= window; i-- {
			from = o.samples[i]
		}
		span := last.at.Sub(from.at)
		if span < seenTimeMin/2 {
			continue
		}
		rate := float64(last.served-from.served) / span.Seconds()
		if !ok || rate < low {
			low = rate
		}
		if !ok || rate > high {
			high = rate
		}
		ok = true
	}
	return low, high, ok
}

// wait tells how long it takes until ahead more places are served: both 0 when that is not known.
func (o *outflow) wait(now time.Time, ahead uint64) (low, high time.Duration, cause waitCause) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause != causeNone && now.Sub(o.since) < causeLife {
		cause = o.cause
	}
	slowest, fastest, ok := o.rates(now)
	if !ok || fastest <= 0 {
		return 0, 0, cause
	}
	// The told rate may be below what is measured now, within the slack: the range covers both.
	slowest = max(min(slowest, o.told), fastest/20)
	seconds := func(rate float64) time.Duration {
		return time.Duration(min(float64(ahead)/rate, waitMax.Seconds()) * float64(time.Second))
	}
	return seconds(fastest), seconds(slowest), cause
}

// waitMax is the longest wait that is told as a number.
const waitMax = 24 * time.Hour

// nextPoll says when a place that has so many ahead should ask again: a quarter of the shortest wait, so that nobody
// misses the call by more than that, spread so that people who came together do not come again together. load, how full
// the house is, stretches it.
func nextPoll(ahead uint64, low time.Duration, load float64, spread uint32) time.Duration {
	var d time.Duration
	switch {
	case low > 0:
		d = low / 4
	case ahead < 100:
		d = 2 * time.Second
	case ahead < 1_000:
		d = 4 * time.Second
	case ahead < 10_000:
		d = 8 * time.Second
	default:
		d = 15 * time.Second
	}
	d = min(max(d, pollMin), pollMax)
	if load > 0.5 {
		d = min(time.Duration(float64(d)*(1+4*(load-0.5))), pollMax)
	}
	return d*4/5 + time.Duration(uint64(d)*2/5*uint64(spread&0xFFFF)>>16)
}

// A place asks again after pollMin at the earliest; after pollMax at the latest, so that a pause or the end of the sale
// is told in good time.
const (
	pollMin = 2 * time.Second
	pollMax = 30 * time.Second
)

// odds says how likely it is that something is left.
type odds string

const (
	oddsUnknown  odds = "unknown"
	oddsLikely   odds = "likely"
	oddsPossible odds = "possible"
	oddsUnlikely odds = "unlikely"
	oddsNone     odds = "none"
)

// stock is what is left to sell, in units.
type stock struct{ free, held, paying, sold int }

func (s stock) gone() bool { return s.free+s.held+s.paying == 0 }

// unitsPerPlace is what one place is expected to take, in hundredths of a unit: two seats, as most orders have.
const unitsPerPlace = 200

// oddsOf compares the stock with what the people ahead will take: what is free, and a tenth of what is in other people's
// hands, since about that much comes back.
func oddsOf(s stock, ahead uint64) odds {
	left := uint64(s.free)*100 + uint64(s.held+s.paying)*10
	need := (ahead + 1) * unitsPerPlace
	switch {
	case s.gone():
		return oddsNone
	case left >= need+need/2:
		return oddsLikely
	case left*2 >= need:
		return oddsPossible
	default:
		return oddsUnlikely
	}
}
