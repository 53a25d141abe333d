package sandbox

import (
	"slices"
	"time"
)

// Do is what a fault does to a request.
type Do string

// The faults.
const (
	Down        Do = "down"         // the connection breaks before anything is done
	Unavailable Do = "unavailable"  // 503, nothing is done or remembered
	ErrorBefore Do = "error_before" // 500, nothing is done; remembered under the idempotency key
	ErrorAfter  Do = "error_after"  // 500 after the work was done; remembered under the idempotency key
	DropAfter   Do = "drop_after"   // the connection breaks after the work was done
	Slow        Do = "slow"         // the answer comes AfterMs later, after the work was done
	RateLimit   Do = "rate_limit"   // 429
	Busy        Do = "busy"         // 409, as if another request worked on the same
)

var dos = []Do{Down, Unavailable, ErrorBefore, ErrorAfter, DropAfter, Slow, RateLimit, Busy}

func (d Do) known() bool { return slices.Contains(dos, d) }

// Dos lists every fault.
func Dos() []Do { return slices.Clone(dos) }

// Fault is a fault on demand: it meets the next Count requests, or all until ForMs have passed, or both, whichever
// ends first. With neither it stays until the faults are set anew.
type Fault struct {
	Do      Do     `json:"do"`
	Op      string `json:"op,omitempty"` // create, look, list, confirm, capture, cancel, refund, refunds, disputes, account; empty: all
	Count   int    `json:"count,omitempty"`
	ForMs   int64  `json:"for_ms,omitempty"`   // by the sandbox's clock
	AfterMs int64  `json:"after_ms,omitempty"` // of Slow; default 30 s

	untilMs int64
}

// SetFaults replaces the faults on demand.
func (s *Server) SetFaults(faults ...Fault) error {
	if len(faults) > faultsMax {
		return refuse("too many faults at once")
	}
	for _, f := range faults {
		if !f.Do.known() || f.Count < 0 || f.ForMs < 0 || f.AfterMs < 0 {
			return refuse("there is no such fault: " + string(f.Do))
		}
	}
	s.locked(func() {
		s.faults = nil
		for _, f := range faults {
			if f.ForMs > 0 {
				f.untilMs = s.now().UnixMilli() + f.ForMs
			}
			s.faults = append(s.faults, &f)
		}
	})
	return nil
}

// Faults lists the faults on demand that are still to come.
func (s *Server) Faults() (faults []Fault) {
	s.locked(func() {
		s.endFaults()
		for _, f := range s.faults {
			faults = append(faults, *f)
		}
	})
	return faults
}

func (s *Server) endFaults() {
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool {
		return f.untilMs > 0 && s.now().UnixMilli() >= f.untilMs || f.Count < 0
	})
}

// fault is what meets this request: a fault on demand, or one by chance.
func (s *Server) fault(op string) (Do, time.Duration) {
	s.endFaults()
	for _, f := range s.faults {
		if f.Op != "" && f.Op != op {
			continue
		}
		switch f.Count {
		case 0:
		case 1:
			f.Count = -1 // used up
		default:
			f.Count--
		}
		s.counts.Faults++
		return f.Do, slowFor(f.AfterMs)
	}
	if len(s.cfg.Chance) == 0 {
		return "", 0
	}
	drawn := s.books.random.Uint32N(1000)
	for _, do := range dos { // in a fixed order, so that a seed is a schedule
		if share := s.cfg.Chance[do]; drawn < share {
			s.counts.Faults++
			return do, slowFor(0)
		} else {
			drawn -= share
		}
	}
	return "", 0
}

func slowFor(ms int64) time.Duration {
	if ms == 0 {
		ms = 30_000
	}
	return time.Duration(ms) * time.Millisecond
}

// latency draws how long an answer takes.
func (s *Server) latency() time.Duration {
	l := s.cfg.Latency
	if l.Base == 0 && l.Mean == 0 {
		return 0
	}
	d := l.Base + time.Duration(s.books.random.ExpFloat64()*float64(l.Mean))
	if l.Max > 0 {
		d = min(d, l.Max)
	}
	return d
}
