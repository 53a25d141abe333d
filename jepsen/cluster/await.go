//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Shard is the one shard of the cluster, besides the directory.
const Shard = holdfast.ShardID(1)

const (
	askEvery   = 10 * time.Millisecond
	askTimeout = time.Second
)

// Await waits until every member runs, is ready and has caught up with a leader.
func (c *Cluster) Await(patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(askEvery) {
		why := c.unready()
		if why == nil {
			return nil
		}
		if time.Now().After(deadline) {
			words := ""
			for i := range c.members {
				words += fmt.Sprintf("\n%s: %s", Name(i), c.LastWords(i))
			}
			return fmt.Errorf("waited %v: %w%s", patience, why, words)
		}
	}
}

// Recover waits as Await does, and starts those again that have ended with an excuse, as often as it takes: a member whose
// disk failed may end some time after that was healed, when another fault has let it go on, say.
func (c *Cluster) Recover(patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		err := errors.Join(c.revive(), c.Await(time.Second))
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// behindMax is how many entries a member may be behind its leader and still count as well: else the next fault would
// strike two.
const behindMax = 200

// unready says what is missing.
func (c *Cluster) unready() error {
	committed, voters, applied := uint64(0), 0, make([]uint64, len(c.members))
	for i := range c.members {
		if !c.Running(i) {
			return fmt.Errorf("%s does not run", Name(i))
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		s, err := c.client.Status(ctx, c.Address(i))
		cancel()
		if err != nil {
			return err
		}
		if !s.GetReady() {
			return fmt.Errorf("%s is not ready", Name(i))
		}
		for _, shard := range s.GetShards() {
			if shard.GetShard() != uint32(Shard) {
				continue
			}
			if applied[i] = shard.GetAppliedIndex(); shard.GetRole() == "leader" {
				committed, voters = shard.GetCommitIndex(), len(shard.GetVoters())
			}
		}
	}
	if voters != len(c.members) {
		return fmt.Errorf("the leader has %d voters of %d", voters, len(c.members))
	}
	for i, at := range applied {
		if at+behindMax < committed {
			return fmt.Errorf("%s has applied entry %d, the leader has committed %d", Name(i), at, committed)
		}
	}
	return nil
}

// Whole reports whether every member, as it is now, is a voter. One that came back with an empty disk learns only, until
// an operator makes it a voter: what it once acknowledged is gone, and the cluster stands one loss less.
func (c *Cluster) Whole() bool {
	var voters []string
	ids := map[string]bool{}
	for i := range c.members {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		s, err := c.client.Status(ctx, c.Address(i))
		cancel()
		if err != nil {
			return false
		}
		ids[s.GetId()] = true
		for _, shard := range s.GetShards() {
			if shard.GetRole() == "leader" {
				voters = append(voters, shard.GetVoters()...)
			}
		}
	}
	for _, v := range voters {
		if !ids[v] {
			return false
		}
	}
	return true
}

// Leader is who leads the shard as far as those know that run and answer; -1 when nobody does. It waits for an election,
// if there are enough members for one.
func (c *Cluster) Leader() int {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(askEvery) {
		able := 0
		for i := range c.members {
			if !c.answers(i) {
				continue
			}
			able++
			ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
			s, err := c.client.Status(ctx, c.Address(i))
			cancel()
			for _, shard := range s.GetShards() {
				if err == nil && shard.GetShard() == uint32(Shard) && shard.GetRole() == "leader" {
					return i
				}
			}
		}
		if able <= len(c.members)/2 {
			break
		}
	}
	return -1
}

// Digests are the state hashes of all members at one entry of a shard. The cluster must be well.
func (c *Cluster) Digests(ctx context.Context, shard holdfast.ShardID) (at holdfast.Stamp, sums [][32]byte, err error) {
	for {
		if at, err = c.client.Mark(ctx, shard); err != nil {
			return at, nil, err
		}
		if sums, err = c.digestsAt(ctx, at); err == nil || ctx.Err() != nil || !errors.Is(err, holdfast.NotFound) {
			return at, sums, err
		}
	}
}

func (c *Cluster) digestsAt(ctx context.Context, at holdfast.Stamp) (sums [][32]byte, err error) {
	for i := range c.members {
		for {
			var sum [32]byte
			if sum, err = c.client.Digest(ctx, c.Address(i), at.Shard, at.Index); err == nil {
				sums = append(sums, sum)
				break
			}
			if ctx.Err() != nil || errors.Is(err, holdfast.NotFound) { // it was given a snapshot of later: mark again
				return nil, fmt.Errorf("%s: %w", Name(i), err)
			}
			time.Sleep(askEvery)
		}
	}
	return sums, nil
}

// Verify replays a member's archive offline, and gives what it printed when it found something. It leaves the computer to
// others, as far as it can.
func (c *Cluster) Verify(i int) error {
	command := []string{c.cfg.Binary, "verify", c.Folder(i)}
	if nice, err := exec.LookPath("nice"); err == nil {
		command = append([]string{nice, "-n", "19"}, command...)
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", Name(i), err, out)
	}
	return nil
}
