// Package seam is what a node that is built with the tag jepsen has more than a production build: a clock and a way to
// its peers that the harness moves. Nothing but the harness and that build may import it.
//
// The harness names a folder in the environment. In it are
//
//	clock.json   how the process's clocks differ from the computer's: see Skew. It is read again every few milliseconds.
//	routes.json  where proxies stand for peers, and for this node's own clients: see Routes. It is read once.
package seam

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/node"
)

// Folder is the environment variable that names the folder. Without it a build with seams behaves as any other.
const Folder = "HOLDFAST_JEPSEN_SEAM"

const (
	clockFile  = "clock.json"
	routesFile = "routes.json"
	// clockEvery is how soon a clock follows its file.
	clockEvery = 5 * time.Millisecond
)

// Skew is how a process's clocks differ from the computer's.
type Skew struct {
	OffsetMs int64 `json:"offset_ms"` // of the wall clock
	// RatePPM is by how many millionths both clocks run fast; negative: slow. What has been gained stays.
	RatePPM int64 `json:"rate_ppm"`
}

// Routes say where proxies stand.
type Routes struct {
	Peers   map[string]string `json:"peers"`   // from a peer's address to its proxy's
	Clients string            `json:"clients"` // where clients of this node are to go
}

// Install puts the seams into a node's configuration.
func Install(c *node.Config) error {
	dir := os.Getenv(Folder)
	if dir == "" {
		return nil
	}
	var routes Routes
	if err := read(filepath.Join(dir, routesFile), &routes); err != nil {
		return fmt.Errorf("seam: %w", err)
	}
	clock, network := newClock(filepath.Join(dir, clockFile)), c.Network
	if network == nil {
		network = node.TCP()
	}
	c.Clock, c.Network = clock, routed{network, routes.Peers}
	if routes.Clients != "" {
		c.ClientAddress = routes.Clients
	}
	return nil
}

// SetSkew moves the clocks of the process whose folder this is.
func SetSkew(dir string, s Skew) error { return write(filepath.Join(dir, clockFile), s) }

// SetRoutes says where the process whose folder this is finds its peers, and clients find it. It must be done before the process starts.
func SetRoutes(dir string, r Routes) error { return write(filepath.Join(dir, routesFile), r) }

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// write replaces the file at once, so that nobody reads half of it.
func write(path string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// routed dials peers by way of proxies.
type routed struct {
	node.Network
	routes map[string]string
}

func (r routed) Dial(address string, timeout time.Duration) (net.Conn, error) {
	if by, ok := r.routes[address]; ok {
		address = by
	}
	return r.Network.Dial(address, timeout)
}

// clock is the computer's clock, moved by a file.
type clock struct {
	path  string
	start time.Time

	mu     sync.Mutex
	skew   Skew
	looked time.Time
	at     time.Time     // since when skew.RatePPM holds
	gained time.Duration // before at
}

func newClock(path string) *clock {
	now := time.Now()
	return &clock{path: path, start: now, at: now}
}

func (c *clock) Now() time.Time {
	now, gained, skew := c.read()
	return now.Add(gained + time.Duration(skew.OffsetMs)*time.Millisecond)
}

func (c *clock) Monotonic() time.Duration {
	now, gained, _ := c.read()
	return now.Sub(c.start) + gained
}

// read gives the computer's time, and how the process's differs. A file that cannot be read leaves things as they are.
func (c *clock) read() (now time.Time, gained time.Duration, skew Skew) {
	now = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) > clockEvery {
		next := c.skew
		if err := read(c.path, &next); err == nil && next != c.skew {
			c.gained, c.at, c.skew = c.gainedAt(now), now, next
		}
		c.looked = now
	}
	return now, c.gainedAt(now), c.skew
}

func (c *clock) gainedAt(now time.Time) time.Duration {
	return c.gained + time.Duration(int64(now.Sub(c.at))/1_000_000*c.skew.RatePPM)
}
