//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/lossy"
)

// disks are where the members' folders are: beside each other, or each on a file system of its own, in a file, or on one
// whose power can be cut.
type disks struct {
	dir     string
	own     bool
	mounted []string
	lossy   []*lossy.Disk // by member, or none
	noPower error         // why there are none though they were asked for
}

const diskBytesDefault = 8 << 30

func newDisks(cfg Config) (*disks, error) {
	d := &disks{dir: cfg.Dir}
	if cfg.Lossy.Server != nil {
		if err := d.mountLossy(cfg); err != nil || len(d.lossy) > 0 {
			return d, err
		}
	}
	if cfg.DiskBytes == 0 {
		cfg.DiskBytes = diskBytesDefault
	}
	if _, err := exec.LookPath("mkfs.ext4"); !cfg.Namespaces || err != nil {
		for i := range cfg.Members {
			if err := os.MkdirAll(d.folder(i), 0o755); err != nil {
				return d, err
			}
		}
		return d, nil
	}
	d.own = true
	for i := range cfg.Members {
		if err := d.mount(i, cfg.DiskBytes); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *disks) mount(i int, bytes int64) error {
	image := d.folder(i) + ".ext4"
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close(), os.MkdirAll(d.folder(i), 0o755)); err != nil {
		return err
	}
	if err := system("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image); err != nil {
		return err
	}
	if err := system("mount", "-o", "loop", image, d.folder(i)); err != nil {
		return err
	}
	d.mounted = append(d.mounted, d.folder(i))
	return nil
}

func (d *disks) folder(i int) string { return filepath.Join(d.dir, Name(i)) }

// Close leaves the images, which hold what the members knew.
func (d *disks) Close() (err error) {
	for _, folder := range d.mounted {
		err = errors.Join(err, system("umount", folder))
	}
	d.mounted = nil
	for _, disk := range d.lossy {
		err = errors.Join(err, disk.Close())
	}
	d.lossy = nil
	return err
}

// OwnDisks reports whether every member has a file system of its own, which can be filled without harm to others.
func (c *Cluster) OwnDisks() bool { return c.disks.own }

func (c *Cluster) filler(i int) string { return filepath.Join(c.disks.folder(i), "filler") }

// Fill takes a member's disk but for so many bytes.
func (c *Cluster) Fill(i int, leave uint64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(c.disks.folder(i), &st); err != nil {
		return err
	}
	free := st.Bavail * uint64(st.Bsize)
	if free <= leave {
		return nil
	}
	f, err := os.Create(c.filler(i))
	if err != nil {
		return err
	}
	defer f.Close()
	// The file system may need some of it for its own lists of what is where.
	for want := int64(free - leave); want > 0; want -= 1 << 20 {
		if err = syscall.Fallocate(int(f.Fd()), 0, 0, want); !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return err
}

// Unfill gives the space back.
func (c *Cluster) Unfill(i int) error {
	err := os.Remove(c.filler(i))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Files are a member's files whose path has the text in it, with their sizes, the largest last.
func (c *Cluster) Files(i int, with string) (paths []string, err error) {
	err = filepath.WalkDir(c.Folder(i), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(path, with) {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

// FlipBit turns one bit of a file around.
func FlipBit(path string, at int64, bit int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var one [1]byte
	_, err = f.ReadAt(one[:], at)
	if err == nil {
		one[0] ^= 1 << bit
		_, err = f.WriteAt(one[:], at)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Tracer breaks system calls of a running member, by strace.
type Tracer struct{ process *process }

// CanTrace says why system calls cannot be broken, or nil.
func CanTrace() error {
	if _, err := exec.LookPath("strace"); err != nil {
		return errors.New("there is no strace")
	}
	if err := exec.Command("strace", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "true").Run(); err != nil {
		return fmt.Errorf("strace may not trace: %w", err)
	}
	return nil
}

// Trace does what inject says (as strace's -e inject) to a member's syncs until Stop.
func (c *Cluster) Trace(i int, inject string) (*Tracer, error) {
	p, err := c.starter.start(filepath.Join(c.cfg.Dir, Name(i)+".strace"), nil, "strace", "-f", "-qq", "-o", "/dev/null",
		"-e", "trace=fsync,fdatasync,msync,sync_file_range", "-e", "inject=fsync,fdatasync:"+inject, "-p", fmt.Sprint(c.Pid(i)))
	if err != nil {
		return nil, err
	}
	return &Tracer{p}, nil
}

// detaches is how long strace may take to let go of a member. It waits for ever for one that was killed while a sync of it was held
// up: for the end of its first thread, which cannot end before strace lets go of the other.
const detaches = 2 * time.Second

// Stop lets go of the member. An error of asking is that the member is gone, and strace with it.
func (t *Tracer) Stop() { t.process.stop(detaches) }
