//go:build linux

// Package cluster runs holdfast as real processes on real disks, each member behind proxies on loopback or, with the
// privilege, in a network namespace and on a file system of its own; and breaks them as a nemesis asks. It knows how
// processes, links, clocks and disks fail, and nothing about what is promised.
package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/jepsen/seam"
)

// Config says what cluster to run. Dir must be given.
type Config struct {
	Dir     string // for everything; its files are left
	Members int    // 0: 3
	// Namespaces puts each member into a network namespace, and on a file system of DiskBytes. See Privileged.
	Namespaces bool
	DiskBytes  int64 // 0: 8 GiB; a file with holes stands behind it
	Lossy      LossyDisks
	// SnapshotEntries is after how many entries a member makes a snapshot; 0: as a production build.
	SnapshotEntries int
	Binary          string       // "": it is built
	Logger          *slog.Logger // nil discards
}

// Cluster is some members. It is safe for concurrent use: faults come together.
type Cluster struct {
	cfg     Config
	starter *starter
	client  *client.Client
	network *network
	disks   *disks
	members []*member

	ops     sync.Mutex // held while a process is started or ended, before mu
	mu      sync.Mutex
	exits   []Exit
	excused map[int]bool // members that may end by themselves now
	shop    *Shop        // nil: none was opened
	minding sync.WaitGroup
	closing chan struct{} // closed by Close
}

// Exit is a process that ended by itself.
type Exit struct {
	At   time.Time
	Who  string
	How  string
	Last string // lines that it logged
}

// member is one place in the cluster, with or without a process.
type member struct {
	number  int
	raft    string   // where it listens, and what peers are told
	listen  string   // where it serves clients
	process *process // this and what follows is guarded by Cluster.mu
	paused  bool
}

