//go:build linux

package lossy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// role is what this program is when a test starts it again.
const role = "HOLDFAST_TEST_LOSSY"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "serve":
		err = Serve(os.Stdin, os.Stdout)
	default:
		err = writeWithBolt(os.Getenv(role))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// startDisk mounts a disk, or skips the test with the reason why there cannot be one.
func startDisk(t testing.TB, forget string) *Disk {
	t.Helper()
	d, err := Start(Config{Dir: t.TempDir(), Command: []string{os.Args[0]}, Env: []string{role + "=serve"}, Forget: forget})
	if errors.Is(err, ErrNotHere) {
		t.Skipf("not tested here: %v", err)
	}
	must(t, err)
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			must(t, d.Close())
		}
	})
	return d
}

// fail is a power failure of a disk that nobody else uses.
func fail(t testing.TB, d *Disk, seed uint64) Counts {
	t.Helper()
	must(t, d.Freeze())
	counts, err := d.Cut(seed)
	must(t, errors.Join(err, d.Resume()))
	return counts
}

func syncPath(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
}

func TestAMountIsAFileSystemLikeAnyOther(t *testing.T) {
	d := startDisk(t, "")
	path := filepath.Join(d.Path(), "a", "b")
	must(t, os.MkdirAll(path, 0o755))
	file := filepath.Join(path, "f")
	data := bytes.Repeat([]byte("0123456789"), 300_000) // several requests
	must(t, os.WriteFile(file, data, 0o640))
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(data), err)
	}
	st, err := os.Stat(file)
	if err != nil || st.Size() != int64(len(data)) || st.Mode() != 0o640 {
		t.Errorf("%v, %v", st, err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("end")
	must(t, errors.Join(err, f.Truncate(int64(len(data))+1), f.Close()))
	if got, err = os.ReadFile(file); err != nil || len(got) != len(data)+1 || got[len(data)] != 'e' {
		t.Errorf("after an append and a truncation: %d bytes, %v", len(got), err)
	}
	must(t, os.Rename(file, filepath.Join(d.Path(), "g")))
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	lock, err := os.OpenFile(filepath.Join(d.Path(), "g"), os.O_RDWR, 0)
	must(t, err)
	other, err := os.Open(filepath.Join(d.Path(), "g"))
	must(t, err)
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a lock that is taken: %v", err)
	}
	must(t, errors.Join(other.Close(), lock.Close(), os.RemoveAll(filepath.Join(d.Path(), "a")), os.Remove(filepath.Join(d.Path(), "g"))))
	if entries, err := os.ReadDir(d.Path()); err != nil || len(entries) != 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// bbolt writes with pwrite and reads by mmap.
func TestAMapSeesWhatIsWritten(t *testing.T) {
	d := startDisk(t, "")
	f, err := os.Create(filepath.Join(d.Path(), "f"))
	must(t, err)
	defer f.Close()
	const page = 4096
	must(t, f.Truncate(8*page))
	mapped, err := syscall.Mmap(int(f.Fd()), 0, 16*page, syscall.PROT_READ, syscall.MAP_SHARED) // beyond its end, as bbolt does
	must(t, err)
	defer func() { must(t, syscall.Munmap(mapped)) }()
	for i := range 8 {
		if mapped[i*page] != 0 {
			t.Fatalf("page %d is not empty", i)
		}
		_, err := f.WriteAt([]byte{byte(i) + 1}, int64(i)*page)
		must(t, err)
		if mapped[i*page] != byte(i)+1 {
			t.Fatalf("page %d in the map is not what was written", i)
		}
	}
	must(t, f.Truncate(12*page))
	_, err = f.WriteAt([]byte("grown"), 11*page)
	must(t, err)
	if string(mapped[11*page:11*page+5]) != "grown" {
		t.Error("the map does not see what the file has grown by")
	}
}

func TestAMapThatIsWrittenToIsDurableAfterMsync(t *testing.T) {
	d := startDisk(t, "")
	path := filepath.Join(d.Path(), "f")
	f, err := os.Create(path)
	must(t, err)
	must(t, f.Truncate(4096))
	mapped, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(t, err)
	copy(mapped, "mapped")
	must(t, errors.Join(unix.Msync(mapped, unix.MS_SYNC), syscall.Munmap(mapped), f.Close()))
	syncPath(t, d.Path())
	fail(t, d, 1)
	if got, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(got), "mapped") {
		t.Errorf("%q, %v", got[:min(len(got), 10)], err)
	}
}

