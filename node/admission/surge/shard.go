package surge

import (
	"time"

	"github.com/holdfast-db/holdfast/node/admission"
)

// shard is the commit path: it takes all commands that wait into one entry, and decides them when the entry is through.
type shard struct {
	run     *run
	waiting []submitted
	busyNow bool

	gauge    admission.Gauge
	commands int     // decided since the last reading
	turned   float64 // seconds from a command's submission to its decision, summed
	since    float64 // of the last reading
	last     float64
}

type submitted struct {
	at   float64
	done func(ms float64)
}

// submit queues a command; done is told how long it took.
func (s *shard) submit(done func(ms float64)) {
	s.waiting = append(s.waiting, submitted{s.run.now, done})
	s.next()
}

func (s *shard) next() {
	if s.busyNow || len(s.waiting) == 0 {
		return
	}
	slower := 1.0
	if f, ok := s.run.fault(); ok {
		if f.Slower == 0 {
			s.busyNow = true
			s.run.at(f.To, func() { s.busyNow = false; s.next() })
			return
		}
		slower = f.Slower
	}
	batch := s.waiting
	s.waiting = nil
	s.busyNow = true
	took := slower * (s.run.Entry + time.Duration(len(batch))*s.run.Command).Seconds()
	s.run.after(took, func() {
		s.busyNow = false
		for _, c := range batch {
			s.commands++
			s.turned += s.run.now - c.at
			c.done((s.run.now - c.at) * 1000)
		}
		s.next()
	})
}

// busy is the busy share since the last reading, measured as the leader measures it.
func (s *shard) busy() float64 {
	elapsed := s.run.now - s.since
	if elapsed <= 0 {
		return s.last
	}
	turnaround := 0.0
	if s.commands > 0 {
		turnaround = s.turned / float64(s.commands)
	}
	if len(s.waiting) > 0 { // what waits has waited, though nothing tells of it yet
		turnaround = max(turnaround, s.run.now-s.waiting[0].at)
	}
	s.last = s.gauge.Read(time.Duration(elapsed*float64(time.Second)), s.commands, time.Duration(turnaround*float64(time.Second)))
	s.commands, s.turned, s.since = 0, 0, s.run.now
	return s.last
}
