package frontend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestProxiesAreTrustedByConfigurationOnly: who is not on the list cannot say on whose behalf it asks, and behind those
// who are the right-most stranger counts.
func TestProxiesAreTrustedByConfigurationOnly(t *testing.T) {
	s := &Server{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:1000", nil, "192.0.2.1"},
		{"192.0.2.1:1000", []string{"198.51.100.7"}, "192.0.2.1"},
		{"10.0.0.1:1000", nil, "10.0.0.1"},
		{"10.0.0.1:1000", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1000", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1000", []string{"203.0.113.9, 198.51.100.7, 10.1.2.3"}, "198.51.100.7"},
		{"10.0.0.1:1000", []string{"203.0.113.9", "198.51.100.7:4711"}, "198.51.100.7"},
		{"10.0.0.1:1000", []string{"203.0.113.9, nonsense, 10.1.2.3"}, "10.1.2.3"},
		{"[2001:db8::1]:1000", []string{"[2a00:1::9]:80"}, "2a00:1::9"},
		{"[::ffff:10.0.0.1]:1000", []string{"198.51.100.7"}, "198.51.100.7"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := s.address(r); got.String() != c.want {
			t.Errorf("%s for %q: %v, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
	if a, b := household(netip.MustParseAddr("2a00:1:2:3::1")), household(netip.MustParseAddr("2a00:1:2:3:9::2")); a != b {
		t.Error("one customer's IPv6 addresses have a bucket each")
	}
}

func TestBucketsRefillAndAreBounded(t *testing.T) {
	now := noon
	b := newBuckets[int](2, 4)
	b.now, b.turned, b.max = func() time.Time { return now }, noon, 8
	for i := range 4 {
		if _, ok := b.take(1); !ok {
			t.Fatalf("token %d is missing", i)
		}
	}
	wait, ok := b.take(1)
	if ok || wait <= 0 || wait > 500*time.Millisecond {
		t.Errorf("empty: %v %v", wait, ok)
	}
	now = now.Add(wait)
	if _, ok := b.take(1); !ok {
		t.Error("after the wait that was told it is empty still")
	}
	for k := range 10_000 {
		b.take(k)
	}
	if len(b.warm) > b.max || len(b.cold) > b.max {
		t.Errorf("%d and %d buckets", len(b.warm), len(b.cold))
	}
}

// TestViewersAreShedBeforeWaitersBeforeHolders: as the house fills, and everyone who is sent away is told when to come
// again.
func TestViewersAreShedBeforeWaitersBeforeHolders(t *testing.T) {
	g := &gate{max: 100}
	let := map[class]int{}
	for range 200 {
		for _, c := range []class{holder, viewer, waiter} {
			if g.enter(c) {
				let[c]++
			}
		}
	}
	if let[viewer] != 20 || let[waiter] < 30 || let[waiter] > 34 || let[holder]+let[waiter]+let[viewer] != 100 || let[holder] <= let[waiter] {
		t.Errorf("let in: %v", let)
	}
	if !g.enter(keeping) {
		t.Error("a full house cannot be looked at by its keepers")
	}
	for _, c := range []class{viewer, waiter, holder} {
		if e := c.refusal(); g.shed[c].Load() == 0 || c.refusal() == nil || shedWait[c] <= 0 || e.Error() == "" {
			t.Errorf("%s: %d sent away with %v", c, g.shed[c].Load(), e)
		}
	}
	if shedWait[viewer] <= shedWait[waiter] || shedWait[waiter] <= shedWait[holder] {
		t.Error("who matters less is not asked to stay away longer")
	}
}

// TestAFullHouseAnswersEveryClassAsItDeserves, over HTTP.
func TestAFullHouseAnswersEveryClassAsItDeserves(t *testing.T) {
	gr := newGround(t, lined("evening"))
	s := gr.serve(func(c *Config) { c.Limits.InFlightMax = 100 })
	b := newBrowser(t)
	b.join(s)
	for _, c := range []struct {
		busy             int64
		view, wait, hold int
	}{{0, 200, 200, 403}, {70, 429, 200, 403}, {90, 429, 429, 403}, {100, 429, 429, 429}} {
		s.gate.inFlight.Store(c.busy)
		b.api(s, "GET", "/api/v1/events/evening", nil).want(c.view)
		b.api(s, "GET", "/api/v1/events/evening/line/place", nil).want(c.wait)
		b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(c.hold)
		b.do("GET", s.base+"/livez", nil).want(200)
	}
	s.gate.inFlight.Store(0)
}

func TestOneAddressCannotTakeTheWholeHouse(t *testing.T) {
	gr := newGround(t, lined("evening"))
	s := gr.serve(func(c *Config) {
		c.Limits.AddressBurst, c.Limits.AddressPerSecond, c.Limits.AddressJoinsPerMinute = 40, 1, 5
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	joined, refused := 0, 0
	for range 10 {
		b := newBrowser(t)
		switch a := b.api(s, "POST", "/api/v1/events/evening/line", map[string]any{}, "X-Forwarded-For", "192.0.2.7"); a.status {
		case 200:
			joined++
		case 429:
			refused++
		default:
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if joined != 5 || refused != 5 {
		t.Errorf("%d joined and %d refused", joined, refused)
	}
	newBrowser(t).api(s, "POST", "/api/v1/events/evening/line", map[string]any{}, "X-Forwarded-For", "192.0.2.8").want(200)
	last := 200
	for range 45 {
		last = newBrowser(t).api(s, "GET", "/api/v1/events", nil, "X-Forwarded-For", "192.0.2.7").status
	}
	if last != 429 {
		t.Error("the address's bucket has no bottom")
	}
}

// TestAConnectionOverTheLimitIsAnswered: it is told to come again, and not left to hang.
func TestAConnectionOverTheLimitIsAnswered(t *testing.T) {
	gr := newGround(t, hall("evening"))
	s := gr.serve(func(c *Config) { c.Limits.ConnsMax = 2 })
	var open []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", s.base[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	c, err := net.Dial("tcp", s.base[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("%v %v", resp, err)
	}
	body, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(body), `"retry_after_ms"`) || strconv.Itoa(len(body)) != resp.Header.Get("Content-Length") {
		t.Errorf("%s", body)
	}
	open[0].Close()
	until(t, "the place of the connection that ended is free", func() bool { return s.listener.open.Load() < 2 })
}
