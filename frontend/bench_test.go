package frontend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPoll measures polls of waiting visitors over HTTP with keep-alive, the crowd's side included: polls/s/core
// counts all processor time of the process, so that it does not matter how many cores there are or who uses them. The
// crowd is as cheap as a crowd can be: bytes that were made before, answers that are counted and not read.
func BenchmarkPoll(b *testing.B) {
	g := newGround(b, lined("evening"))
	s := g.serve(func(c *Config) {
		c.Limits = Limits{AddressPerSecond: 1e9, AddressBurst: 1e9, AddressJoinsPerMinute: 1e9, InFlightMax: 1 << 20}
		c.Now = time.Now
	})
	const crowd = 64
	requests := make([][]byte, crowd)
	for i := range requests {
		p := newBrowser(b).join(s)
		requests[i] = fmt.Appendf(nil, "GET /api/v1/events/evening/line/place HTTP/1.1\r\nHost: x\r\nAuthorization: Place %s\r\n\r\n", p.Token)
	}
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	before := processorTime()
	b.ResetTimer()
	done := make(chan error, crowd)
	for i := range crowd {
		go func() { done <- pollFor(s.base, requests[i], &left) }()
	}
	for range crowd {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	used := processorTime() - before
	b.ReportMetric(float64(b.N)/used.Seconds(), "polls/s/core")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "polls/s")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "cores")
}

// pollFor sends one request after the other on one connection while any are left.
func pollFor(base string, request []byte, left *atomic.Int64) error {
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReaderSize(c, 4<<10)
	for left.Add(-1) >= 0 {
		if _, err := c.Write(request); err != nil {
			return err
		}
		length := -1
		for first := true; ; first = false {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if first && string(line) != "HTTP/1.1 200 OK\r\n" {
				return fmt.Errorf("%s", line)
			}
			if len(line) == 2 {
				break
			}
			if text, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
				length, err = strconv.Atoi(strings.TrimSpace(text))
				if err != nil {
					return err
				}
			}
		}
		if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
			return err
		}
	}
	return nil
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPollHandler measures what a poll costs beside HTTP.
func BenchmarkPollHandler(b *testing.B) {
	g := newGround(b, lined("evening"))
	s := g.serve(func(c *Config) {
		c.Limits = Limits{AddressPerSecond: 1e9, AddressBurst: 1e9, AddressJoinsPerMinute: 1e9}
		c.Now = time.Now
	})
	p := newBrowser(b).join(s)
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	r, _ := http.NewRequest("GET", "/api/v1/events/evening/line/place", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Authorization", "Place "+p.Token)
	b.ReportAllocs()
	for b.Loop() {
		w := nothing{}
		s.http.Handler.ServeHTTP(w, r)
	}
}

// nothing is an answer that nobody reads.
type nothing struct{}

func (nothing) Header() http.Header         { return http.Header{} }
func (nothing) Write(b []byte) (int, error) { return len(b), nil }
func (nothing) WriteHeader(int)             {}
