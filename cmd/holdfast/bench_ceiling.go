package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/spf13/cobra"
	"go.etcd.io/bbolt"
)

// The ceiling: bare hashicorp/raft between processes of this program, with the log store and the depth that our nodes
// use, entries of the size that the benchmark's run had, and a state machine that does nothing.

// ceilingDepth is how many entries a leader has unapplied at once: as many as node, and never more than callers.
const ceilingDepth = 2

// ceilingMax bounds the ceiling's own run.
const ceilingMax = 5 * time.Second

// ceilingOut is what the leader of the bare group writes when it has measured.
type ceilingOut struct {
	EntriesPerS float64 `json:"entries_per_s"`
	EntryP50Ms  float64 `json:"entry_p50_ms"`
}

const ceilingFile = "ceiling.json"

// ceiling runs the bare group and waits for its leader's measurement.
func (f benchFlags) ceiling(ctx context.Context, dir string, run benchOut) (out ceilingOut, err error) {
	dir = filepath.Join(dir, "ceiling")
	measure := min(f.duration, ceilingMax)
	cluster, err := startProcesses(dir, f.nodes, func(m memberFlags) []string {
		return []string{"bench", "ceiling-member", "--data-dir", m.dir, "--listen-raft", m.raft, "--peers", strings.Join(m.peers, ","),
			"--entry-bytes", strconv.Itoa(run.BytesPerEntry), "--depth", strconv.Itoa(min(ceilingDepth, f.callers)), "--duration", measure.String()}
	})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, cluster.stop()) }()
	ctx, cancel := context.WithTimeout(ctx, startPatience+measure)
	defer cancel()
	for pause(ctx, 50*time.Millisecond) {
		for _, m := range cluster.members {
			if text, err := os.ReadFile(filepath.Join(m.dir, ceilingFile)); err == nil {
				return out, json.Unmarshal(text, &out)
			}
		}
		if err := cluster.whole(); err != nil {
			return out, err
		}
	}
	return out, fmt.Errorf("bare raft did not finish: %w\n%s", ctx.Err(), cluster.members[0].lastWords())
}

// bareMember is one process of the bare group.
type bareMember struct {
	dir, address string
	peers        []string
	entryBytes   int
	depth        int
	duration     time.Duration
}

func benchCeilingMember() *cobra.Command {
	var m bareMember
	c := &cobra.Command{
		Use:    "ceiling-member",
		Hidden: true, // started by bench claims
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return m.run(cmd.Context()) },
	}
	c.Flags().StringVar(&m.dir, "data-dir", "", "")
	c.Flags().StringVar(&m.address, "listen-raft", "", "")
	c.Flags().StringSliceVar(&m.peers, "peers", nil, "")
	c.Flags().IntVar(&m.entryBytes, "entry-bytes", 1024, "")
	c.Flags().IntVar(&m.depth, "depth", ceilingDepth, "")
	c.Flags().DurationVar(&m.duration, "duration", ceilingMax, "")
	return c
}

// run is a member's life: whoever comes to lead measures.
func (m bareMember) run(ctx context.Context) error {
	r, closeAll, err := m.open()
	if err != nil {
		return err
	}
	defer closeAll()
	select {
	case <-r.LeaderCh():
	case <-ctx.Done():
		return nil
	}
	if err := r.Barrier(startPatience).Error(); err != nil {
		return err
	}
	out, err := m.load(r)
	if err != nil {
		return err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	// In one step, so that who waits for the file never reads half of it.
	path := filepath.Join(m.dir, ceilingFile)
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// open starts bare Raft as node does.
func (m bareMember) open() (r *raft.Raft, closeAll func(), err error) {
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(m.dir, "raft.db"),
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}})
	if err != nil {
		return nil, nil, err
	}
	cache, err := raft.NewLogCache(512, store)
	if err != nil {
		return nil, nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	transport, err := raft.NewTCPTransportWithLogger(m.address, nil, len(m.peers), 10*time.Second, log)
	if err != nil {
		return nil, nil, err
	}
	cfg := raft.DefaultConfig() // its patience suits a machine that is kept busy, and does not touch what is measured
	cfg.LocalID, cfg.Logger = raft.ServerID(m.address), log
	cfg.SnapshotThreshold, cfg.SnapshotInterval = 1<<62, 24*time.Hour
	var servers []raft.Server
	for _, p := range m.peers {
		servers = append(servers, raft.Server{ID: raft.ServerID(p), Address: raft.ServerAddress(p)})
	}
	snapshots := raft.NewDiscardSnapshotStore()
	if err := raft.BootstrapCluster(cfg, cache, store, snapshots, transport, raft.Configuration{Servers: servers}); err != nil {
		return nil, nil, err
	}
	r, err = raft.NewRaft(cfg, nothing{}, cache, store, snapshots, transport)
	if err != nil {
		return nil, nil, err
	}
	// What a member of a benchmark leaves behind is deleted, so nothing is to be said about how it closed.
	return r, func() {
		_ = r.Shutdown().Error()
		_ = transport.Close()
		_ = store.Close()
	}, nil
}

// load proposes entries, depth of them at once, and waits for the oldest.
func (m bareMember) load(r *raft.Raft) (ceilingOut, error) {
	entry := make([]byte, m.entryBytes)
	_, _ = crand.Read(entry) // crypto/rand does not fail; what it gives cannot be made smaller
	type proposed struct {
		at     time.Time
		future raft.ApplyFuture
	}
	var flight []proposed
	var took []time.Duration
	began := time.Now()
	for time.Since(began) < m.duration || len(flight) > 0 {
		if time.Since(began) < m.duration && len(flight) < m.depth {
			flight = append(flight, proposed{time.Now(), r.Apply(entry, 0)})
			continue
		}
		if err := flight[0].future.Error(); err != nil {
			return ceilingOut{}, err
		}
		took = append(took, time.Since(flight[0].at))
		flight = flight[1:]
	}
	return ceilingOut{EntriesPerS: float64(len(took)) / time.Since(began).Seconds(), EntryP50Ms: percentile(took, 50)}, nil
}

// nothing is a state machine that does nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}
