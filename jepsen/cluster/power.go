//go:build linux

package cluster

import (
	"errors"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/lossy"
)

// LossyDisks says on what file systems members live whose power can be cut. See package lossy.
type LossyDisks struct {
	Server []string // the program that serves one, as lossy.Config.Command; nil: there are none
	// Forgetful breaks them: syncs of logs are confirmed and not done, so that the power takes the last third of a second.
	Forgetful bool
}

const (
	// powerWriteBack is how old a change may get: as the kernel's flusher and ext4's journal have it.
	powerWriteBack     = 5 * time.Second
	forgetfulWriteBack = 300 * time.Millisecond
	forgetfulFiles     = `/raft\.db$`
)

// mountLossy puts every member on a lossy file system. It is no error that this computer has none, and CanCutPower says so.
func (d *disks) mountLossy(cfg Config) error {
	for i := range cfg.Members {
		c := lossy.Config{Dir: d.folder(i) + ".lossy", Mount: d.folder(i), Command: cfg.Lossy.Server, WriteBack: powerWriteBack}
		if cfg.Lossy.Forgetful {
			c.Forget, c.WriteBack = forgetfulFiles, forgetfulWriteBack
		}
		disk, err := lossy.Start(c)
		if errors.Is(err, lossy.ErrNotHere) && i == 0 {
			d.noPower = err
			return nil
		}
		if err != nil {
			return err
		}
		d.lossy = append(d.lossy, disk)
	}
	return nil
}

// CanCutPower says why members' power cannot be cut, or nil.
func (c *Cluster) CanCutPower() error {
	switch {
	case len(c.disks.lossy) > 0:
		return nil
	case c.disks.noPower != nil:
		return c.disks.noPower
	}
	return errors.New("needs --disk lossy")
}

// powerMoment is how long at most to wait for the change at which the power fails.
const powerMoment = 200 * time.Millisecond

// CutPower ends some members as a power failure does: at the nth change from now that the first of them asks of its disk,
// and with whatever the seed leaves of what was not synced. Their disks are there again at once, and they are down.
func (c *Cluster) CutPower(who []int, nth int, seed uint64) (lost lossy.Counts, err error) {
	c.ops.Lock()
	defer c.ops.Unlock()
	err = c.disks.lossy[who[0]].FreezeAt(nth, powerMoment)
	for _, i := range who[1:] {
		err = errors.Join(err, c.disks.lossy[i].Freeze())
	}
	// A process that waits for its disk ends only when that has answered, and then does nothing more.
	var ending []*process
	for _, i := range who {
		if p := c.take(i); p != nil {
			_ = p.signal(syscall.SIGKILL) // an error is that it has ended
			ending = append(ending, p)
		}
	}
	for _, i := range who {
		counts, failed := c.disks.lossy[i].Cut(seed + uint64(i))
		err = errors.Join(err, failed)
		lost.Writes, lost.WritesLost = lost.Writes+counts.Writes, lost.WritesLost+counts.WritesLost
		lost.Names, lost.NamesLost = lost.Names+counts.Names, lost.NamesLost+counts.NamesLost
	}
	for _, p := range ending {
		<-p.ended
	}
	for _, i := range who {
		err = errors.Join(err, c.disks.lossy[i].Resume())
	}
	c.cfg.Logger.Info("the power was cut", "members", len(who), "sectors_lost_so_far", lost.WritesLost, "of", lost.Writes, "names_lost", lost.NamesLost, "of", lost.Names)
	return lost, err
}
