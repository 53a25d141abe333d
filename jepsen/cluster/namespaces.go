//go:build linux

package cluster

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
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// namespaces are one network namespace for each member, joined by a bridge. On the bridge there is, besides, one
// address that stands in for each member: proxies listen and dial there, so that to the packets of a member it looks
// as if the other were there.
type namespaces struct {
	run    string // makes every name and the net its own
	net    string // the first three parts of all addresses
	places int
	links  map[[2]int]Link // of packets, from and to
}

// Privileged says why namespaces cannot be had, or nil.
func Privileged() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("there is no %s", tool)
		}
	}
	name := fmt.Sprintf("hfj%d-probe", os.Getpid())
	if err := system("ip", "netns", "add", name); err != nil {
		return err
	}
	defer func() { _ = system("ip", "netns", "del", name) }() // a probe that stays harms nobody
	return system("ip", "netns", "exec", name, "nft", "add", "table", "inet", "probe")
}

// system runs a tool and gives what it complained of.
func system(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// sweep takes away what runs have left that were killed.
func sweep() {
	left, _ := filepath.Glob("/var/run/netns/hfj*")
	for _, path := range left {
		name := filepath.Base(path)
		process, _, _ := strings.Cut(strings.TrimPrefix(name, "hfj"), "-")
		if _, alive := os.Stat("/proc/" + process); alive != nil {
			_ = system("ip", "netns", "del", name)
			_ = system("ip", "link", "del", name[:max(0, strings.LastIndexByte(name, '-'))]) // the bridge, with the first of its namespaces
		}
	}
}

// clusters counts those that this process has made. Two of them may be there at a time: one that works, and the one before.
var clusters atomic.Int32

func newNamespaces(places int) (_ *namespaces, err error) {
	sweep()
	pid, turn := os.Getpid(), int(clusters.Add(1)%2)
	s := &namespaces{run: fmt.Sprintf("hfj%d-%c", pid, 'a'+turn), net: fmt.Sprintf("10.%d.%d", 128+64*turn+pid>>8%64, pid%256), places: places, links: map[[2]int]Link{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	do := func(args ...string) {
		if err == nil {
			err = system(args...)
		}
	}
	do("ip", "link", "add", s.run, "type", "bridge")
	do("ip", "link", "set", s.run, "up")
	for i := range places {
		name, outer := s.name(i), fmt.Sprintf("%sv%d", s.run, i)
		do("ip", "addr", "add", s.standIn(i)+"/24", "dev", s.run)
		do("ip", "netns", "add", name)
		do("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
		do("ip", "link", "set", outer, "master", s.run, "up")
		do("ip", "-n", name, "link", "set", "lo", "up")
		do("ip", "-n", name, "addr", "add", s.member(i)+"/24", "dev", "eth0")
		do("ip", "-n", name, "link", "set", "eth0", "up")
		do(s.nft(i, "add table inet holdfast")...)
		do(s.nft(i, "add chain inet holdfast out { type filter hook output priority 0; }")...)
	}
	return s, err
}

func (s *namespaces) name(i int) string    { return fmt.Sprintf("%s-%s", s.run, Name(i)) }
func (s *namespaces) member(i int) string  { return fmt.Sprintf("%s.%d", s.net, i+1) }
func (s *namespaces) standIn(i int) string { return fmt.Sprintf("%s.%d", s.net, i+101) }

func (s *namespaces) enter(i int) []string { return []string{"ip", "netns", "exec", s.name(i)} }

func (s *namespaces) nft(i int, rule string) []string { return append(s.enter(i), "nft", rule) }

// drop drops packets that go from one member to another, all or some of them.
func (s *namespaces) drop(from, to int, l Link) error {
	was := s.links[[2]int{from, to}]
	if was.Cut == l.Cut && was.LossPercent == l.LossPercent {
		return nil
	}
	s.links[[2]int{from, to}] = l
	rules := []string{"flush chain inet holdfast out"}
	for other := range s.places {
		switch link := s.links[[2]int{from, other}]; {
		case link.Cut:
			rules = append(rules, fmt.Sprintf("add rule inet holdfast out ip daddr %s drop", s.standIn(other)))
		case link.LossPercent > 0:
			rules = append(rules, fmt.Sprintf("add rule inet holdfast out ip daddr %s numgen random mod 100 < %d drop", s.standIn(other), link.LossPercent))
		}
	}
	return system(s.nft(from, strings.Join(rules, "; "))...)
}

func (s *namespaces) mend() (err error) {
	s.links = map[[2]int]Link{}
	for i := range s.places {
		err = errors.Join(err, system(s.nft(i, "flush chain inet holdfast out")...))
	}
	return err
}

// dialInside dials from within a member's namespace. A socket stays in the namespace in which it was made.
func (s *namespaces) dialInside(i int, address string) func(context.Context) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	return func(ctx context.Context) (net.Conn, error) {
		answer := make(chan dialled, 1)
		go func() { // its thread is not used again
			runtime.LockOSThread()
			conn, err := s.dialFrom(ctx, i, address)
			answer <- dialled{conn, err}
		}()
		got := <-answer
		return got.conn, got.err
	}
}

func (s *namespaces) dialFrom(ctx context.Context, i int, address string) (net.Conn, error) {
	f, err := os.Open("/var/run/netns/" + s.name(i))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 5 * time.Second, FallbackDelay: -1} // in this goroutine, and so on this thread
	return d.DialContext(ctx, "tcp", address)
}

// Close takes away what was made. What is not there is not missed.
func (s *namespaces) Close() (err error) {
	for i := range s.places {
		if _, missing := os.Stat("/var/run/netns/" + s.name(i)); missing == nil {
			err = errors.Join(err, system("ip", "netns", "del", s.name(i)))
		}
	}
	if _, missing := os.Stat("/sys/class/net/" + s.run); missing == nil {
		err = errors.Join(err, system("ip", "link", "del", s.run))
	}
	return err
}
