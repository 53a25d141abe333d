//go:build linux

package jepsen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// members is how many processes a cluster has.
const members = 3

// processes is a cluster of holdfast processes on loopback, each with its own folder.
type processes struct {
	t       *testing.T
	binary  string
	dir     string
	raft    [members]string
	clients [members]string
	running [members]*exec.Cmd // nil: down
	starter chan func()        // closed at the end of the test
}

// startProcesses builds the program once and starts a cluster of it. The end of the test ends it.
func startProcesses(t *testing.T) *processes {
	p := &processes{t: t, dir: t.TempDir(), starter: make(chan func())}
	p.binary = filepath.Join(p.dir, "holdfast")
	if out, err := exec.Command("go", "build", "-o", p.binary, "../cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	go func() {
		// Children are to die with this process, even if it is killed. Linux sees to that when the thread ends that
		// started them, so one thread starts them all and stays.
		runtime.LockOSThread()
		for f := range p.starter {
			f()
		}
	}()
	t.Cleanup(func() {
		for i := range members {
			p.kill(i)
		}
		close(p.starter)
	})
	var held []net.Listener
	for i := range 2 * members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		if i < members {
			p.raft[i] = l.Addr().String()
		} else {
			p.clients[i-members] = l.Addr().String()
		}
	}
	for _, l := range held {
		l.Close()
	}
	for i := range members {
		p.start(i)
	}
	return p
}

func (p *processes) folder(i int) string { return filepath.Join(p.dir, fmt.Sprintf("n%d", i+1)) }

// start starts a member in its folder as it is, unless it runs.
func (p *processes) start(i int) {
	p.t.Helper()
	if p.running[i] != nil {
		return
	}
	log, err := os.OpenFile(p.folder(i)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(p.binary, "node", "run", "--name", fmt.Sprintf("n%d", i+1), "--data-dir", p.folder(i), "--listen-raft", p.raft[i],
		"--listen-client", p.clients[i], "--peers", strings.Join(p.raft[:], ","), "--bootstrap-expect", fmt.Sprint(members), "--log-level", "warn")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	p.starter <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.running[i] = cmd
}

// kill ends a member without a word and waits until it is gone.
func (p *processes) kill(i int) {
	if p.running[i] == nil {
		return
	}
	if err := p.running[i].Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	_ = p.running[i].Wait() // that it was killed
	p.running[i] = nil
}

// signal stops a member, or lets it go on.
func (p *processes) signal(i int, s syscall.Signal) {
	if err := p.running[i].Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// await waits until every member that runs is ready, and says who leads the shard.
func (p *processes) await(cl *client.Client, shard holdfast.ShardID, patience time.Duration) (leader int) {
	p.t.Helper()
	ready := func() (leader int, why string) {
		leader = -1
		for i := range members {
			if p.running[i] == nil {
				continue
			}
			ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
			s, err := cl.Status(ctx, p.clients[i])
			cancel()
			switch {
			case err != nil:
				return -1, err.Error()
			case !s.GetReady():
				return -1, fmt.Sprintf("n%d is not ready", i+1)
			case s.GetShards()[shard].GetRole() == "leader":
				leader = i
			}
		}
		if leader < 0 {
			return -1, "nobody leads"
		}
		return leader, ""
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		leader, why := ready()
		if why == "" {
			return leader
		}
		if time.Now().After(deadline) {
			for i := range members {
				p.t.Logf("n%d: %s", i+1, p.lastWords(i))
			}
			p.t.Fatalf("waited %v: %s", patience, why)
		}
	}
}

// lastWords are the end of a member's log.
func (p *processes) lastWords(i int) string {
	text, err := os.ReadFile(p.folder(i) + ".log")
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// verify replays a member's archive offline. The member must be down.
func (p *processes) verify(i int) {
	p.t.Helper()
	if out, err := exec.Command(p.binary, "verify", p.folder(i)).CombinedOutput(); err != nil {
		p.t.Errorf("holdfast verify n%d: %v\n%s", i+1, err, out)
	}
}
