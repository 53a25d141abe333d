package node_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/lossy"
	"github.com/holdfast-db/holdfast/node"
)

// Where durability_linux_amd64_test.go keeps of a file what its last sync has made durable and nothing else, this keeps
// anything that a disk may have kept: what was not synced is there, or not, or torn, by the seed. And a process is not only
// stopped by power failures: one that was killed comes back to names and bytes that are not durable yet, and must not take
// them for it.

// powerCuts is how often the power is cut: go test ./node -run PowerCut -power-cuts 1000 -timeout 1h is the long way.
var (
	powerCuts  = flag.Int("power-cuts", 6, "how often the power is cut under a node's stores")
	powerFirst = flag.Uint64("power-seed", 1, "decides when the power is cut, and what is left")
)

const (
	powerRole = "HOLDFAST_TEST_POWER" // serve, or the folder to work in
	powerSeed = "HOLDFAST_TEST_POWER_SEED"
	powerTold = "HOLDFAST_TEST_POWER_TOLD"
)

func TestPowerCuts(t *testing.T) {
	switch role := os.Getenv(powerRole); role {
	case "":
	case "serve":
		must(t, lossy.Serve(os.Stdin, os.Stdout))
		os.Exit(0)
	default:
		workUnderPowerCuts(t, role)
	}
	if err := underPowerCuts(t, "", *powerCuts, *powerFirst); err != nil {
		t.Error(err)
	}
}

