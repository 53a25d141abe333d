package lossy

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := New(o)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// at finds what has a path, without the store's own way to it.
func at(t testing.TB, s *Store, path string) *Inode {
	t.Helper()
	in := s.Root()
	for name := range strings.SplitSeq(path, "/") {
		var err error
		if name == "" {
			continue
		}
		if in, err = s.Lookup(in, name); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return in
}

// write makes a file in the top folder if need be, and writes to its beginning.
func write(t testing.TB, s *Store, name, data string) *Inode {
	t.Helper()
	in, err := s.Lookup(s.Root(), name)
	if err != nil {
		in, err = s.Create(s.Root(), name, 0o600)
		must(t, err)
	}
	_, err = s.Write(in, []byte(data), 0)
	must(t, err)
	return in
}

func cut(t testing.TB, s *Store, seed uint64) {
	t.Helper()
	s.Freeze()
	must(t, s.Cut(seed))
	s.Resume()
}

// image is every file with what is in it, and every folder.
func image(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(dir *Inode, path string)
	walk = func(dir *Inode, path string) {
		entries, err := s.List(dir)
		must(t, err)
		for _, e := range entries {
			in, err := s.Lookup(dir, e.Name)
			must(t, err)
			if e.Folder {
				all[path+e.Name+"/"] = ""
				walk(in, path+e.Name+"/")
				continue
			}
			data := make([]byte, e.Size)
			n, err := s.Read(in, data, 0)
			must(t, err)
			all[path+e.Name] = string(data[:n])
		}
	}
	walk(s.Root(), "")
	return all
}

// outcomes cuts the power of many stores to which the same was done, each with a seed of its own, and gives what was left
// and how often.
func outcomes(t *testing.T, o Options, do func(s *Store)) map[string]int {
	t.Helper()
	found := map[string]int{}
	for seed := range uint64(40) {
		s := newStore(t, o)
		do(s)
		cut(t, s, seed)
		left := image(t, s)
		var text []string
		for _, path := range slices.Sorted(maps.Keys(left)) {
			text = append(text, path+"="+left[path])
		}
		found[strings.Join(text, " ")]++
	}
	return found
}

func wantOutcomes(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("no seed gives %q", w)
		}
	}
	for g, times := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%d seeds give %q", times, g)
		}
	}
}

func TestWhatIsSyncedIsThereAfterACut(t *testing.T) {
	wantOutcomes(t, outcomes(t, Options{}, func(s *Store) {
		dir, err := s.Mkdir(s.Root(), "d", 0o700)
		must(t, err)
		must(t, s.Sync(s.Root()))
		in, err := s.Create(dir, "f", 0o600)
		must(t, err)
		_, err = s.Write(in, []byte("one"), 0)
		must(t, err)
		must(t, errors.Join(s.Sync(in), s.Sync(dir)))
	}), "d/= d/f=one")
}

