package frontend

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
)

// TestAWrongMethodIsToldWhichAreRight: an address that exists is not called missing.
func TestAWrongMethodIsToldWhichAreRight(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	b := newBrowser(t)
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/api/v1/events/evening/line", "POST"},
		{"GET", "/api/v1/events/evening/line", "POST"},
		{"POST", "/api/v1/events/evening/line/place", "GET, HEAD, DELETE"},
		{"PUT", "/api/v1/holds/hold_00.1", "GET, HEAD, PATCH, DELETE"},
		{"GET", "/webhooks/stripe", "POST"},
		{"DELETE", "/metrics", "GET, HEAD"},
		{"PUT", "/e/evening/line", "GET, HEAD, POST"},
	} {
		a := b.do(c.method, s.base+c.path, nil).want(405)
		if got := a.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow is %q, want %q", c.method, c.path, got, c.allow)
		}
	}
	if a := b.do("PUT", s.base+"/api/v1/events/evening/line", nil); a.code() != "method_not_allowed" {
		t.Errorf("%s", a.body)
	}
	for _, path := range []string{"/api/v1/nothing", "/e/evening/nothing", "/nothing"} {
		if a := b.do("PUT", s.base+path, nil).want(404); a.header.Get("Allow") != "" {
			t.Errorf("%s exists", path)
		}
	}
	b.do("HEAD", s.base+"/api/v1/events/evening", nil).want(200)
}

// wire is the way to the cluster, which can be cut.
type wire struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *wire) dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.New("the wire is cut")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.conns = nil
	}
}

// TestAFrontendThatIsCutOffIsNotReady: but not at once, since an election is no reason to turn visitors away; what it knows
// it serves on, and nobody waits for the silence that another has just waited for.
func TestAFrontendThatIsCutOffIsNotReady(t *testing.T) {
	g := &ground{t: t, cluster: clienttest.New(t, clienttest.Config{Loopback: true}), clock: &movable{}}
	g.event, g.client = g.cluster.LoadEvent(hall("evening")), g.cluster.Client()
	var w wire
	cl, err := client.New(g.cluster.Endpoints(), client.WithDialOptions(grpc.WithContextDialer(w.dial)))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	s := g.serve(func(c *Config) { c.Client = cl })
	b := newBrowser(t)
	b.do("GET", s.base+"/readyz", nil).want(200)
	b.api(s, "GET", "/api/v1/events/evening", nil).want(200)
	w.set(true)
	g.clock.advance(3 * time.Second) // what is remembered is old, and it is asked again, in vain
	b.do("GET", s.base+"/readyz", nil).want(200)
	began := time.Now()
	var all sync.WaitGroup
	statuses := make([]int, 20)
	for i := range statuses {
		all.Go(func() { statuses[i] = newBrowser(t).do("GET", s.base+"/api/v1/events", nil).status })
	}
	all.Wait()
	if slices.ContainsFunc(statuses, func(status int) bool { return status != 200 }) || time.Since(began) > 2*listTimeout {
		t.Errorf("%v after %v", statuses, time.Since(began))
	}
	g.clock.advance(silenceMax)
	b.do("GET", s.base+"/readyz", nil).want(503)
	b.do("GET", s.base+"/livez", nil).want(200)
	b.api(s, "GET", "/api/v1/events/evening", nil).want(200)
	w.set(false)
	until(t, "it is ready again", func() bool {
		g.clock.advance(listAge)
		return b.do("GET", s.base+"/readyz", nil).status == 200
	})
}
