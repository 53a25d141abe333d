//go:build linux

package lossy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says what Disk to start. Dir and Command must be given.
type Config struct {
	Dir     string   // for what is durable; made if need be. It must not be a lossy file system itself
	Mount   string   // the folder to mount at, made if need be; "": a new one in Dir
	Command []string // a program that calls Serve with its standard input and output
	Env     []string // of that program, besides what this one has
	// As in Options.
	WriteBack   time.Duration
	UnsyncedMax int64
	Forget      string // a regular expression
}

// ErrNotHere is that this computer does not let us mount a file system.
var ErrNotHere = errors.New("no FUSE here")

// Missing says why there can be no Disk, or nil.
func Missing() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	f.Close()
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		return fmt.Errorf("%w: not root, and %w", ErrNotHere, err)
	}
	return nil
}

// Disk is a lossy file system, mounted, served by a process of its own. When this process ends, however it ends, that one
// takes its mount away and ends too. Cuts are one at a time.
type Disk struct {
	at  string
	cmd *exec.Cmd

	mu  sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

// Start mounts a Disk.
func Start(cfg Config) (_ *Disk, err error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	sweep()
	if cfg.Mount == "" {
		cfg.Mount = filepath.Join(cfg.Dir, "mount")
	}
	if err := errors.Join(os.MkdirAll(cfg.Dir, 0o755), os.MkdirAll(cfg.Mount, 0o755)); err != nil {
		return nil, err
	}
	d := &Disk{at: cfg.Mount, cmd: exec.Command(cfg.Command[0], cfg.Command[1:]...)}
	d.cmd.Env, d.cmd.Stderr = append(os.Environ(), cfg.Env...), os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for us to hand on
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.out = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = d.ask(request{Serve: &served{Dir: cfg.Dir, Mount: cfg.Mount, Forget: cfg.Forget, WriteBack: cfg.WriteBack, UnsyncedMax: cfg.UnsyncedMax}})
	if err != nil {
		return nil, errors.Join(err, d.end())
	}
	return d, nil
}

// Path is where it is mounted.
func (d *Disk) Path() string { return d.at }

// ask sends a request and waits for the answer.
func (d *Disk) ask(r request) (Counts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := json.NewEncoder(d.in).Encode(r); err != nil {
		return Counts{}, err
	}
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		return Counts{}, fmt.Errorf("the process that serves %s has ended: %w", d.at, err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Counts{}, fmt.Errorf("%s: %w", line, err)
	}
	counts := Counts{}
	if a.Counts != nil {
		counts = *a.Counts
	}
	switch {
	case a.NotHere:
		return counts, fmt.Errorf("%w: %s", ErrNotHere, a.Error)
	case a.Error != "":
		return counts, errors.New(a.Error)
	}
	return counts, nil
}

// Freeze, Cut and Resume are those of Store: together they are a power failure.
func (d *Disk) Freeze() error {
	_, err := d.ask(request{Do: "freeze"})
	return err
}

// FreezeAt is that of Store.
func (d *Disk) FreezeAt(nth int, patience time.Duration) error {
	_, err := d.ask(request{Do: "freeze", Nth: nth, Patience: patience})
	return err
}

// Deny is that of Store.
func (d *Disk) Deny() error {
	_, err := d.ask(request{Do: "deny"})
	return err
}

// Cut decides what is left. It gives what happened on the disk so far.
func (d *Disk) Cut(seed uint64) (Counts, error) { return d.ask(request{Do: "cut", Seed: seed}) }

// Resume gives the power back.
func (d *Disk) Resume() error {
	_, err := d.ask(request{Do: "resume"})
	return err
}

// Sync makes everything durable.
func (d *Disk) Sync() error {
	_, err := d.ask(request{Do: "sync"})
	return err
}

// Close takes the mount away. What the disk had is in the folder tree of Config.Dir.
func (d *Disk) Close() error {
	_, err := d.ask(request{Do: "close"})
	return errors.Join(err, d.end())
}

// endPatience is how long the serving process may take to end.
const endPatience = 10 * time.Second

// end waits for the process, and takes away the mount if it has not done so.
func (d *Disk) end() error {
	d.in.Close()
	timer := time.AfterFunc(endPatience, func() { _ = d.cmd.Process.Kill() })
	defer timer.Stop()
	err := d.cmd.Wait()
	sweep()
	return err
}

// sweep takes away mounts whose process has ended without doing so. They hang on nothing, but are in the way.
func sweep() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // source, folder, type, …
		if len(fields) < 3 || fields[2] != "fuse."+fileSystem {
			continue
		}
		if _, alive := os.Stat("/proc/" + strings.TrimPrefix(fields[0], "hfj")); alive != nil {
			_ = syscall.Unmount(unescape.Replace(fields[1]), syscall.MNT_DETACH)
		}
	}
}

// unescape undoes what the kernel does to the folders in its list.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
