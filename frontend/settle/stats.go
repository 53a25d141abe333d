package settle

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// Stats counts what a worker did, from its start. Whoever serves metrics reads them.
type Stats struct {
	Leases, LeaseFailures atomic.Uint64 // questions for effects, and those that failed

	Effects [holdfast.EffectNotify + 1]EffectStats // by kind
	Calls   [payment.Classes]CallStats             // to the provider, by class

	Done, Failed, Retried, Unacknowledged atomic.Uint64 // acknowledgements by result; the last did not reach the log

	Strays   atomic.Uint64 // money that sells nothing, reported to the shard
	Unplaced atomic.Uint64 // money that the shard did not take a report of: an alarm

	HintsTaken, HintsForeign, HintsForged, HintsLater, HintsIdle atomic.Uint64 // webhooks: led to a look; somebody else's; refused; answered 503; about nothing of ours

	Reconciled        atomic.Int64 // wall clock of the last run that read everything, in Unix milliseconds
	Differences       atomic.Int64 // that it found: an alarm unless 0
	WaitingSeconds    atomic.Int64 // how old the oldest attempt is that waits for the provider's word, as of the last run
	ReconcileFailures atomic.Uint64
}

// EffectStats are of one kind of effects.
type EffectStats struct {
	Carried, Broken atomic.Uint64 // to their end; given up without an acknowledgement
	Nanos           atomic.Uint64 // that they took
}

// CallStats are of one class of calls.
type CallStats struct{ OK, Refused, Unknown, Limited atomic.Uint64 }

func (s *Stats) took(kind holdfast.EffectKind, d time.Duration, err error) {
	if int(kind) >= len(s.Effects) {
		return
	}
	e := &s.Effects[kind]
	e.Nanos.Add(uint64(d))
	if err != nil {
		e.Broken.Add(1)
		return
	}
	e.Carried.Add(1)
}

func (s *Stats) called(class payment.Class, err error) {
	c := &s.Calls[class]
	switch kind := payment.KindOf(err); {
	case err == nil:
		c.OK.Add(1)
	case kind == payment.Limited:
		c.Limited.Add(1)
	case kind.Again():
		c.Unknown.Add(1)
	default:
		c.Refused.Add(1)
	}
}

func (s *Stats) acked(result holdfast.EffectResult, err error) {
	switch {
	case err != nil:
		s.Unacknowledged.Add(1)
	case result == holdfast.EffectDone:
		s.Done.Add(1)
	case result == holdfast.EffectFailed:
		s.Failed.Add(1)
	default:
		s.Retried.Add(1)
	}
}

// Stats are the worker's counters.
func (w *Worker) Stats() *Stats { return &w.stats }
