package node_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/holdfast-db/holdfast/node"
)

// SIGKILL leaves the kernel's page cache as it is, so that killing a process proves nothing about syncs. Here a node's
// storage runs in a process of its own on a real folder, with real bbolt, and a tracer (tracer_linux_amd64_test.go)
// sees every fsync and fdatasync that it asks the kernel for. When the process is killed, a folder is made that has
// only what was synced: files as of their last sync, names as of the last sync of their folder. Everything that the
// process had acknowledged must be in it.
//
// That the test sees a missing sync is tested too: with bbolt's NoSync, and with a tracer that overlooks syncs.

const (
	durableDir  = "HOLDFAST_TEST_DURABLE_DIR"
	durablePlan = "HOLDFAST_TEST_DURABLE_PLANT"
)

func TestWhatIsAcknowledgedIsOnDisk(t *testing.T) {
	if dir := os.Getenv(durableDir); dir != "" {
		acknowledge(t, dir, os.Getenv(durablePlan))
		return
	}
	for _, c := range []struct {
		name     string
		plant    string
		overlook func(path string, isDir bool) bool // such syncs are not done
		lost     string                             // what must then be missed; empty: nothing
	}{
		{name: "as it is"},
		{name: "bbolt without syncs", plant: "nosync", lost: "store of shard 1"},
		{name: "log not synced", overlook: func(path string, _ bool) bool { return strings.HasSuffix(path, "raft.db") }, lost: "store of shard 1"},
		{name: "snapshots not synced", overlook: func(path string, _ bool) bool { return strings.Contains(path, ".snap") }, lost: "snapshot"},
		{name: "archive not synced", overlook: func(path string, _ bool) bool { return strings.HasSuffix(path, ".seg") }, lost: "archive"},
		{name: "identity not synced", overlook: func(path string, _ bool) bool { return strings.Contains(path, "node.json") }, lost: "node.json"},
		{name: "names not synced", overlook: func(_ string, isDir bool) bool { return isDir }, lost: "it is another node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, acks := range crashes(c.lost == "") {
				told, disk := killedAfter(t, acks, c.plant, c.overlook)
				err := whatIsLost(t, disk, told)
				switch {
				case c.lost == "" && err != nil:
					t.Errorf("after %d acknowledgements: %v", acks, err)
				case c.lost != "" && (err == nil || !strings.Contains(err.Error(), c.lost)):
					t.Errorf("after %d acknowledgements the missing sync was not noticed as %q: %v", acks, c.lost, err)
				}
			}
		})
	}
}

// crashes is after how many acknowledgements the process is killed.
func crashes(asItIs bool) []int {
	if asItIs {
		return []int{7, 60, 133}
	}
	return []int{60} // two snapshots
}

// acknowledge is the process: it does everything that a node's storage does, and says what it was told is done.
func acknowledge(t *testing.T, dir, plant string) {
	disk, err := node.OpenFolder(dir)
	must(t, err)
	if plant == "nosync" {
		disk = noSync{disk, dir}
	}
	s, err := node.OpenStorage(node.StorageConfig{Disk: disk, Name: "n1", Shards: 1, Headroom: 1 << 16, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	fmt.Println("ack id", s.Identity().ID)
	one := stores(t, s, 1)
	for i := uint64(1); ; i++ {
		must(t, one.Log.StoreLogs(entries(4*i-3, 4*i)))
		fmt.Println("ack log", 4*i)
		must(t, one.Stable.SetUint64([]byte("CurrentTerm"), i))
		fmt.Println("ack term", i)
		must(t, one.Stable.SetUint64([]byte("LastVoteTerm"), i))
		must(t, one.Stable.Set([]byte("LastVoteCand"), fmt.Append(nil, "peer", i)))
		fmt.Println("ack vote", i)
		fmt.Println("syncs", one.Syncs())
		must(t, one.Archive.Append(i, 1, entry(i, 1).Data))
		if i%8 != 0 {
			continue
		}
		must(t, one.Archive.Sync())
		fmt.Println("ack archive", i)
		sink, err := one.Snapshots.Create(1, i, 1, raft.Configuration{}, 1, nil)
		must(t, err)
		fmt.Fprint(sink, "state")
		must(t, sink.Close())
		fmt.Println("ack snapshot", i)
		must(t, s.Save(func(id *node.Identity) { id.Cluster = fmt.Sprint("hf-", i) }))
		fmt.Println("ack cluster", fmt.Sprint("hf-", i))
	}
}

// noSync is a folder whose logs are opened with bbolt's NoSync: the planted fault.
type noSync struct {
	node.Disk
	dir string
}

func (d noSync) Raft(name string, create bool) (node.RaftStore, error) {
	s, err := d.Disk.Raft(name, create) // as it should be, so that the file and its name are there
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	db, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(d.dir, name, "raft.db"), NoSync: true})
	return noSyncStore{db}, err
}

type noSyncStore struct{ *raftboltdb.BoltStore }

func (noSyncStore) SyncsPerChange() int { return 0 }

// told is what the process acknowledged last, by kind.
type told map[string]string

