package frontend

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what a frontend tells a scraper. Names begin with holdfast_frontend_.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refusals *prometheus.CounterVec
	handler  http.Handler
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_frontend_requests_total", Help: "Requests by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "holdfast_frontend_request_seconds", Help: "How long requests took, by route.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}}, []string{"route"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_frontend_refusals_total", Help: "Refusals and failures by code."}, []string{"code"})}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "holdfast_frontend_" + name, Help: help}, f)
	}
	counter := func(name, help string, labels prometheus.Labels, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "holdfast_frontend_" + name, Help: help, ConstLabels: labels}, f)
	}
	m.registry.MustRegister(m.requests, m.seconds, m.refusals,
		gauge("in_flight", "Requests that are being answered.", func() float64 { return float64(s.gate.inFlight.Load()) }),
		gauge("connections", "Open connections.", func() float64 { return float64(s.listener.open.Load()) }),
		gauge("streams", "Open streams of changes.", func() float64 { return float64(s.streams.Load()) }),
		gauge("events", "Events that are watched.", func() float64 { return float64(len(s.rooms.all())) }),
		gauge("joins_waiting", "Joins that wait for their block.", func() float64 { return float64(s.rooms.sum(func(d *door) uint64 { return uint64(len(d.queue)) })) }),
		counter("connections_refused_total", "Connections over the limit.", nil, func() float64 { return float64(s.listener.refused.Load()) }),
		counter("limited_total", "Requests over a limit per address or session.", nil, func() float64 { return float64(s.limited.Load()) }),
		counter("beacon_rounds_total", "Rounds of beacons that were brought to a draw.", nil, func() float64 { return float64(s.beacons.brought.Load()) }),
		counter("beacon_failures_total", "Attempts to bring one that failed.", nil, func() float64 { return float64(s.beacons.failed.Load()) }),
		counter("join_blocks_total", "Enter commands that were committed.", nil, func() float64 { return float64(s.rooms.sum(func(d *door) uint64 { return d.blocks })) }),
		counter("joined_total", "Places that were given.", nil, func() float64 { return float64(s.rooms.sum(func(d *door) uint64 { return d.places })) }))
	for c := range classes {
		m.registry.MustRegister(counter("shed_total", "Requests that did not fit, by what they are worth.", prometheus.Labels{"class": c.String()},
			func() float64 { return float64(s.gate.shed[c].Load()) }))
	}
	if settling, ok := s.cfg.Payments.(interface {
		Collectors() []prometheus.Collector
	}); ok {
		m.registry.MustRegister(settling.Collectors()...)
	}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// refused counts a refusal.
func (s *Server) refused(code string) { s.metrics.refusals.WithLabelValues(code).Inc() }

// sum adds up a number over all doors, those that were closed since excepted.
func (r *rooms) sum(of func(*door) uint64) (total uint64) {
	for _, c := range r.all() {
		c.door.mu.Lock()
		total += of(c.door)
		c.door.mu.Unlock()
	}
	return total
}

// tally notes what was answered.
type tallyWriter struct {
	http.ResponseWriter
	status int
}

func (w *tallyWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *tallyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// counted wraps a handler with the count of its answers and how long they took.
func (s *Server) counted(route string, next http.HandlerFunc) http.HandlerFunc {
	took := s.metrics.seconds.WithLabelValues(route)
	ok := s.metrics.requests.WithLabelValues(route, "200")
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		t := &tallyWriter{ResponseWriter: w}
		next(t, r)
		took.Observe(time.Since(began).Seconds())
		if t.status == 0 || t.status == http.StatusOK {
			ok.Inc()
			return
		}
		s.metrics.requests.WithLabelValues(route, strconv.Itoa(t.status)).Inc()
	}
}

// livez says that the process runs.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	s.bytes(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// silenceMax is how long no member may have answered until visitors are better sent to another frontend. It is longer than
// any election: a cluster without a leader is no reason to turn visitors away, since their pages say so and go on.
const silenceMax = 10 * time.Second

// readyz says whether visitors should be sent here: not while it drains, nor when no member of the cluster has answered
// for a while.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	say := func(status int, text string) { s.bytes(w, status, "text/plain; charset=utf-8", []byte(text)) }
	if s.draining.Load() {
		say(http.StatusServiceUnavailable, "draining\n")
		return
	}
	if _, err := s.rooms.known.all(r.Context()); err != nil || s.now().Sub(s.rooms.known.answered()) > silenceMax {
		say(http.StatusServiceUnavailable, "no member of the cluster answers\n")
		return
	}
	say(http.StatusOK, "ready\n")
}
