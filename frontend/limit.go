package frontend

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are what one frontend takes. Zero values take the default beside them; what happens at each limit is in
// docs/frontend.md.
type Limits struct {
	// ConnsMax bounds open connections; 20,000. Over it a connection is answered with 503 and closed.
	ConnsMax int
	// InFlightMax bounds requests that are being answered at once; 2,048. See shed.go for who is refused first.
	InFlightMax int
	// StreamsMax bounds open streams of changes; 4,096.
	StreamsMax int
	// JoinsPerSecond bounds joins that are taken into the line; 20,000.
	JoinsPerSecond int
	// AddressPerSecond and AddressBurst bound requests of one address (IPv6: one /64); 50 and 200. Each frontend counts
	// alone, so both are divided by Frontends.
	AddressPerSecond float64
	AddressBurst     int
	// AddressJoinsPerMinute bounds new places for one address; 60.
	AddressJoinsPerMinute float64
	// SessionPerSecond and SessionBurst bound claims of one session; 5 and 20.
	SessionPerSecond float64
	SessionBurst     int
	// AddressPaysPerHour bounds attempts to pay from one address, against people who test cards; 30.
	AddressPaysPerHour float64
	// Frontends is how many frontends share the crowd; 1.
	Frontends int
	// BodyBytesMax bounds a request's body; 16 KiB. HeaderBytesMax bounds its headers; 16 KiB.
	BodyBytesMax   int64
	HeaderBytesMax int
}

func (l Limits) withDefaults() Limits {
	whole := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	real := func(v *float64, d float64) {
		if *v <= 0 {
			*v = d
		}
	}
	whole(&l.ConnsMax, 20_000)
	whole(&l.InFlightMax, 2048)
	whole(&l.StreamsMax, 4096)
	whole(&l.JoinsPerSecond, 20_000)
	real(&l.AddressPerSecond, 50)
	whole(&l.AddressBurst, 200)
	real(&l.AddressJoinsPerMinute, 60)
	real(&l.SessionPerSecond, 5)
	whole(&l.SessionBurst, 20)
	real(&l.AddressPaysPerHour, 30)
	whole(&l.Frontends, 1)
	whole(&l.HeaderBytesMax, 16<<10)
	if l.BodyBytesMax <= 0 {
		l.BodyBytesMax = 16 << 10
	}
	return l
}

// address is who sent the request: the peer, or, when the peer is a trusted proxy, the right-most address in
// X-Forwarded-For that is not one. Without configuration nobody is trusted, and the header is not read: else anyone
// could choose an address and with it a fresh bucket.
func (s *Server) address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	addr := peer.Addr().Unmap()
	if err != nil || !s.trusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			return addr // what stands to the left of nonsense was said by nobody we trust
		}
		if addr = hop; !s.trusted(addr) {
			return addr
		}
	}
	return addr
}

// parseHop reads one entry of X-Forwarded-For: an address, with or without a port.
func parseHop(hop string) (netip.Addr, error) {
	if host, _, err := net.SplitHostPort(hop); err == nil {
		hop = host
	}
	addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return addr.Unmap().WithZone(""), err
}

func (s *Server) trusted(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// household is what one bucket counts: an IPv4 address, or the /64 that one IPv6 customer gets at least.
func household(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		p, _ := addr.Prefix(64)
		return p.Addr()
	}
	return addr
}

// buckets are token buckets by key, a bounded number of them. The coldest are forgotten when the map is full: a bucket
// that was not used for as long as it takes to fill is full again, so forgetting it changes nothing, and one that is
// forgotten early gives its owner one burst.
type buckets[K comparable] struct {
	perSecond rate.Limit
	burst     int
	max       int

	mu     sync.Mutex // guards what follows
	warm   map[K]*rate.Limiter
	cold   map[K]*rate.Limiter
	turned time.Time
	now    func() time.Time
}

// bucketsMax bounds the buckets of one kind: two generations of at most half of it each, about 100 bytes a bucket.
const bucketsMax = 1 << 18

func newBuckets[K comparable](perSecond float64, burst int) *buckets[K] {
	return &buckets[K]{perSecond: rate.Limit(perSecond), burst: max(burst, 1), max: bucketsMax / 2, warm: map[K]*rate.Limiter{}, now: time.Now, turned: time.Now()}
}

// take takes one token of k's bucket; when there is none it gives how long until there is.
func (b *buckets[K]) take(k K) (wait time.Duration, ok bool) {
	now := b.now()
	b.mu.Lock()
	l := b.warm[k]
	if l == nil {
		if l = b.cold[k]; l == nil {
			l = rate.NewLimiter(b.perSecond, b.burst)
		}
		if len(b.warm) >= b.max || now.Sub(b.turned) > b.fills() {
			b.cold, b.warm, b.turned = b.warm, make(map[K]*rate.Limiter), now
		}
		b.warm[k] = l
	}
	b.mu.Unlock()
	if l.AllowN(now, 1) {
		return 0, true
	}
	reservation := l.ReserveN(now, 1)
	wait = reservation.DelayFrom(now)
	reservation.CancelAt(now)
	return max(wait, time.Millisecond), false
}

// fills is how long an empty bucket takes to fill.
func (b *buckets[K]) fills() time.Duration {
	return time.Duration(float64(b.burst)/float64(b.perSecond)*float64(time.Second)) + time.Second
}