// The kernel remembers names, sizes and pages: after a cut it must ask anew.
func TestAfterACutTheKernelSeesWhatIsLeft(t *testing.T) {
	d := startDisk(t, `^f$`)
	path := filepath.Join(d.Path(), "f")
	must(t, os.WriteFile(path, []byte("synced"), 0o600))
	syncPath(t, d.Path())
	must(t, d.Sync())
	must(t, os.WriteFile(path, []byte("it will be forgotten"), 0o600))
	syncPath(t, path)
	must(t, os.WriteFile(filepath.Join(d.Path(), "old"), nil, 0o600))
	must(t, os.Rename(filepath.Join(d.Path(), "old"), filepath.Join(d.Path(), "new")))
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	counts := fail(t, d, 1)
	if got, err := os.ReadFile(path); err != nil || string(got) != "synced" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := f.Stat(); err == nil {
		_, err = f.ReadAt(make([]byte, 1), 4096)
		t.Logf("a file that was open before the cut: %v", err)
	}
	if counts.Cuts != 1 || counts.Forgotten != 1 || counts.Writes != 1 || counts.WritesLost != 1 || counts.Names != 2 {
		t.Errorf("%+v", counts)
	}
}

func TestEveryWayToSyncIsSeen(t *testing.T) {
	for name, write := range map[string]func(f *os.File) error{
		"fsync":     func(f *os.File) error { return f.Sync() },
		"fdatasync": func(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) },
		"O_SYNC": func(f *os.File) error {
			g, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_SYNC, 0)
			if err != nil {
				return err
			}
			_, err = g.WriteString("written")
			return errors.Join(err, g.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDisk(t, "")
			for seed := range uint64(8) {
				f, err := os.Create(filepath.Join(d.Path(), "f"))
				must(t, err)
				_, err = f.WriteString("written")
				must(t, errors.Join(err, write(f), f.Close()))
				syncPath(t, d.Path())
				fail(t, d, seed)
				if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "written" {
					t.Errorf("seed %d: %q, %v", seed, got, err)
				}
			}
		})
	}
}

// A disk whose process dies, or whose owner does, leaves nothing that hangs, and its mount is taken away.
func TestNoMountIsLeftBehind(t *testing.T) {
	mounted := func(path string) bool {
		all, err := os.ReadFile("/proc/self/mounts")
		must(t, err)
		return strings.Contains(string(all), " "+path+" ")
	}
	d := startDisk(t, "")
	if !mounted(d.Path()) {
		t.Fatal("it is not mounted")
	}
	must(t, d.cmd.Process.Kill())
	if err := d.end(); err == nil {
		t.Error("the process was killed and ended well")
	}
	if mounted(d.Path()) {
		t.Error("killed: its mount is still there")
	}
	d = startDisk(t, "")
	f, err := os.Create(filepath.Join(d.Path(), "open"))
	must(t, err)
	must(t, d.Freeze()) // a sync would wait for ever
	must(t, d.in.Close())
	must(t, d.end())
	if mounted(d.Path()) {
		t.Error("forsaken: its mount is still there")
	}
	f.Close() // an error is that there is no file system any more
}

// What was there is left for people to look at.
func TestACloseLeavesTheFiles(t *testing.T) {
	d := startDisk(t, "")
	must(t, os.MkdirAll(filepath.Join(d.Path(), "a"), 0o755))
	must(t, os.WriteFile(filepath.Join(d.Path(), "a", "f"), []byte("one"), 0o600))
	must(t, d.Close())
	got, err := os.ReadFile(filepath.Join(filepath.Dir(d.Path()), "tree", "a", "f"))
	if err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
}
