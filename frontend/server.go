package frontend

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/frontend/ticket"
)

// Server is one frontend. Its methods are safe for concurrent use.
type Server struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	pages *page.Pages
	api   []byte // the OpenAPI document, as JSON

	cookieKey []byte
	tickets   *ticket.Signer
	keys      keyring
	signIn    signIn
	finder    finder
	letters   chan letter

	http     *http.Server
	listener *boundedListener
	gate     gate
	streams  atomic.Int64
	limited  atomic.Uint64
	metrics  *metrics

	perAddress *buckets[netip.Addr]
	perJoiner  *buckets[netip.Addr]
	perPayer   *buckets[netip.Addr]
	perSession *buckets[holdfast.BuyerID]
	perMail    *buckets[[16]byte]
	joins      *buckets[struct{}]

	rooms   rooms
	beacons beacons

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup // what runs beside requests
	draining atomic.Bool
	served   chan error
}

// The patience of connections: long enough for a phone on a bad network, short enough that nobody holds one for
// nothing.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second // streams extend their own
	idleTimeout       = 75 * time.Second
)

// New makes a frontend. It asks the cluster nothing yet.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, now: cfg.Now, cookieKey: cfg.Secret.key(forCookies, 0), served: make(chan error, 1)}
	var err error
	if s.pages, err = page.New(page.Config{Theme: cfg.Theme}); err != nil {
		return nil, err
	}
	if s.api, err = openAPI(); err != nil {
		return nil, err
	}
	if s.tickets, err = cfg.Secret.TicketSigner(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.signIn.s, s.rooms.s, s.keys.s, s.beacons.s = s, s, s, s
	s.rooms.known = newKnown(s.ctx, cfg.Client, s.now)
	l, share := cfg.Limits, float64(cfg.Limits.Frontends)
	s.perAddress = newBuckets[netip.Addr](l.AddressPerSecond/share, max(l.AddressBurst/l.Frontends, 1))
	s.perJoiner = newBuckets[netip.Addr](l.AddressJoinsPerMinute/60/share, max(int(l.AddressJoinsPerMinute/share), 1))
	s.perPayer = newBuckets[netip.Addr](l.AddressPaysPerHour/3600/share, max(int(l.AddressPaysPerHour/share), 1))
	s.perSession = newBuckets[holdfast.BuyerID](l.SessionPerSecond, l.SessionBurst)
	s.perMail = newBuckets[[16]byte](1.0/60, 3)
	s.joins = newBuckets[struct{}](float64(l.JoinsPerSecond), l.JoinsPerSecond)
	s.finder, s.letters = newFinder(s), make(chan letter, lettersMax)
	s.gate.max = int64(l.InFlightMax)
	s.listener = &boundedListener{Listener: cfg.Listener, max: int64(l.ConnsMax), plain: cfg.TLS == nil}
	s.metrics = newMetrics(s)
	s.http = &http.Server{Handler: s.handler(), TLSConfig: cfg.TLS, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: cfg.readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: l.HeaderBytesMax,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	return s, nil
}

// Open makes this frontend's key known and begins to serve. It returns when requests are answered.
func (s *Server) Open(ctx context.Context) error {
	if err := s.keys.open(ctx); err != nil {
		return err
	}
	s.wg.Go(s.keys.renew)
	s.wg.Go(s.rooms.tend)
	s.wg.Go(s.finder.run)
	if len(s.cfg.Beacons) > 0 {
		s.wg.Go(s.beacons.run)
	}
	for range letterWriters {
		s.wg.Go(s.writeLetters)
	}
	s.wg.Go(func() {
		var err error
		if s.cfg.TLS != nil {
			err = s.http.ServeTLS(s.listener, "", "")
		} else {
			err = s.http.Serve(s.listener)
		}
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.served <- err
	})
	s.log.Info("the frontend serves", "name", s.cfg.Name, "address", s.cfg.Listener.Addr().String(), "key", s.keys.mine().id.String())
	return nil
}

// Failed gives the error with which serving ended by itself, or nil when it ended as asked. It can be read once.
func (s *Server) Failed() <-chan error { return s.served }

// Drain lets no new connection in, tells balancers that this frontend is not ready, ends the streams so that their
// browsers go elsewhere, and waits until the requests under way are answered or ctx ends.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.rooms.wakeAll()
	return s.http.Shutdown(ctx)
}

// Close ends everything and waits for it. Whoever waits for a place is told to ask again.
func (s *Server) Close() error {
	s.draining.Store(true)
	s.cancel()
	err := s.http.Close()
	if e := s.listener.Close(); err == nil && e != nil && !errors.Is(e, net.ErrClosed) {
		err = e
	}
	s.wg.Wait()
	return err
}
