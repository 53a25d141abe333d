package sim

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/node"
)

// Disk is a disk that outlives the processes that use it. Each process mounts it; a crash ends all mounts. It is
// safe for concurrent use.
type Disk struct {
	mu       sync.Mutex
	random   *rand.Rand
	faults   Faults
	hook     func(Step)
	capacity uint64
	reserved uint64
	dirs     map[string]*dir
	rafts    map[string]*raftLog
	mounted  int // counts mounts; a mount with another number is dead
}

// Faults is what is wrong with a disk at present. The zero value is a disk that works.
type Faults struct {
	SyncTime    time.Duration // every wait for the disk takes this long
	SyncJitter  time.Duration // and up to this much longer
	WriteError  error         // every write fails with it
	SyncError   error         // every sync fails with it, and what was to be synced is lost at a crash
	ForgetSyncs bool          // syncs are answered and not done: no disk may do this, and tests must notice
	TearTails   bool          // at a crash some of what was not synced is there all the same, the end of it garbled
}

// Step is something that a process does to a disk and that a crash may come just before or just after.
type Step struct {
	Name string // of the folder or the file, or of the folder of a Raft log
	Do   Do
	Done bool // it is durable, or as durable as it gets
}

// Do is what is done in a step.
type Do uint8

// The steps.
const (
	SyncFile Do = iota + 1
	SyncNames
	Rename
	Append   // to a Raft log
	SetValue // of those that a Raft log calls stable
	Truncate // a Raft log
)

// Hook has a function called at every step, by the process that does it. The function may crash it: a hook moves on to
// the disk that PowerOff gives.
func (d *Disk) Hook(hook func(Step)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

// errCrashed is what a process sees that goes on using a disk after its own crash.
var errCrashed = errors.New("sim: this process has crashed")

// NewDisk makes an empty disk of so many bytes.
func NewDisk(seed, capacity uint64) *Disk {
	return &Disk{random: rand.New(rand.NewPCG(seed, 1)), capacity: capacity, dirs: map[string]*dir{}, rafts: map[string]*raftLog{}}
}

// SetFaults changes what is wrong.
func (d *Disk) SetFaults(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// Mount gives the disk to a process. An earlier one loses it, as if it had crashed.
func (d *Disk) Mount() node.Disk {
	d.Crash()
	d.mu.Lock()
	defer d.mu.Unlock()
	return &mount{d, d.mounted}
}

// Crash takes the disk away from the process that has it. What was not synced is lost.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mounted++
	d.dirs, d.rafts = d.afterCrash()
}

// PowerOff gives the disk as it is found after a crash now. This one is left to the process that has it, which does
// not notice, and works from now on, so that it can be stopped in an orderly way: whatever it still writes is never found. (A process that
// meets errors of its disk ends itself, and would take the others in the test along.)
func (d *Disk) PowerOff() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := &Disk{random: d.random, faults: d.faults, hook: d.hook, capacity: d.capacity, reserved: d.reserved}
	found.dirs, found.rafts = d.afterCrash()
	d.random, d.hook, d.faults = rand.New(rand.NewPCG(d.random.Uint64(), 1)), nil, Faults{}
	return found
}

// afterCrash is what a crash leaves, sharing nothing that is written to.
func (d *Disk) afterCrash() (dirs map[string]*dir, rafts map[string]*raftLog) {
	dirs, rafts = map[string]*dir{}, map[string]*raftLog{}
	for _, name := range slices.Sorted(maps.Keys(d.dirs)) {
		dirs[name] = d.dirs[name].afterCrash(d)
	}
	for _, name := range slices.Sorted(maps.Keys(d.rafts)) {
		rafts[name] = d.rafts[name].afterCrash(d)
	}
	return dirs, rafts
}

// Wipe empties the disk, as if it had been replaced.
func (d *Disk) Wipe() {
	d.Crash()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirs, d.rafts, d.reserved = map[string]*dir{}, map[string]*raftLog{}, 0
}

// Fill leaves so many bytes free.
func (d *Disk) Fill(free uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = d.used() + free
}

// Remove deletes a file, or the Raft log of a folder when that is named, as somebody might by hand.
func (d *Disk) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rafts, name)
	dir, file := path.Split(name)
	if folder := d.dirs[strings.TrimSuffix(dir, "/")]; folder != nil {
		delete(folder.seen, file)
		delete(folder.durable, file)
	}
}

// Files lists the files of a folder with their sizes.
func (d *Disk) Files(folder string) map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	sizes := map[string]int{}
	if f := d.dirs[folder]; f != nil {
		for name, file := range f.seen {
			sizes[name] = len(file.data)
		}
	}
	return sizes
}

