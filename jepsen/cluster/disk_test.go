//go:build linux

package cluster

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A long run stood still for twenty minutes with a strace that waited for a killed member (seed 23, stuck-sync and kill-snapshotter).
func TestATracerThatDoesNotEndIsEnded(t *testing.T) {
	s := newStarter()
	defer s.Close()
	ready := filepath.Join(t.TempDir(), "ready")
	p, err := s.start(filepath.Join(t.TempDir(), "log"), nil, "sh", "-c", `trap "" TERM; : > "$0"; while :; do sleep 1; done`, ready)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what stands for strace does not begin")
		}
	}
	stopped := make(chan struct{})
	go func() {
		(&Tracer{p}).Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Error("it is waited for")
	}
}
