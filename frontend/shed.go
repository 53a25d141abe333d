package frontend

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
)

// class says what a request is worth when not all can be answered. The order is the order in which they are shed.
type class uint8

const (
	viewer  class = iota // looks: pages, maps, streams
	waiter               // is in the line or joins it
	holder               // has seats in hand, or a session: claims, pays
	keeping              // health, metrics, the provider's hints: never shed here
	classes
)

var classNames = [classes]string{"viewer", "waiter", "holder", "keeping"}

func (c class) String() string { return classNames[c] }

// shares are how much of InFlightMax each class may fill, in percent: with 60 % of the house busy viewers are sent
// away, with 85 % those who wait, and whoever has seats in hand is served as long as anything is left.
var shares = [classes]int{viewer: 60, waiter: 85, holder: 100, keeping: 110}

// shedWait is how long those who are sent away are asked to stay away. Waiters keep their place meanwhile.
var shedWait = [classes]time.Duration{viewer: 10 * time.Second, waiter: 5 * time.Second, holder: time.Second, keeping: time.Second}

// gate counts the requests in flight and sheds what does not fit.
type gate struct {
	max      int64
	inFlight atomic.Int64
	shed     [classes]atomic.Uint64
}

// enter lets a request in, or refuses it. Whoever was let in must leave.
func (g *gate) enter(c class) bool {
	if g.inFlight.Add(1)*100 <= g.max*int64(shares[c]) {
		return true
	}
	g.inFlight.Add(-1)
	g.shed[c].Add(1)
	return false
}

func (g *gate) leave() { g.inFlight.Add(-1) }

// busy is how full the house is, 0 to 1 and a little over.
func (g *gate) busy() float64 { return float64(g.inFlight.Load()) / float64(g.max) }

func (c class) refusal() *holdfast.Error {
	message := "too many people look at this at once; nothing was changed"
	switch c {
	case waiter:
		message = "too many requests at once; your place stands, this only has to be asked again"
	case holder:
		message = "too many requests at once; nothing was changed, and your seats stay yours until their time is over"
	}
	return &holdfast.Error{Kind: holdfast.Overloaded, Message: message, RetryAfter: shedWait[c]}
}

// boundedListener takes at most max connections. One more is told so, and when to come again, and is closed: a
// connection that nobody accepts would hang until the browser gives up.
type boundedListener struct {
	net.Listener
	max     int64
	plain   bool // the refusal can be said in plain HTTP
	open    atomic.Int64
	refused atomic.Uint64
	talkers sync.WaitGroup
	tellers atomic.Int64
}

// tellersMax bounds the goroutines that say a refusal; over it the connection is closed at once.
const tellersMax = 64

// refusalPatience is how long a refused connection may take to read its refusal.
const refusalPatience = 2 * time.Second

var connsRefusal = func() []byte {
	body := `{"error":{"code":"overloaded","message":"too many connections; nothing was changed","retry_after_ms":10000}}` + "\n"
	return []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 10\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}()

// Accept gives the next connection that fits.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.max {
			return &boundedConn{Conn: conn, listener: l}, nil
		}
		l.open.Add(-1)
		l.refused.Add(1)
		if !l.plain || l.tellers.Add(1) > tellersMax {
			if l.plain {
				l.tellers.Add(-1)
			}
			_ = conn.Close()
			continue
		}
		l.talkers.Go(func() {
			defer l.tellers.Add(-1)
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(refusalPatience))
			// The request is read first: closing with unread bytes would reset the connection under the answer.
			buf := make([]byte, 4<<10)
			if _, err := conn.Read(buf); err == nil {
				_, _ = conn.Write(connsRefusal)
			}
		})
	}
}

// Close ends accepting, and waits for refusals that are being said.
func (l *boundedListener) Close() error {
	err := l.Listener.Close()
	l.talkers.Wait()
	return err
}

type boundedConn struct {
	net.Conn
	listener *boundedListener
	once     sync.Once
}

func (c *boundedConn) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}

// guard wraps a handler with what stands before every one of them: the gate for its class and the address's bucket.
func (s *Server) guard(c class, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.gate.enter(c) {
			s.fail(w, r, c.refusal())
			return
		}
		defer s.gate.leave()
		if c != keeping {
			if wait, ok := s.perAddress.take(household(s.address(r))); !ok {
				s.limited.Add(1)
				s.fail(w, r, &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: wait,
					Message: "too many requests from your address; nothing was changed"})
				return
			}
		}
		next(w, r)
	}
}
