package sim

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	memory "github.com/holdfast-db/holdfast/node/sim"
)

// Faults that strike at a certain step of what a node does to its disk, or that a node must notice.

// trap crashes a node at the nth step of those that match.
type trap struct {
	kind    Kind
	left    int // steps; 0: it has sprung
	matches func(memory.Step) bool
}

// trap sets a trap. A node that does not step into it crashes at the end all the same.
func (c *Cluster) trap(f Fault, matches func(memory.Step) bool) (end func()) {
	m, set := c.members[f.Node], &trap{f.Kind, max(f.Nth, 1), matches}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.traps = append(m.traps, set)
	return func() {
		c.mu.Lock()
		m.traps = slices.DeleteFunc(m.traps, func(t *trap) bool { return t == set })
		if set.left > 0 {
			c.crashLocked(f.Node)
		}
		c.mu.Unlock()
		c.up(f.Node)
	}
}

// step is told by a member's disk what is done to it. A node that steps into two traps at once is down until both have ended.
func (c *Cluster) step(i int, s memory.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.members[i].traps {
		if t.left == 0 || !t.matches(s) {
			continue
		}
		if t.left--; t.left == 0 {
			c.struck[t.kind]++
			c.crashLocked(i)
		}
	}
}

// ofSnapshot is what is done to make or install a snapshot: its file is synced and named, and the log before it goes.
func ofSnapshot(s memory.Step) bool {
	return strings.Contains(s.Name, "/snapshots") || s.Do == memory.Truncate
}

// failDisk lets syncs fail. A node that notices must end by itself; it comes back when they work again.
func (c *Cluster) failDisk(i int) (end func()) {
	c.mu.Lock()
	c.members[i].failing++
	c.mu.Unlock()
	heal := c.impairDisk(i, func(f *memory.Faults) { f.SyncError = syscall.EIO })
	return func() {
		heal()
		time.Sleep(2 * endedAfter) // who has noticed ends within that time
		c.mu.Lock()
		fell := c.members[i].fell
		c.members[i].failing--
		c.members[i].fell = false
		c.mu.Unlock()
		if fell {
			c.up(i)
		}
	}
}

// fallen is told of a node that has ended by itself, as its process does then.
func (c *Cluster) fallen(i int, l *life, err error) {
	m := c.members[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.life != l: // it crashed, or was stopped
	case m.failing > 0:
		m.fell = true
		c.struck[FailDisk]++
		c.crashLocked(i)
	case m.rotten:
		c.struck[Rot]++
		c.crashLocked(i)
		c.ended.Go(func() {
			c.replace(i)
			c.up(i)
		})
	default:
		c.failed = append(c.failed, fmt.Sprintf("%s has ended by itself: %v", m.name, err))
	}
}

// damaged ends the process of a node that has read a damaged entry of its log, and gives it another disk. The process is known
// by the crashes of its member before it; one that has crashed tells nothing any more.
func (c *Cluster) damaged(i, crashes int) {
	m := c.members[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.crashes != crashes {
		return
	}
	if m.rotten {
		c.struck[Rot]++
	} else {
		c.failed = append(c.failed, fmt.Sprintf("%s has read a damaged entry, and nobody damaged it", nodeName(i)))
	}
	c.crashLocked(i)
	c.ended.Go(func() {
		c.replace(i)
		c.up(i)
	})
}

// endedAfter is how long the process of a node that has failed still runs at most.
const endedAfter = 100 * time.Millisecond

// rot crashes a node and turns over a bit of its disk: of an entry of a log, or of a snapshot.
func (c *Cluster) rot(f Fault) (end func()) {
	c.crash(f.Node)
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[f.Node]
	m.rotten = true
	shard := fmt.Sprintf("shard-%d", f.Nth%(int(Shard)+1))
	var files []string
	sizes := m.disk.Files(shard + "/snapshots")
	for name, size := range sizes {
		if strings.HasSuffix(name, ".snap") && size > 0 {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	entries := m.disk.Entries(shard)
	switch {
	case len(files) > 0 && (len(entries) == 0 || f.Nth%3 == 0):
		name := files[f.Nth/7%len(files)]
		m.disk.Damage(shard+"/snapshots/"+name, f.Nth/11%sizes[name])
	case len(entries) > 0:
		m.disk.DamageLog(shard, entries[f.Nth/7%len(entries)])
	}
	return func() { c.up(f.Node) }
}

// replace gives a machine that is down an empty disk.
func (c *Cluster) replace(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[i].disk.Wipe()
	c.members[i].rotten = false
}
