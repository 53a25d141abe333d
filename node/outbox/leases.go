package outbox

import (
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
)

// Leases says which settlement worker carries out which effect of a shard, and until when. It lives in the memory of
// the shard's leader and nowhere else: whoever leads next gives every effect out anew. That is safe, since an effect
// may be carried out more than once: the provider knows the repeat by its key, and the log decides each
// acknowledgement once. Leases only keep workers out of each other's way.
//
// The zero value is ready. It is not safe for concurrent use: its owner locks.
type Leases struct {
	held    map[holdfast.EffectID]lease
	workers map[string]question
	swept   time.Duration // when what had run out was last taken away
}

type lease struct {
	worker string
	until  time.Duration
}

// question is a worker's latest.
type question struct {
	number uint64
	at     time.Duration
}

// Query asks for effects of a shard.
type Query struct {
	Worker  string // unique among workers
	Number  uint64 // of the question: a worker's later ones have higher numbers
	Account string // whose payments it can touch; effects of events with another account or mode are left to others
	Mode    holdfast.PaymentMode
	Kinds   uint32              // a bit for each holdfast.EffectKind that the worker carries out: 1 << kind
	Max     int                 // more effects at most; 0: only take back
	Have    []holdfast.EffectID // what the worker still has in hand; it has finished with all others
}

// The limits of leases.
const (
	// LeasesMax bounds the effects of one shard that are out at a time. A leader that looks for due effects passes
	// over those, so it also bounds the time that a look takes. A hundred calls a second that take ten seconds
	// each need a thousand.
	LeasesMax = 2048
	// LeasesPerCallMax bounds the effects that one call gives.
	LeasesPerCallMax = 256
	// LeaseFor is how long a worker has an effect: longer than its longest call to a provider with one repeat,
	// shorter than a buyer's patience after the worker died.
	LeaseFor = 30 * time.Second

	// workersMax bounds the workers whose questions are remembered; further ones are given nothing.
	workersMax = 1024
)

// Room is how many effects a worker can be given now that wants so many.
func (l *Leases) Room(now time.Duration, want int) int {
	l.sweep(now)
	return max(min(want, LeasesPerCallMax, LeasesMax-len(l.held)), 0)
}

// Take gives the worker an effect, unless another lease on it runs.
func (l *Leases) Take(now time.Duration, id holdfast.EffectID, worker string) bool {
	if was, ok := l.held[id]; ok && now < was.until {
		return false
	}
	if l.held == nil {
		l.held = map[holdfast.EffectID]lease{}
	}
	l.held[id] = lease{worker, now + LeaseFor}
	return true
}

// Keep ends the worker's leases on all effects but those that it has in hand. Those of other workers stay.
func (l *Leases) Keep(worker string, have []holdfast.EffectID) {
	for id, was := range l.held {
		if was.worker == worker && !slices.Contains(have, id) {
			delete(l.held, id)
		}
	}
}

// latest notes a worker's question, unless a later one was noted before.
func (l *Leases) latest(now time.Duration, q Query) bool {
	if last, ok := l.workers[q.Worker]; ok && q.Number < last.number || !ok && len(l.workers) >= workersMax {
		return false
	}
	if l.workers == nil {
		l.workers = map[string]question{}
	}
	l.workers[q.Worker] = question{q.Number, now}
	return true
}

// Clear ends all leases: leadership was lost.
func (l *Leases) Clear() { *l = Leases{} }

// Out is how many effects are out.
func (l *Leases) Out() int { return len(l.held) }

// sweep takes away what has run out, now and then: Take does not need it, room and memory do.
func (l *Leases) sweep(now time.Duration) {
	if now-l.swept < time.Second {
		return
	}
	l.swept = now
	for id, was := range l.held {
		if now >= was.until {
			delete(l.held, id)
		}
	}
	for worker, last := range l.workers {
		if now-last.at > 2*LeaseFor {
			delete(l.workers, worker)
		}
	}
}

// looksMax is how many due effects one look passes, leased ones and those for other workers included: some hundred
// microseconds, for which the shard's commands wait. An account whose workers are gone can, with more than that due,
// hold up another's in the same shard.
const looksMax = 4 * LeasesMax

// Due takes back what the worker does not have any more, and gives it the most urgent effects of a machine that are due
// and not out, of those that it can carry out. A question that was overtaken by a later one of the same worker changes
// nothing: what it says of the worker's hand is old.
func (l *Leases) Due(m *fsm.Machine, now time.Duration, q Query) (given []fsm.EffectView) {
	if !l.latest(now, q) {
		return nil
	}
	l.Keep(q.Worker, q.Have)
	room := l.Room(now, q.Max)
	if room == 0 {
		return nil
	}
	m.DueEffects(looksMax, func(e fsm.EffectView) bool {
		if q.Kinds&(1<<e.Kind) != 0 && e.Account == q.Account && e.Mode == q.Mode && l.Take(now, e.ID, q.Worker) {
			given = append(given, e)
		}
		return len(given) < room
	})
	return given
}
