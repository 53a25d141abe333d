package seam

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast/node"
)

func TestClocksFollowTheirFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newClock(dir + "/" + clockFile)
		differs := func(wall, mono time.Duration) {
			t.Helper()
			if got := c.Now().Sub(time.Now()); got != wall {
				t.Errorf("the wall clock is %v ahead, want %v", got, wall)
			}
			if got := c.Monotonic() - time.Since(c.start); got != mono {
				t.Errorf("the monotonic clock is %v ahead, want %v", got, mono)
			}
		}
		set := func(s Skew) {
			t.Helper()
			if err := SetSkew(dir, s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * clockEvery)
			c.Now() // sees the file: a rate counts from here
		}
		differs(0, 0)
		set(Skew{OffsetMs: -5000})
		differs(-5*time.Second, 0) // only the wall jumps
		set(Skew{RatePPM: 500_000})
		time.Sleep(10 * time.Second)
		differs(5*time.Second, 5*time.Second)
		set(Skew{})
		differs(5*time.Second+clockEvery, 5*time.Second+clockEvery) // what was gained stays
	})
}

func TestPeersAreDialledByTheirProxies(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(Folder, dir)
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	if err := SetRoutes(dir, Routes{Peers: map[string]string{"192.0.2.1:7300": proxy.Addr().String()}, Clients: "127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	var c node.Config
	if err := Install(&c); err != nil {
		t.Fatal(err)
	}
	conn, err := c.Network.Dial("192.0.2.1:7300", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if c.ClientAddress != "127.0.0.1:1" {
		t.Errorf("clients are sent to %q", c.ClientAddress)
	}
}

func TestWithoutAFolderNothingIsDifferent(t *testing.T) {
	t.Setenv(Folder, "")
	var c node.Config
	if err := Install(&c); err != nil || c.Clock != nil || c.Network != nil {
		t.Errorf("%v, %v, %v", c.Clock, c.Network, err)
	}
}
