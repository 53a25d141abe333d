package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// localCluster is a cluster of this program's own processes on loopback, each with its own folder: the real thing,
// without machines. The processes die with the one that started them, whatever ends it.
type localCluster struct {
	members []*localMember
	others  []*localMember // processes that are no members, as frontends
	spawn   chan func()    // run by the one thread that starts processes; closed by stop
	threads sync.WaitGroup
}

// localMember is one process of a local cluster.
type localMember struct {
	name   string
	dir    string
	client string // address
	args   []string

	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{} // closed when process has ended
}

// startPatience bounds how long a cluster may take to form and elect on a busy machine.
const startPatience = 30 * time.Second

// memberFlags are what a member of a local cluster is started with.
type memberFlags struct {
	name   string
	dir    string
	raft   string   // address
	client string   // address
	peers  []string // raft addresses of all
}

// startLocal starts a cluster of as many members as nodes, with their folders and logs in dir. extra are more flags
// of node run. Nothing is known of a payment provider, so lines are not paced by one.
func startLocal(dir string, nodes, shards int, extra ...string) (*localCluster, error) {
	return startProcesses(dir, nodes, func(f memberFlags) []string {
		return append([]string{"node", "run", "--name", f.name, "--data-dir", f.dir, "--listen-raft", f.raft, "--listen-client", f.client,
			"--peers", strings.Join(f.peers, ","), "--bootstrap-expect", strconv.Itoa(nodes), "--shards", strconv.Itoa(shards), "--log-level", "warn",
			"--orders-per-second", "0"}, extra...)
	})
}

// startProcesses starts processes of this program that know of each other, each with a folder and a log in dir.
func startProcesses(dir string, nodes int, args func(memberFlags) []string) (*localCluster, error) {
	ports, err := freePorts(2 * nodes)
	if err != nil {
		return nil, err
	}
	peers := make([]string, nodes)
	for i := range peers {
		peers[i] = loopback(ports[i])
	}
	c := &localCluster{spawn: make(chan func())}
	for i := range nodes {
		f := memberFlags{name: fmt.Sprintf("n%d", i+1), raft: peers[i], client: loopback(ports[nodes+i]), peers: peers}
		f.dir = filepath.Join(dir, f.name)
		c.members = append(c.members, &localMember{name: f.name, dir: f.dir, client: f.client, args: args(f)})
	}
	c.threads.Go(func() {
		// Linux kills children when the thread that started them ends, so one thread starts them all and stays.
		runtime.LockOSThread()
		for f := range c.spawn {
			f()
		}
	})
	for _, m := range c.members {
		if err := c.start(m); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	return c, nil
}

// launch starts a process of this program that is no member. It dies with the cluster.
func (c *localCluster) launch(name, dir string, args ...string) (*localMember, error) {
	m := &localMember{name: name, dir: dir, args: args}
	c.others = append(c.others, m)
	return m, c.start(m)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports that nobody listens on, below those that the kernel gives to outgoing connections, so that
// none of them takes one while its member is down.
func freePorts(n int) (ports []int, err error) {
	const first, last, tries = 20000, 32000, 1000
	var held []net.Listener
	for range tries {
		if len(ports) == n {
			break
		}
		port := first + rand.IntN(last-first)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		held, ports = append(held, l), append(ports, port)
	}
	for _, l := range held {
		err = errors.Join(err, l.Close())
	}
	if len(ports) < n {
		return nil, fmt.Errorf("no %d free ports between %d and %d", n, first, last)
	}
	return ports, err
}

func (c *localCluster) endpoints() []string {
	addresses := make([]string, len(c.members))
	for i, m := range c.members {
		addresses[i] = m.client
	}
	return addresses
}

// start starts a member's process, in its folder as it is.
func (c *localCluster) start(m *localMember) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(m.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(self, m.args...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	c.spawn <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	ended := make(chan struct{})
	m.mu.Lock()
	m.process, m.ended = cmd, ended
	m.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	return nil
}

// childEnv is set for the processes that a test's own binary is started as: it then is holdfast, not the test.
const childEnv = "HOLDFAST_CHILD"

// kill ends a member's process as a power cut would, and waits until it is gone.
func (m *localMember) kill() error {
	m.mu.Lock()
	process, ended := m.process, m.ended
	m.mu.Unlock()
	if process == nil {
		return nil
	}
	if err := process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	<-ended
	return nil
}

// pid is the number of the member's process.
func (m *localMember) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process.Process.Pid
}

// running reports whether the member's process is there.
func (m *localMember) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// lastWords are the end of a member's log, for when something is wrong with it.
func (m *localMember) lastWords() string {
	text, err := os.ReadFile(m.dir + ".log")
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// named finds a member.
func (c *localCluster) named(name string) *localMember {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// stop ends all processes and waits for them. Their data is of no more use, so they are not asked to end well.
func (c *localCluster) stop() error {
	var errs []error
	for _, m := range c.processes() {
		errs = append(errs, m.kill())
	}
	close(c.spawn)
	c.threads.Wait()
	return errors.Join(errs...)
}

// ready waits until every member is ready and every shard has a leader.
func (c *localCluster) ready(ctx context.Context, cl *client.Client) (statusOut, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		status := statusOutOf(survey(ctx, cl, c.endpoints()))
		health := healthOf(status)
		if health.Healthy && health.Reachable == len(c.members) {
			return status, nil
		}
		if err := c.whole(); err != nil {
			return status, err
		}
		select {
		case <-ctx.Done():
			return status, &holdfast.Error{Kind: holdfast.Unavailable, Op: "start", Err: ctx.Err(),
				Message: "the cluster did not form: " + strings.Join(health.Problems, "; ")}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// processes are all that were started.
func (c *localCluster) processes() []*localMember {
	return append(c.others[:len(c.others):len(c.others)], c.members...)
}

// whole is an error when a process has ended that was not killed.
func (c *localCluster) whole() error {
	for _, m := range c.processes() {
		if !m.running() {
			return fmt.Errorf("%s ended by itself; its log ends with:\n%s", m.name, m.lastWords())
		}
	}
	return nil
}

// leader gives the member that leads a shard.
func (c *localCluster) leader(ctx context.Context, cl *client.Client, shard holdfast.ShardID) (*localMember, error) {
	for _, s := range statusOutOf(survey(ctx, cl, c.endpoints())).Shards {
		if s.Shard == shard && s.Leader != "" {
			return c.named(s.Leader), nil
		}
	}
	return nil, &holdfast.Error{Kind: holdfast.Unavailable, Op: "leader", Shard: shard, Message: "no leader is known"}
}