// killedAfter runs the process until so many acknowledgements, kills it, and gives what it said and the folder as
// it is after the crash.
func killedAfter(t *testing.T, acks int, plant string, overlook func(string, bool) bool) (told, string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWhatIsAcknowledgedIsOnDisk$")
	cmd.Env = append(os.Environ(), durableDir+"="+filepath.Join(dir, "node"), durablePlan+"="+plant)
	out, w, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = w, os.Stderr

	var said told
	var fault error
	tr := newTracer(filepath.Join(dir, "node"), overlook)
	var reading sync.WaitGroup
	reading.Go(func() { said, fault = listen(out, acks, tr) })
	err = tr.run(cmd, w)
	reading.Wait()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("not tested here: this host does not allow to trace a child: %v", err)
	}
	must(t, errors.Join(err, fault))
	after := filepath.Join(dir, "after")
	must(t, tr.restore(after))
	return said, after
}

// listen reads what the process says, and has it killed after so many acknowledgements.
func listen(out io.Reader, acks int, tr *tracer) (said told, fault error) {
	said = told{}
	for lines := bufio.NewScanner(out); lines.Scan() && acks > 0; {
		var kind, value string
		switch {
		case strings.HasPrefix(lines.Text(), "syncs "):
			var counted int
			fmt.Sscan(lines.Text()[len("syncs "):], &counted)
			// The kernel has seen a few more when the file was made, and those of what the process has done since.
			if real := tr.synced("shard-1/raft.db"); counted > real {
				fault = fmt.Errorf("%d syncs of the log are counted, the kernel has seen %d", counted, real)
			}
			continue
		case strings.HasPrefix(lines.Text(), "ack "):
			fmt.Sscan(lines.Text()[len("ack "):], &kind, &value)
			said[kind] = value
			acks--
		default:
			fault = errors.Join(fault, errors.New(lines.Text()))
		}
	}
	tr.kill()
	io.Copy(io.Discard, out)
	return said, fault
}

// whatIsLost opens what is left after the crash as the node would, and compares it with what was acknowledged.
func whatIsLost(t *testing.T, dir string, said told) error {
	disk, err := node.OpenFolder(dir)
	must(t, err)
	s, err := node.OpenStorage(node.StorageConfig{Disk: disk, Name: "n1", Shards: 1, Headroom: 1 << 16, Log: slog.New(slog.DiscardHandler), Fatal: func(error) {}})
	if err != nil {
		return errors.Join(err, disk.Close())
	}
	defer func() { must(t, s.Close()) }()
	if s.Identity().ID != said["id"] {
		return fmt.Errorf("it is another node: %s, not %s", s.Identity().ID, said["id"])
	}
	if want := said["cluster"]; want != "" && s.Identity().Cluster < want && len(s.Identity().Cluster) <= len(want) {
		return fmt.Errorf("node.json: the cluster is %q, not %q", s.Identity().Cluster, want)
	}
	one, err := s.Stores(1)
	if err != nil {
		return err
	}
	defer func() { must(t, one.Close()) }()
	number := func(kind string) (n uint64) { fmt.Sscan(said[kind], &n); return n }
	last, err := one.Log.LastIndex()
	if must(t, err); last < number("log") {
		return fmt.Errorf("store of shard 1: the log ends at %d, and %d was acknowledged", last, number("log"))
	}
	var e raft.Log
	for i := uint64(1); i <= number("log"); i++ {
		must(t, one.Log.GetLog(i, &e))
	}
	term, err := one.Stable.GetUint64([]byte("CurrentTerm"))
	if must(t, err); term < number("term") {
		return fmt.Errorf("store of shard 1: the term is %d, and %d was acknowledged", term, number("term"))
	}
	term, err = one.Stable.GetUint64([]byte("LastVoteTerm"))
	must(t, err)
	candidate, err := one.Stable.Get([]byte("LastVoteCand"))
	if must(t, err); term < number("vote") || string(candidate) != fmt.Sprint("peer", term) {
		return fmt.Errorf("store of shard 1: the vote is for %s in term %d, and %d was acknowledged", candidate, term, number("vote"))
	}
	if one.Archive.Last() < number("archive") {
		return fmt.Errorf("archive: it ends at %d, and %d was acknowledged", one.Archive.Last(), number("archive"))
	}
	list, err := one.Snapshots.List()
	if must(t, err); number("snapshot") > 0 && (len(list) == 0 || list[0].Index < number("snapshot")) {
		return fmt.Errorf("snapshot %d was acknowledged and is not there", number("snapshot"))
	}
	for _, meta := range list {
		if _, body, err := one.Snapshots.Open(meta.ID); err != nil {
			return err
		} else {
			must(t, body.Close())
		}
	}
	return nil
}

// inode identifies a file whatever its name.
type inode struct{ dev, ino uint64 }

// image is what is on disk of a file or folder.
type image struct {
	data  []byte           // of a file, up to a hole at its end
	size  int64            // of a file
	names map[string]inode // of a folder
	isDir bool
}

// restore makes a folder with what was synced.
func (tr *tracer) restore(to string) error { return tr.restoreDir(tr.root, to) }

func (tr *tracer) restoreDir(from inode, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	folder := tr.images[from]
	names := make([]string, 0, len(folder.names))
	for name := range folder.names {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		child := folder.names[name]
		path := filepath.Join(to, name)
		if tr.isDir[child] {
			if err := tr.restoreDir(child, path); err != nil {
				return err
			}
			continue
		}
		file := tr.images[child]
		if err := errors.Join(os.WriteFile(path, file.data, 0o600), os.Truncate(path, file.size)); err != nil {
			return err
		}
	}
	return nil
}
