package node

import "time"

// load is what a proposer measures of the commit path, for those who pace a crowd by it: see admission.Gauge. It counts
// from one reading to the next.
type load struct {
	since    time.Duration // Monotonic: since when something has been queued
	commands int           // decided, or 1 for an entry without any
	took     time.Duration // by each of them, from the queue to its answer, summed
}

// packed is how long what an entry takes has waited: half as long as the oldest of it, on the average.
func (l *load) packed(now time.Duration, e *entry) {
	e.packed = now
	if e.commands > 0 {
		e.packed -= max(now-l.since, 0) / 2
	}
}

// decided counts an entry.
func (l *load) decided(now time.Duration, e *entry) {
	n := max(e.commands, 1)
	l.commands += n
	l.took += time.Duration(n) * max(now-e.packed, 0)
}

// measure gives how many commands were decided since the last reading, and how long they took on the average. What is under
// way counts as soon as it is older than that: a path that stands still decides nothing that could tell.
func (p *proposer) measure() (commands int, turnaround time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Monotonic()
	if p.load.commands > 0 {
		turnaround = p.load.took / time.Duration(p.load.commands)
	}
	commands = p.load.commands
	p.load.commands, p.load.took = 0, 0
	if len(p.flight) > 0 {
		turnaround = max(turnaround, now-p.flight[0].packed)
	}
	if p.queue.len() > 0 {
		turnaround = max(turnaround, now-p.load.since)
	}
	return commands, turnaround
}
