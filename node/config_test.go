package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

func TestAConfigIsRefusedByTheNameOfTheField(t *testing.T) {
	good := func() Config {
		return Config{Name: "n1", Dir: "/data", RaftAddress: "10.0.0.1:7000", Peers: []string{"10.0.0.2:7000", "10.0.0.3:7000"}, BootstrapExpect: 3}
	}
	if err := good().withDefaults().check(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for field, change := range map[string]func(c *Config){
		"name":             func(c *Config) { c.Name = "N 1" },
		"dir":              func(c *Config) { c.Dir = "" },
		"peers":            func(c *Config) { c.Peers = append(c.Peers, "10.0.0.4") },
		"bootstrap-expect": func(c *Config) { c.BootstrapExpect = 2 },
		"shards":           func(c *Config) { c.Shards = ShardsMax + 1 },
		"heartbeat":        func(c *Config) { c.Timing.Heartbeat = time.Millisecond },
		"election":         func(c *Config) { c.Timing.Election = 100 * time.Millisecond },
		"lease":            func(c *Config) { c.Timing.Lease = time.Second },
		"commit":           func(c *Config) { c.Timing.Commit = time.Microsecond },
		"tick":             func(c *Config) { c.Timing.Tick = holdfast.StepMax + 1 },
		"rpc":              func(c *Config) { c.Timing.RPC = 10 * time.Millisecond },
		"hello":            func(c *Config) { c.Timing.Hello = -1 },
	} {
		c := good()
		change(&c)
		var refused *holdfast.Error
		if err := c.withDefaults().check(); !errors.As(err, &refused) || refused.Field != field || refused.Kind != holdfast.Invalid {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, address := range []string{"0.0.0.0:7000", ":7000", "[::]:7000", "10.0.0.1:0"} { // others could not dial it
		c := good()
		c.RaftAddress = address
		if err := c.withDefaults().check(); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: %v", address, err)
		}
	}
	many := good()
	for i := range PeersMax {
		many.Peers = append(many.Peers, fmt.Sprintf("10.0.1.%d:7000", i+1))
	}
	if err := many.withDefaults().check(); !errors.Is(err, holdfast.Invalid) || !strings.Contains(err.Error(), "peers") {
		t.Errorf("too many peers: %v", err)
	}
}

func TestPeersAreInOrderWithOurselvesAmongThem(t *testing.T) {
	a := Config{RaftAddress: "c:1", Peers: []string{"b:1", "a:1", "b:1"}}.withDefaults()
	b := Config{RaftAddress: "a:1", Peers: []string{"c:1", "a:1", "b:1"}}.withDefaults()
	if want := []string{"a:1", "b:1", "c:1"}; !slices.Equal(a.Peers, want) || !slices.Equal(b.Peers, want) {
		t.Errorf("got %v and %v, want %v", a.Peers, b.Peers, want)
	}
}