// Start builds the program if need be, starts all members and waits until they are of use.
func Start(cfg Config) (_ *Cluster, err error) {
	if cfg.Members == 0 {
		cfg.Members = 3
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	if cfg.Binary == "" {
		cfg.Binary = filepath.Join(cfg.Dir, "holdfast")
		if err := Build(cfg.Binary); err != nil {
			return nil, err
		}
	}
	c := &Cluster{cfg: cfg, starter: newStarter(), excused: map[int]bool{}, closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.disks, err = newDisks(cfg); err != nil {
		return c, err
	}
	if err := c.place(); err != nil {
		return c, err
	}
	for i := range c.members {
		if err := c.Start(i); err != nil {
			return c, err
		}
	}
	var endpoints []string
	for i := range c.members {
		endpoints = append(endpoints, c.Address(i))
	}
	if c.client, err = client.New(endpoints); err != nil {
		return c, err
	}
	return c, c.Await(30 * time.Second)
}

// Sources is where the program's sources are.
func Sources() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/holdfast-db/holdfast").Output()
	if err != nil {
		return "", fmt.Errorf("where the sources are: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}

// Build makes the program, with the seams that a production build does not have, and with what further tags bring.
func Build(to string, tags ...string) error {
	root, err := Sources()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-tags", strings.Join(append(tags, "jepsen"), ","), "-o", to, "./cmd/holdfast")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// place makes the network, and tells every member where it finds the others.
func (c *Cluster) place() (err error) {
	for i := range c.cfg.Members {
		c.members = append(c.members, &member{number: i})
	}
	if c.network, err = newNetwork(c.cfg.Namespaces, c.members); err != nil {
		return err
	}
	for i := range c.members {
		if err := seam.SetRoutes(c.seamFolder(i), c.network.routes(i)); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all processes and takes away what was made in the operating system.
func (c *Cluster) Close() (err error) {
	close(c.closing)
	if c.client != nil {
		err = c.client.Close()
	}
	if c.shop != nil {
		c.shop.close()
	}
	for i := range c.members {
		c.Kill(i)
	}
	c.minding.Wait()
	if c.network != nil {
		err = errors.Join(err, c.network.Close())
	}
	if c.disks != nil {
		err = errors.Join(err, c.disks.Close())
	}
	c.starter.Close()
	return err
}

// Name is what the member is called.
func Name(i int) string { return "n" + strconv.Itoa(i+1) }

// Members is how many places there are.
func (c *Cluster) Members() int { return len(c.members) }

// Namespaces reports whether members live in namespaces, behind packets, and on disks of their own.
func (c *Cluster) Namespaces() bool { return c.cfg.Namespaces }

// Client talks to all members by way of the proxies.
func (c *Cluster) Client() *client.Client { return c.client }

// Address is where clients find a member.
func (c *Cluster) Address(i int) string { return c.network.clients[i].address() }

// Folder is where a member keeps what must survive it.
func (c *Cluster) Folder(i int) string { return filepath.Join(c.disks.folder(i), "data") }

// Binary is the program.
func (c *Cluster) Binary() string { return c.cfg.Binary }

// Dir is the run's folder.
func (c *Cluster) Dir() string { return c.cfg.Dir }

func (c *Cluster) seamFolder(i int) string { return filepath.Join(c.cfg.Dir, Name(i)+".seam") }
func (c *Cluster) logFile(i int) string    { return filepath.Join(c.cfg.Dir, Name(i)+".log") }

// Start starts a member with its folder as it is, unless it runs.
func (c *Cluster) Start(i int) error {
	c.ops.Lock()
	defer c.ops.Unlock()
	if c.Running(i) {
		return nil
	}
	m := c.members[i]
	var peers []string
	for _, other := range c.members {
		peers = append(peers, other.raft)
	}
	args := append(c.network.enter(i), c.cfg.Binary, "node", "run", "--name", Name(i), "--data-dir", c.Folder(i), "--listen-raft", m.raft,
		"--listen-client", m.listen, "--peers", strings.Join(peers, ","), "--bootstrap-expect", strconv.Itoa(len(c.members)), "--log-level", "warn")
	if c.cfg.SnapshotEntries > 0 {
		args = append(args, "--snapshot-entries", strconv.Itoa(c.cfg.SnapshotEntries))
	}
	p, err := c.starter.start(c.logFile(i), []string{seam.Folder + "=" + c.seamFolder(i)}, args...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	m.process, m.paused = p, false
	c.mu.Unlock()
	c.minding.Go(func() { c.mind(m, p) })
	return nil
}

// mind notes when a process ends by itself.
func (c *Cluster) mind(m *member, p *process) {
	<-p.ended
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closing:
		return
	default:
	}
	if !p.meant && !c.excused[m.number] {
		c.exits = append(c.exits, Exit{At: time.Now(), Who: Name(m.number), How: fmt.Sprint(p.err), Last: c.LastWords(m.number)})
	}
}

// Exits are the processes that ended by themselves though no fault excused it.
func (c *Cluster) Exits() []Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Exit(nil), c.exits...)
}

// Excuse lets a member end by itself from now on, since a fault of its disk leaves it nothing better, until EndExcuses.
func (c *Cluster) Excuse(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excused[i] = true
}

// EndExcuses says that no member may end by itself from now on.
func (c *Cluster) EndExcuses() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.excused)
}

// revive starts the members again that have ended with an excuse, as their operator would.
func (c *Cluster) revive() (err error) {
	c.mu.Lock()
	excused := maps.Clone(c.excused)
	c.mu.Unlock()
	for i := range excused {
		err = errors.Join(err, c.Start(i))
	}
	return err
}

// Kill ends a member without a word.
func (c *Cluster) Kill(i int) {
	c.ops.Lock()
	defer c.ops.Unlock()
	if p := c.take(i); p != nil {
		p.kill()
	}
}

// Stop asks a member to end. It reports false when it had to be killed.
func (c *Cluster) Stop(i int, patience time.Duration) bool {
	c.ops.Lock()
	defer c.ops.Unlock()
	p := c.take(i)
	return p == nil || p.stop(patience)
}

// take notes that a member's process, which it gives, ends on purpose.
func (c *Cluster) take(i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.members[i].process
	if p != nil {
		p.meant = true
	}
	return p
}

// Pause stops a member's process where it is; Resume lets it go on. They mean nothing to one that does not run.
func (c *Cluster) Pause(i int)  { c.signal(i, syscall.SIGSTOP, true) }
func (c *Cluster) Resume(i int) { c.signal(i, syscall.SIGCONT, false) }

func (c *Cluster) signal(i int, s syscall.Signal, paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[i]
	if m.process != nil && m.process.running() {
		_ = m.process.signal(s) // an error is that it has just ended
		m.paused = paused
	}
}

// Running reports whether a member has a process.
func (c *Cluster) Running(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.members[i].process
	return p != nil && p.running()
}

// answers reports whether a member can answer.
func (c *Cluster) answers(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[i]
	return m.process != nil && m.process.running() && !m.paused
}

// Pid is the process of a member that runs.
func (c *Cluster) Pid(i int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i].process.pid()
}

// Link says what becomes of what one member sends to another; Everybody stands for the clients.
func (c *Cluster) Link(from, to int, l Link) error { return c.network.set(from, to, l) }

// Everybody is where clients and frontends are, for Link and Reset.
const Everybody = -1

// Mend makes every link a good one.
func (c *Cluster) Mend() error { return c.network.mend() }

// Reset ends every connection from one place to another.
func (c *Cluster) Reset(from, to int) { c.network.reset(from, to) }

// Skew moves the clocks of a member, whether it runs or not.
func (c *Cluster) Skew(i int, s seam.Skew) error { return seam.SetSkew(c.seamFolder(i), s) }

// Wipe takes everything away that a member has, so that it does not come back. It must be down.
func (c *Cluster) Wipe(i int) error {
	err := os.RemoveAll(c.Folder(i))
	if err == nil && len(c.disks.lossy) > 0 {
		err = c.disks.lossy[i].Sync()
	}
	return err
}

// LastWords are the end of a member's log.
func (c *Cluster) LastWords(i int) string { return tail(c.logFile(i), 12) }

func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func listenLocal() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
