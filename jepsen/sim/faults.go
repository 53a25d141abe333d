package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	memory "github.com/holdfast-db/holdfast/node/sim"
)

// play plays the plan's faults and returns when the last has ended. Each is announced to told.
func (c *Cluster) play(told func(Fault)) {
	began := time.Now()
	random := rand.New(rand.NewPCG(c.plan.Seed, 12))
	var playing sync.WaitGroup
	for _, f := range c.plan.Faults {
		time.Sleep(f.At - time.Since(began))
		if f.Node == Leader {
			if f.Node = c.leader(); f.Node < 0 {
				f.Node = random.IntN(Members)
			}
		}
		told(f)
		end := c.begin(f)
		playing.Go(func() {
			time.Sleep(f.For)
			end()
		})
	}
	playing.Wait()
}

// sell is told when the load begins.
func (c *Cluster) sell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selling = true
	for _, m := range c.members {
		m.disk.SetFaults(c.usual())
	}
}

// begin lets a fault begin; end ends it.
func (c *Cluster) begin(f Fault) (end func()) {
	switch f.Kind {
	case Crash:
		c.crash(f.Node)
		return func() { c.up(f.Node) }
	case Wipe:
		c.crash(f.Node)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.members[f.Node].disk.Wipe()
		return func() { c.up(f.Node) }
	case CrashSync:
		return c.trap(f, func(s memory.Step) bool { return s.Do != memory.Rename })
	case CrashSnapshot:
		return c.trap(f, ofSnapshot)
	case Rot:
		return c.rot(f)
	case CrashAll:
		for i := range Members {
			c.crash(i)
		}
		return func() {
			for i := range Members {
				c.up(i)
			}
		}
	case Restart:
		c.stop(f.Node)
		c.ended.Wait()
		return func() { c.up(f.Node) }
	case Pause:
		return c.pause(f.Node)
	}
	return c.beginAround(f)
}

// beginAround is begin of what is between and below the processes.
func (c *Cluster) beginAround(f Fault) (end func()) {
	of := func(from, to int) bool { return from == f.Node || to == f.Node }
	cut := memory.Link{Cut: true}
	switch f.Kind {
	case Isolate:
		return c.impair(cut, of)
	case Deaf:
		return c.impair(cut, func(_, to int) bool { return to == f.Node })
	case Mute:
		return c.impair(cut, func(from, _ int) bool { return from == f.Node })
	case Bridge:
		return c.impair(cut, func(from, to int) bool { return !of(from, to) })
	case SlowLinks:
		return c.impair(memory.Link{Delay: f.Size / 2, Jitter: f.Size / 2}, of)
	case NarrowLinks:
		return c.impair(memory.Link{PerKiB: f.Size}, of)
	case LossLinks:
		return c.impair(memory.Link{Loss: 0.1}, of)
	case Reset:
		for i := range Members {
			if i != f.Node {
				c.network.Reset(nodeName(f.Node), nodeName(i))
			}
		}
		return func() {}
	case SlowDisk, StuckDisk:
		return c.slow(f.Node, f.Size/2)
	case FailDisk:
		return c.failDisk(f.Node)
	case FullDisk:
		c.fill(f.Node, almostFull)
		return func() { c.fill(f.Node, diskBytes) }
	case WallJump:
		return c.jump(f.Size, f.Node)
	case WallsJump:
		return c.jump(f.Size, 0, 1, 2)
	case Transfers:
		return c.transfers(f)
	case HandOver:
		return c.handOver(f.Size)
	}
	panic("no such fault: " + string(f.Kind))
}

// almostFull is less than the headroom, and enough for what is written below it.
const almostFull = 128 << 20

// pause holds up all that goes in and out of a node. A node that crashes meanwhile is not paused any more when it
// comes back, but its links are.
func (c *Cluster) pause(i int) (end func()) {
	heal := c.impairHosts(memory.Link{Cut: true}, func(from, to int) bool { return from == i || to == i })
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.members[i].life
	if l == nil || l.paused != nil {
		return heal
	}
	l.paused = make(chan struct{})
	return func() {
		heal()
		c.mu.Lock()
		defer c.mu.Unlock()
		close(l.paused)
		l.paused = nil
	}
}

func (c *Cluster) isPaused(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i].life != nil && c.members[i].life.paused != nil
}

// impairDisk changes what is wrong with a disk, also after a crash of its machine.
func (c *Cluster) impairDisk(i int, change func(*memory.Faults)) (end func()) {
	set := func(change func(*memory.Faults)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		f := c.usual()
		change(&f)
		c.members[i].disk.SetFaults(f)
	}
	set(change)
	return func() { set(func(*memory.Faults) {}) }
}

// slow lets a disk take its time.
func (c *Cluster) slow(i int, pause time.Duration) (end func()) {
	return c.impairDisk(i, func(f *memory.Faults) { f.SyncTime, f.SyncJitter = pause, pause })
}

func (c *Cluster) fill(i int, free uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[i].disk.Fill(free)
}

// handOver moves the wall clock of whoever leads, again and again.
func (c *Cluster) handOver(every time.Duration) (end func()) {
	back := func() {}
	stop := repeat(every, func() {
		if leader := c.leader(); leader >= 0 {
			back()
			back = c.jump(time.Hour, leader)
		}
	})
	return func() {
		stop()
		back()
	}
}

// transfers is an operator who hands the leadership of a shard to somebody, again and again. What he is told does not
// matter: whom he asks may not lead, or crash.
func (c *Cluster) transfers(f Fault) (end func()) {
	random := rand.New(rand.NewPCG(c.plan.Seed, uint64(f.At)))
	return repeat(f.Size, func() {
		shard, from, to := holdfast.ShardID(random.IntN(int(Shard)+1)), c.leader(), random.IntN(Members)
		if from < 0 {
			from = random.IntN(Members)
		}
		_, _ = ask(c, from, func(ctx context.Context, n *node.Node) error { return n.Transfer(ctx, shard, nodeName(to)) })
	})
}

// repeat does something now and then, until it is stopped.
func repeat(every time.Duration, do func()) (stop func()) {
	stopped := make(chan struct{})
	var doing sync.WaitGroup
	doing.Go(func() {
		for {
			do()
			select {
			case <-stopped:
				return
			case <-time.After(every):
			}
		}
	})
	return func() {
		close(stopped)
		doing.Wait()
	}
}

// jump moves wall clocks, and moves them back at the end.
func (c *Cluster) jump(by time.Duration, members ...int) (end func()) {
	move := func(by time.Duration) {
		for _, i := range members {
			c.members[i].clock.jump(by)
		}
	}
	move(by)
	return func() { move(-by) }
}