func TestWhatIsNotSyncedMayBeLost(t *testing.T) {
	synced := func(s *Store) *Inode {
		in := write(t, s, "f", "one")
		must(t, errors.Join(s.Sync(in), s.Sync(s.Root())))
		return in
	}
	for _, c := range []struct {
		name string
		do   func(s *Store)
		want []string
	}{
		{"a name, though the file was synced", func(s *Store) { must(t, s.Sync(write(t, s, "f", "one"))) }, []string{"", "f=one"}},
		{"contents, though the name was synced", func(s *Store) { write(t, s, "f", "one"); must(t, s.Sync(s.Root())) }, []string{"f=", "f=one"}},
		{"what is in a folder whose own name was not synced", func(s *Store) {
			dir, err := s.Mkdir(s.Root(), "d", 0o700)
			must(t, err)
			_, err = s.Create(dir, "f", 0o600)
			must(t, err)
			must(t, s.Sync(dir))
		}, []string{"", "d/= d/f="}},
		{"a write over what was there", func(s *Store) { synced(s); write(t, s, "f", "two") }, []string{"f=one", "f=two"}},
		{"two writes to one sector, the later first", func(s *Store) {
			in := synced(s)
			_, err := s.Write(in, []byte("2"), 0)
			must(t, err)
			_, err = s.Write(in, []byte("3"), 2)
			must(t, err)
		}, []string{"f=one", "f=2ne", "f=2n3"}},
		{"a truncation", func(s *Store) { must(t, s.Truncate(synced(s), 1)) }, []string{"f=one", "f=o"}},
		{"a truncation, and with it what came behind it", func(s *Store) {
			in := synced(s)
			must(t, s.Truncate(in, 0))
			_, err := s.Write(in, []byte("12345"), 0)
			must(t, err)
		}, []string{"f=one", "f=", "f=12345"}},
		{"a removal", func(s *Store) { synced(s); must(t, s.Unlink(s.Root(), "f")) }, []string{"f=one", ""}},
		{"a rename", func(s *Store) { synced(s); must(t, s.Rename(s.Root(), "f", s.Root(), "g", false)) }, []string{"f=one", "g=one"}},
		{"a rename in place of another file", func(s *Store) {
			synced(s)
			must(t, s.Sync(write(t, s, "g", "two")))
			must(t, s.Sync(s.Root()))
			must(t, s.Rename(s.Root(), "g", s.Root(), "f", false))
		}, []string{"f=one g=two", "f=two"}},
		{"the bytes of a file that was renamed before they were synced", func(s *Store) {
			synced(s)
			write(t, s, "g", "two")
			must(t, s.Rename(s.Root(), "g", s.Root(), "f", false))
			must(t, s.Sync(s.Root()))
		}, []string{"f=", "f=two"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantOutcomes(t, outcomes(t, Options{}, c.do), c.want...) })
	}
}

func TestARenameBetweenFoldersHappensInBothOrInNone(t *testing.T) {
	folders := func(s *Store) (a, b *Inode) {
		a, err := s.Mkdir(s.Root(), "a", 0o700)
		must(t, err)
		b, err = s.Mkdir(s.Root(), "b", 0o700)
		must(t, err)
		in, err := s.Create(a, "f", 0o600)
		must(t, err)
		must(t, errors.Join(s.Sync(in), s.Sync(a), s.Sync(s.Root())))
		return a, b
	}
	wantOutcomes(t, outcomes(t, Options{}, func(s *Store) {
		a, b := folders(s)
		must(t, s.Rename(a, "f", b, "f", false))
	}), "a/= a/f= b/=", "a/= b/= b/f=")
	// A sync of one folder is enough, and it brings along what that depends on.
	wantOutcomes(t, outcomes(t, Options{}, func(s *Store) {
		a, b := folders(s)
		must(t, s.Rename(a, "f", a, "g", false))
		must(t, s.Rename(a, "g", b, "h", false))
		must(t, s.Sync(b))
	}), "a/= b/= b/h=")
}

func TestALargeWriteIsTornAtSectorsAndNowhereElse(t *testing.T) {
	const size = 64 << 10
	torn, whole, sizes := 0, 0, map[int]bool{}
	for seed := range uint64(100) {
		s := newStore(t, Options{})
		in := write(t, s, "f", strings.Repeat("a", size))
		must(t, errors.Join(s.Sync(in), s.Sync(s.Root())))
		write(t, s, "f", strings.Repeat("b", size))
		cut(t, s, seed)
		data := image(t, s)["f"]
		mixed := strings.Contains(data, "a") && strings.Contains(data, "b")
		for i := 0; i < size; i += 512 {
			if sector := data[i : i+512]; sector != strings.Repeat(sector[:1], 512) {
				t.Fatalf("seed %d: the sector at %d is torn", seed, i)
			}
			if i > 0 && data[i] != data[i-1] {
				sizes[i%4096] = true
			}
		}
		if mixed {
			torn++
		} else {
			whole++
		}
	}
	if torn < 20 || whole < 20 || len(sizes) != 8 {
		t.Errorf("%d torn, %d whole, torn at %v", torn, whole, sizes)
	}
}