// Damage turns over one bit of a file, in the byte at the given place.
func (d *Disk) Damage(name string, at int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, name := path.Split(name)
	f := d.dirs[strings.TrimSuffix(dir, "/")].seen[name]
	f.data = slices.Clone(f.data)
	f.data[at] ^= 1
	f.synced = f.data
}

// DamageLog turns over one bit of an entry that is in the Raft log of a folder.
func (d *Disk) DamageLog(name string, index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range []*raftState{d.rafts[name].seen, d.rafts[name].durable} {
		e := s.entries[index]
		e.Data = slices.Clone(e.Data)
		e.Data[len(e.Data)/2] ^= 1
		s.entries[index] = e
	}
}

// Entries lists the entries of commands that are in the Raft log of a folder, by index.
func (d *Disk) Entries(name string) (indexes []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.rafts[name]; l != nil {
		for index, e := range l.seen.entries {
			if e.Type == raft.LogCommand && len(e.Data) > 0 {
				indexes = append(indexes, index)
			}
		}
	}
	slices.Sort(indexes)
	return indexes
}

// used is what is taken of the capacity.
func (d *Disk) used() uint64 {
	used := d.reserved
	for _, folder := range d.dirs {
		for _, f := range folder.seen {
			used += uint64(len(f.data))
		}
	}
	for _, l := range d.rafts {
		used += l.seen.bytes
	}
	return used
}

// write asks for room and checks that writing works; the caller has the lock.
func (d *Disk) write(bytes int) error {
	if d.faults.WriteError != nil {
		return d.faults.WriteError
	}
	if d.used()+uint64(bytes) > d.capacity {
		return syscall.ENOSPC
	}
	return nil
}

// mount is one process's view of a Disk.
type mount struct {
	disk   *Disk
	number int
}

// locked runs f on the disk unless this process has crashed.
func (m *mount) locked(f func(d *Disk) error) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.number != m.disk.mounted {
		return errCrashed
	}
	return f(m.disk)
}

// wait is how long a sync takes: before it, so that a crash meanwhile loses what was to be synced.
func (m *mount) wait() error {
	var pause time.Duration
	err := m.locked(func(d *Disk) error {
		pause = d.faults.SyncTime
		if d.faults.SyncJitter > 0 {
			pause += time.Duration(d.random.Int64N(int64(d.faults.SyncJitter)))
		}
		return nil
	})
	if pause > 0 {
		time.Sleep(pause)
	}
	return err
}

// sync waits for the disk, then does f unless the disk fails or forgets.
func (m *mount) sync(step Step, f func(d *Disk)) error {
	if err := m.wait(); err != nil {
		return err
	}
	m.tell(step)
	err := m.locked(func(d *Disk) error {
		if d.faults.SyncError == nil && !d.faults.ForgetSyncs {
			f(d)
		}
		return d.faults.SyncError
	})
	step.Done = true
	m.tell(step)
	return err
}

// tell calls the hook, which may want the lock.
func (m *mount) tell(step Step) {
	m.disk.mu.Lock()
	hook := m.disk.hook
	m.disk.mu.Unlock()
	if hook != nil {
		hook(step)
	}
}

func (m *mount) Dir(name string) (node.Dir, error) {
	err := m.locked(func(d *Disk) error {
		if d.dirs[name] == nil {
			d.dirs[name] = &dir{seen: map[string]*file{}, durable: map[string]*file{}}
		}
		return nil
	})
	return &dirHandle{m, name}, err
}

func (m *mount) Raft(name string, create bool) (node.RaftStore, error) {
	h := &raftHandle{mount: m, name: name}
	err := m.locked(func(d *Disk) error {
		if d.rafts[name] == nil {
			if !create {
				return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			d.rafts[name] = newRaftLog(emptyRaft())
		}
		h.log = d.rafts[name]
		return nil
	})
	return h, err
}

func (m *mount) Free() (free uint64, err error) {
	err = m.locked(func(d *Disk) error {
		free = d.capacity - min(d.capacity, d.used())
		return nil
	})
	return free, err
}

func (m *mount) Reserve(bytes uint64) error {
	return m.locked(func(d *Disk) error {
		d.reserved = 0
		if err := d.write(int(bytes)); err != nil {
			return err
		}
		d.reserved = bytes
		return nil
	})
}

// Close ends the mount. It is no crash: what was not synced is still there for the next one, if nothing crashes.
func (m *mount) Close() error { return m.locked(func(d *Disk) error { d.mounted++; return nil }) }