// That a sync that is missing anywhere is seen is tested too.
func TestAMissingSyncIsSeenByPowerCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	for _, c := range []struct{ name, forget string }{
		{"log", `raft\.db$`},
		{"snapshots", `\.snap`},
		{"archive", `\.seg$`},
		{"identity", `node\.json`},
		{"keyring", `persons/keys`},
		{"who was forgotten", `persons/forgotten`},
		{"names", `/$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := underPowerCuts(t, c.forget, 100, 2) // most take one
			if err == nil {
				t.Error("it was not noticed in a hundred cuts")
			}
			t.Log(err)
		})
	}
}

// Whenever the power fails while a node is made, it can be started again.
func TestANodeCanBeMadeAgainAfterAPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	d := powerDisk(t, "")
	every := max(1, 24/(*powerCuts)) // some of the changes in a short run, each of them in a longer one
	for nth := 1; nth <= 60; nth += every {
		r := rand.New(rand.NewPCG(*powerFirst, uint64(nth)))
		told, id, dir := promises{}, "", filepath.Join(d.Path(), fmt.Sprint("node", nth))
		_, err := workUntil(t, d, dir, nth, r, told, &id, true)
		if err == nil {
			err = brokenPromise(t, dir, told, &id)
		}
		if err == nil {
			_, err = workUntil(t, d, dir, 100, r, told, &id, false)
		}
		if err != nil || id == "" {
			t.Errorf("cut at change %d: it is %q now: %v", nth, id, err)
		}
	}
}

// A process that was killed leaves names and bytes that everybody sees and no disk has. The next one must make them durable
// before it builds on them: a log that goes on behind a snapshot is of no use without it.
func TestWhatANodeFindsWhenItStartsIsDurable(t *testing.T) {
	model, d := filepath.Join(t.TempDir(), "node"), powerDisk(t, "")
	p, err := openPowerStores(model)
	must(t, err)
	told, id := promises{}, p.storage.Identity().ID
	ack := func(kind string, n uint64, err error) { must(t, err); told[kind] = n }
	r := rand.New(rand.NewPCG(3, 9))
	for range 40 {
		p.doSomething(t, r, told, ack)
	}
	must(t, p.close())
	for seed := range uint64(10) {
		dir := filepath.Join(d.Path(), fmt.Sprint("node", seed))
		must(t, copyUnsynced(dir, model))
		p, err := openPowerStores(dir)
		must(t, err)
		now := promises{}
		for kind, n := range told {
			now[kind] = n
		}
		if seed%2 == 0 { // and it goes on
			last := p.one.Archive.Last() + 1
			must(t, p.one.Archive.Append(last, 1, entry(last, 1).Data))
			must(t, p.one.Archive.Sync())
			now["archive"] = last
		}
		must(t, d.Freeze())
		_, err = d.Cut(seed)
		must(t, errors.Join(err, d.Resume()))
		_ = p.close() // its files are gone
		if err := brokenPromise(t, dir, now, &id); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// copyUnsynced makes a folder as a killed process leaves it: nothing is synced but the contents of what gets its name only
// after that.
func copyUnsynced(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		name, rel := "", err
		if name, rel = filepath.Rel(from, path); err != nil || rel != nil {
			return errors.Join(err, rel)
		}
		if e.IsDir() {
			return os.Mkdir(filepath.Join(to, name), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(to, name))
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		segments, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.seg"))
		inWriting := len(segments) > 0 && path == segments[len(segments)-1]
		if ext := filepath.Ext(name); err == nil && (ext == ".snap" || ext == ".base" || ext == ".json" || ext == ".seg" && !inWriting) {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
}

// powerDisk is a file system whose power can be cut, or skips the test.
func powerDisk(t *testing.T, forget string) *lossy.Disk {
	t.Helper()
	d, err := lossy.Start(lossy.Config{Dir: t.TempDir(), Command: []string{os.Args[0], "-test.run=^TestPowerCuts$"}, Env: []string{powerRole + "=serve"}, Forget: forget})
	if errors.Is(err, lossy.ErrNotHere) {
		t.Skipf("not tested here: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// promises are what the process has confirmed last, by kind.
type promises map[string]uint64

func (p promises) String() (text string) {
	for kind, n := range p {
		text += fmt.Sprintf("%s %d ", kind, n)
	}
	return text
}

// underPowerCuts has a process do everything that a node does to its disk, kills it and cuts the power at any moment, and
// gives the first promise that was not kept.
func underPowerCuts(t *testing.T, forget string, cuts int, seed uint64) error {
	t.Helper()
	d, r := powerDisk(t, forget), rand.New(rand.NewPCG(seed, 7))
	var counts lossy.Counts
	told, id, kills, dir := promises{}, "", 0, ""
	for i := range cuts {
		if i%12 == 0 { // a new disk, so that making it is cut too
			told, id, dir = promises{}, "", filepath.Join(d.Path(), fmt.Sprint("node", i))
		}
		for range r.IntN(3) {
			kills++
			if _, err := workUntil(t, d, dir, 1+r.IntN(1+r.IntN(300)), r, told, &id, false); err != nil {
				return fmt.Errorf("cut %d, before it: %w", i+1, err)
			}
		}
		var err error
		counts, err = workUntil(t, d, dir, 1+r.IntN(1+r.IntN(300)), r, told, &id, true)
		if err == nil {
			err = brokenPromise(t, dir, told, &id)
		}
		if err != nil {
			return fmt.Errorf("cut %d: %w", i+1, err)
		}
	}
	t.Logf("%d cuts, %d kills besides: %+v; %v", cuts, kills, counts, told)
	return nil
}

// workUntil runs the process until it has asked the disk for so many changes, kills it, and cuts the power too if asked to.
func workUntil(t *testing.T, d *lossy.Disk, dir string, nth int, r *rand.Rand, told promises, id *string, cut bool) (counts lossy.Counts, err error) {
	t.Helper()
	frozen := make(chan error, 1)
	go func() { frozen <- d.FreezeAt(nth, 15*time.Second) }()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPowerCuts$")
	cmd.Env = append(os.Environ(), powerRole+"="+dir, fmt.Sprintf("%s=%d", powerSeed, r.Uint64()), powerTold+"="+told.String())
	out, w, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = w, w
	must(t, errors.Join(cmd.Start(), w.Close()))
	var fault error
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		fault = hear(out, told, id)
	}()
	must(t, <-frozen)
	must(t, cmd.Process.Kill())
	if cut {
		counts, err = d.Cut(r.Uint64())
		must(t, err)
	} else {
		must(t, d.Deny())
	}
	<-heard
	_ = cmd.Wait() // it was killed
	must(t, errors.Join(d.Resume(), out.Close()))
	return counts, fault
}

// hear takes in what the process says until it is gone.
func hear(out io.Reader, told promises, id *string) (fault error) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var kind, name string
		var n uint64
		switch {
		case strings.HasPrefix(lines.Text(), "id "):
			fmt.Sscanf(lines.Text(), "id %s", &name)
			if *id != "" && *id != name {
				fault = errors.Join(fault, fmt.Errorf("it was %s, and says that it is %s", *id, name))
			}
			*id = name
		case strings.HasPrefix(lines.Text(), "ack "):
			fmt.Sscanf(lines.Text(), "ack %s %d", &kind, &n)
			told[kind] = n
		default:
			fault = errors.Join(fault, errors.New(lines.Text()))
		}
	}
	return fault
}

// powerStores is everything that a node has on its disk.
type powerStores struct {
	storage *node.Storage
	one     *node.Stores
	persons *node.Persons
}

func openPowerStores(dir string) (p *powerStores, err error) {
	disk, err := node.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	p = &powerStores{}
	p.storage, err = node.OpenStorage(node.StorageConfig{Disk: disk, Name: "n1", Shards: 1, Headroom: 1 << 16, Log: slog.New(slog.DiscardHandler),
		Archive: node.ArchiveLimits{SegmentBytes: 2000, TotalBytes: 40_000}, Fatal: func(error) {}})
	if err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	if p.one, err = p.storage.Stores(1); err == nil {
		if p.persons, err = node.OpenPersons(p.storage); err == nil {
			return p, nil
		}
		err = errors.Join(err, p.one.Close())
	}
	return nil, errors.Join(err, p.storage.Close())
}

func (p *powerStores) close() error {
	return errors.Join(p.persons.Close(), p.one.Close(), p.storage.Close())
}

// reached is how far the log goes: to its last entry, or to a snapshot that is beyond it.
func (p *powerStores) reached() (last, snapshot uint64, err error) {
	list, err := p.one.Snapshots.List()
	if err != nil {
		return 0, 0, err
	}
	if len(list) > 0 {
		snapshot = list[0].Index
	}
	last, err = p.one.Log.LastIndex()
	return max(last, snapshot), snapshot, err
}

// workUnderPowerCuts is the process. It goes on from what it finds, as a node does, and says what it was told is done.
func workUnderPowerCuts(t *testing.T, dir string) {
	var seed uint64
	fmt.Sscan(os.Getenv(powerSeed), &seed)
	r, told := rand.New(rand.NewPCG(seed, 8)), promises{}
	for fields := strings.Fields(os.Getenv(powerTold)); len(fields) > 0; fields = fields[2:] {
		var n uint64
		fmt.Sscan(fields[1], &n)
		told[fields[0]] = n
	}
	p, err := openPowerStores(dir)
	must(t, err)
	fmt.Println("id", p.storage.Identity().ID)
	ack := func(kind string, n uint64, err error) {
		must(t, err)
		told[kind] = n
		fmt.Println("ack", kind, n)
	}
	for {
		p.doSomething(t, r, told, ack)
	}
}

// doSomething does one thing of all that a node does to its disk, after what was told before.
func (p *powerStores) doSomething(t *testing.T, r *rand.Rand, told promises, ack func(string, uint64, error)) {
	switch r.IntN(9) {
	case 0, 1, 2:
		last, _, err := p.reached()
		must(t, err)
		next := last + 1 + r.Uint64N(6)
		ack("log", next, p.one.Log.StoreLogs(entries(last+1, next)))
	case 3:
		term, err := p.one.Stable.GetUint64([]byte("CurrentTerm"))
		if !node.IsNotFound(err) {
			must(t, err)
		}
		ack("term", term+1, p.one.Stable.SetUint64([]byte("CurrentTerm"), term+1))
		must(t, p.one.Stable.SetUint64([]byte("LastVoteTerm"), term+1))
		ack("vote", term+1, p.one.Stable.Set([]byte("LastVoteCand"), fmt.Append(nil, "peer", term+1)))
	case 4, 5:
		last := p.one.Archive.Last()
		for range 1 + r.IntN(40) {
			last++
			must(t, p.one.Archive.Append(last, 1, entry(last, 1).Data))
		}
		ack("archive", last, p.one.Archive.Sync())
		if p.one.Archive.WantsBase() {
			must(t, p.one.Archive.Base(last, bytes.NewBufferString("base")))
		}
	case 6:
		powerSnapshot(t, p, r, ack)
	case 7:
		n := told["cluster"] + 1
		ack("cluster", n, p.storage.Save(func(id *node.Identity) { id.Cluster = fmt.Sprintf("hf-%09d", n) }))
	default:
		var keys []holdfast.PersonKey
		first := told["key"] + 1
		for range 1 + r.IntN(20) {
			keys = append(keys, personKey(int(first)+len(keys)))
		}
		ack("key", first+uint64(len(keys))-1, p.persons.Change(keys, nil))
		if gone := told["forgotten"] + 1; r.IntN(2) == 0 {
			ack("forgotten", gone, p.persons.Change(nil, []holdfast.HoldID{personKey(int(gone)).Hold}))
		}
	}
}

// powerSnapshot takes a snapshot of what there is and truncates the log, or is given one that is beyond it.
func powerSnapshot(t *testing.T, p *powerStores, r *rand.Rand, ack func(string, uint64, error)) {
	at, _, err := p.reached()
	must(t, err)
	given := r.IntN(2) == 0
	if given || at == 0 {
		at += 1 + r.Uint64N(20)
	}
	sink, err := p.one.Snapshots.Create(1, at, 1, raft.Configuration{}, 1, nil)
	must(t, err)
	_, err = sink.Write(powerState(at))
	must(t, err)
	ack("snapshot", at, sink.Close())
	first, err := p.one.Log.FirstIndex()
	must(t, err)
	last, err := p.one.Log.LastIndex()
	must(t, err)
	if first > 0 && first <= last {
		must(t, p.one.Log.DeleteRange(first, min(last, at)))
	}
}

// powerState is what a snapshot holds.
func powerState(at uint64) []byte {
	return bytes.Repeat(fmt.Append(nil, "state at ", at, "\n"), 1+int(at)%3000)
}

// brokenPromise opens what is left after a cut as the node would, and compares it with what was confirmed.
func brokenPromise(t *testing.T, dir string, told promises, id *string) error {
	t.Helper()
	if *id == "" {
		return nil // it had not even said who it is
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%s is gone: %w", *id, err)
	}
	p, err := openPowerStores(dir)
	if err != nil {
		return err
	}
	err = errors.Join(p.check(told, *id), p.checkPersons(dir, told), checkPowerArchive(dir, told["archive"]))
	return errors.Join(err, p.close())
}

func (p *powerStores) check(told promises, id string) error {
	got := p.storage.Identity()
	if got.ID != id {
		return fmt.Errorf("it was %s, and is %s", id, got.ID)
	}
	if want := fmt.Sprintf("hf-%09d", told["cluster"]); told["cluster"] > 0 && got.Cluster < want {
		return fmt.Errorf("node.json: the cluster is %q, and %q was confirmed", got.Cluster, want)
	}
	last, snapshot, err := p.reached()
	switch {
	case err != nil:
		return err
	case snapshot < told["snapshot"]:
		return fmt.Errorf("the newest snapshot is %d, and %d was confirmed", snapshot, told["snapshot"])
	case last < told["log"]:
		return fmt.Errorf("store of shard 1: the log ends at %d, and %d was confirmed", last, told["log"])
	}
	var e raft.Log
	for i := snapshot + 1; i <= last; i++ {
		if err := p.one.Log.GetLog(i, &e); err != nil {
			return fmt.Errorf("store of shard 1: entry %d, after the snapshot of %d: %w", i, snapshot, err)
		}
	}
	if err := p.checkSnapshots(); err != nil {
		return err
	}
	term, err := p.one.Stable.GetUint64([]byte("CurrentTerm"))
	if err != nil && !node.IsNotFound(err) || term < told["term"] {
		return fmt.Errorf("store of shard 1: the term is %d, and %d was confirmed: %w", term, told["term"], err)
	}
	term, err = p.one.Stable.GetUint64([]byte("LastVoteTerm"))
	if told["vote"] == 0 && node.IsNotFound(err) {
		return nil
	}
	candidate, also := p.one.Stable.Get([]byte("LastVoteCand"))
	if err := errors.Join(err, also); err != nil || term < told["vote"] || string(candidate) != fmt.Sprint("peer", term) {
		return fmt.Errorf("store of shard 1: the vote is for %s in term %d, and %d was confirmed: %w", candidate, term, told["vote"], err)
	}
	return nil
}

func (p *powerStores) checkSnapshots() error {
	list, err := p.one.Snapshots.List()
	for _, meta := range list {
		_, body, opened := p.one.Snapshots.Open(meta.ID)
		if opened != nil {
			return fmt.Errorf("snapshot: %w", opened)
		}
		state, read := io.ReadAll(body)
		if err = errors.Join(err, read, body.Close()); !bytes.HasPrefix(state, powerState(meta.Index)) {
			return fmt.Errorf("the snapshot of %d is not what was written", meta.Index)
		}
	}
	return err
}

// checkPowerArchive reads all that was archived: it has no hole but where it was dropped.
func checkPowerArchive(dir string, confirmed uint64) error {
	first, last := uint64(0), uint64(0)
	gaps, err := node.ReadArchive(filepath.Join(dir, "shard-1", "archive"), 0, func(e node.Archived) error {
		if first == 0 {
			first = e.Index
		}
		if want := entry(e.Index, 1).Data; last != 0 && e.Index != last+1 || !bytes.Equal(e.Entry, want) {
			return fmt.Errorf("archive: entry %d after %d is not what was archived", e.Index, last)
		}
		last = e.Index
		return nil
	})
	for _, gap := range gaps {
		if gap.From+1 != first {
			err = errors.Join(err, fmt.Errorf("archive: there is nothing between %d and %d", gap.After, gap.From))
		}
	}
	if confirmed == 0 && errors.Is(err, holdfast.NotFound) {
		return nil
	}
	if err == nil && last < confirmed {
		return fmt.Errorf("archive: it ends at %d, and %d was confirmed", last, confirmed)
	}
	return err
}

// checkPersons looks whether every key is there that was confirmed, and nothing of those that were forgotten, in any file.
func (p *powerStores) checkPersons(dir string, told promises) error {
	all := ""
	paths, err := filepath.Glob(filepath.Join(dir, "persons", "keys-*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all += string(data)
	}
	for n := uint64(1); n <= told["key"]; n++ {
		k := personKey(int(n))
		forgotten := p.persons.Forgot(k.Hold)
		switch there := strings.Contains(all, string(k.Wrapped[:])); {
		case n <= told["forgotten"] && (there || !forgotten):
			return fmt.Errorf("key %d was to be forgotten: it is in a file: %t", n, there)
		case n > told["forgotten"] && !there && !forgotten:
			return fmt.Errorf("key %d is lost, and %d was confirmed", n, told["key"])
		}
	}
	return nil
}