// A file of which every byte tells the write that made it: after a cut each must be of a write since the last sync, or of
// that sync, and sectors must not mix older with newer than they can.
func TestEveryByteIsOneThatWasWritten(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newStore(t, Options{UnsyncedMax: 1 << 30})
		in := write(t, s, "f", "")
		must(t, s.Sync(s.Root()))
		model := []byte{}
		allowed := [][]byte{} // by place: what it may hold
		note := func() {
			for len(allowed) < len(model) {
				allowed = append(allowed, []byte{0})
			}
			for i := range allowed {
				if i < len(model) {
					allowed[i] = append(allowed[i], model[i])
				}
			}
		}
		for step := range byte(30) {
			switch r.IntN(6) {
			case 0:
				must(t, s.Sync(in))
				allowed = allowed[:0]
				for _, b := range model {
					allowed = append(allowed, []byte{b})
				}
			case 1:
				size := r.IntN(5000)
				must(t, s.Truncate(in, int64(size)))
				model = append(slices.Clone(model[:min(size, len(model))]), make([]byte, max(0, size-len(model)))...)
			default:
				off, data := r.IntN(5000), bytes.Repeat([]byte{step + 1}, 1+r.IntN(3000))
				_, err := s.Write(in, data, int64(off))
				must(t, err)
				model = append(model, make([]byte, max(0, off+len(data)-len(model)))...)
				copy(model[off:], data)
			}
			note()
			if got := image(t, s)["f"]; got != string(model) {
				t.Fatalf("seed %d: what is read is not what was written", seed)
			}
		}
		cut(t, s, seed)
		left := image(t, s)["f"]
		if len(left) > len(allowed) {
			t.Fatalf("seed %d: the file has %d bytes, and never had more than %d", seed, len(left), len(allowed))
		}
		for i := range left {
			if !slices.Contains(allowed[i], left[i]) && left[i] != 0 {
				t.Fatalf("seed %d: byte %d is of write %d, which is none of %v", seed, i, left[i], allowed[i])
			}
		}
	}
}

func TestASeedDecidesEverything(t *testing.T) {
	run := func(seed uint64) string {
		s := newStore(t, Options{})
		for i := range 20 {
			in := write(t, s, fmt.Sprint("f", i), strings.Repeat("a", 3000))
			if i%2 == 0 {
				must(t, s.Sync(in))
			}
		}
		cut(t, s, seed)
		return fmt.Sprint(image(t, s))
	}
	if run(1) != run(1) || run(1) == run(2) {
		t.Error("a seed is not a power failure of its own")
	}
}

func TestAForgottenSyncLosesEverything(t *testing.T) {
	wantOutcomes(t, outcomes(t, Options{Forget: regexp.MustCompile(`^f$`)}, func(s *Store) {
		must(t, s.Sync(write(t, s, "f", "one")))
		must(t, s.Sync(write(t, s, "g", "two")))
		must(t, s.Sync(s.Root()))
	}), "f= g=two")
	wantOutcomes(t, outcomes(t, Options{Forget: regexp.MustCompile(`/$`)}, func(s *Store) {
		must(t, s.Sync(write(t, s, "f", "one")))
		must(t, s.Sync(s.Root()))
	}), "")
}

func TestWhatIsOldIsWrittenDownUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, Options{WriteBack: 5 * time.Second})
		write(t, s, "f", "old")
		time.Sleep(5 * time.Second)
		write(t, s, "g", "new")
		must(t, s.WriteBack())
		for seed := range uint64(20) {
			cut(t, s, seed)
			if image(t, s)["f"] != "old" {
				t.Fatal("what was five seconds old is lost")
			}
		}
	})
}

