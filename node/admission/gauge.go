package admission

import (
	"math"
	"time"
)

// Gauge tells how busy a commit path is. A shard commits in groups: it is never idle under load and yet far from its
// limit, so that the share of time in which an entry is under way says nothing. What says it is how much of an entry's
// time is owed to its commands. With T = a + b·k for an entry of k commands, and λ commands a second, k is λ·T, and the
// load λ·b is 1 - a/T.
//
// So there are two readings, and the larger one holds. The count of commands, times what one is known to cost, shows load
// before it hurts; the time that commands take shows a path that is slower than we know.
type Gauge struct {
	// Command is b: what one more command in an entry is known to cost.
	Command time.Duration
	// Base is a: how long commands take when little happens. It is learned: the shortest mean time, which may rise again
	// by a hundredth in ten seconds, so that a path that was moved is believed in the end.
	Base time.Duration
}

// The bounds of Base. A command that is decided within six milliseconds is felt by nobody, whatever a faster disk could do; and a path
// whose commands take sixteen when idle has little left of the fifty that a hold may take.
const (
	baseMin  = 6 * time.Millisecond
	baseMax  = 16 * time.Millisecond
	baseRise = 0.001 // a second
)

// Read is the busy share, 0 to 1, of a time in which so many commands were decided, which waited and took so long on the
// average.
func (g *Gauge) Read(elapsed time.Duration, commands int, turnaround time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	if g.Base == 0 {
		g.Base = baseMax
	}
	g.Base = time.Duration(float64(g.Base) * math.Exp(baseRise*elapsed.Seconds()))
	if turnaround > 0 {
		g.Base = min(g.Base, turnaround)
	}
	g.Base = min(max(g.Base, baseMin), baseMax)
	u := float64(commands) / elapsed.Seconds() * g.Command.Seconds()
	if turnaround > g.Base {
		u = max(u, 1-float64(g.Base)/float64(turnaround))
	}
	return min(u, 1)
}