func TestNotMoreThanTheLimitWaitsInMemory(t *testing.T) {
	const limit = 1 << 20
	s := newStore(t, Options{UnsyncedMax: limit})
	in := write(t, s, "f", "")
	data := make([]byte, 10_000)
	for i := range 500 {
		_, err := s.Write(in, data, int64(i*len(data)))
		must(t, err)
		if s.unsynced > limit || s.unsynced != sizeOf(in.changes) {
			t.Fatalf("%d bytes wait, of which the file says %d", s.unsynced, sizeOf(in.changes))
		}
	}
	var err error
	for i := 0; err == nil; i++ {
		_, err = s.Create(s.Root(), fmt.Sprint("g", i), 0o600)
		if len(s.inodes) > inodesMax {
			t.Fatal("there is no end of files")
		}
		if i > 200 && err == nil { // each is an open file: the rest are not made, only counted
			for j := len(s.inodes); j < inodesMax; j++ {
				s.inodes[uint64(1_000_000+j)] = &Inode{}
			}
		}
	}
	for number := range s.inodes {
		if number >= 1_000_000 {
			delete(s.inodes, number)
		}
	}
	if err != syscall.ENOSPC {
		t.Error(err)
	}
}

// What is asked for while the power fails is not done, and whoever asks is told so only after the cut.
func TestASyncThatHasNotEndedBeforeTheCutHasNotHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, Options{Forget: regexp.MustCompile("never")})
		in := write(t, s, "f", "one")
		must(t, s.Sync(s.Root()))
		s.Freeze()
		told := error(nil)
		ended := make(chan struct{})
		go func() { told = s.Sync(in); close(ended) }()
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("it did not wait")
		default:
		}
		in.forgotten = true // so that the seed does not matter
		must(t, s.Cut(1))
		<-ended
		if told != syscall.EIO {
			t.Errorf("it was told %v", told)
		}
		if _, err := s.Lookup(s.Root(), "f"); err != syscall.EIO {
			t.Errorf("without power: %v", err)
		}
		s.Resume()
		if got := image(t, s); len(got) != 1 || got["f"] != "" {
			t.Errorf("left is %q", got)
		}
		if _, err := s.Write(in, []byte("x"), 0); err != syscall.ESTALE {
			t.Errorf("a file that was open before the cut: %v", err)
		}
	})
}

func TestWhatNobodyCanReachIsThrownAway(t *testing.T) {
	s := newStore(t, Options{})
	in := write(t, s, "f", "one")
	must(t, errors.Join(s.Sync(in), s.Sync(s.Root()), s.Open(in)))
	must(t, s.Unlink(s.Root(), "f"))
	must(t, s.Sync(s.Root()))
	data := make([]byte, 3)
	if n, err := s.Read(in, data, 0); n != 3 || err != nil {
		t.Errorf("a file that is open, after it was removed: %d, %v", n, err)
	}
	s.Release(in)
	if len(s.inodes) != 1 {
		t.Errorf("%d inodes are left, of which one is the top folder", len(s.inodes))
	}
}

func TestNamesAreRefusedAsElsewhere(t *testing.T) {
	s := newStore(t, Options{})
	write(t, s, "f", "one")
	d, err := s.Mkdir(s.Root(), "d", 0o700)
	must(t, err)
	_, err = s.Create(d, "g", 0o600)
	must(t, err)
	_, again := s.Create(s.Root(), "f", 0o600)
	_, long := s.Create(s.Root(), strings.Repeat("x", 256), 0o600)
	e, err := s.Mkdir(s.Root(), "e", 0o700)
	must(t, err)
	for want, got := range map[string]error{
		"file exists":               again,
		"file name too long":        long,
		"directory not empty":       s.Rmdir(s.Root(), "d"),
		"is a directory":            s.Unlink(s.Root(), "d"),
		"not a directory":           s.Rmdir(s.Root(), "f"),
		"no such file or directory": s.Rename(s.Root(), "x", s.Root(), "y", false),
		"invalid cross-device link": s.Rename(s.Root(), "e", d, "e", false),
		"stale file handle": func() error {
			must(t, s.Rmdir(s.Root(), "e"))
			must(t, s.Sync(s.Root()))
			_, err := s.List(e)
			return err
		}(),
		"file exists (and to be kept)": s.Rename(s.Root(), "f", d, "g", true),
	} {
		if got == nil || !strings.HasPrefix(want, got.Error()) {
			t.Errorf("want %s, got %v", want, got)
		}
	}
	if got := at(t, s, "d/g"); got.size != 0 {
		t.Error("d/g was replaced")
	}
}
