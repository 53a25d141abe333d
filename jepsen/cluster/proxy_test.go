//go:build linux

package cluster

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a place behind a proxy that sends back what it gets.
func echo(t *testing.T) (p *proxy, there, back *way) {
	l, err := listenLocal()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); io.Copy(conn, conn) }()
		}
	}()
	front, err := listenLocal()
	if err != nil {
		t.Fatal(err)
	}
	there, back = newWay(), newWay()
	p = newProxy(front, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}, there, back)
	t.Cleanup(func() { p.Close(); l.Close() })
	return p, there, back
}

func dial(t *testing.T, p *proxy) net.Conn {
	conn, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// told sends a byte and says after how long it was back, or that it was not within the time.
func told(t *testing.T, conn net.Conn, within time.Duration) (time.Duration, bool) {
	began := time.Now()
	if _, err := conn.Write([]byte{1}); err != nil {
		return 0, false
	}
	conn.SetReadDeadline(began.Add(within))
	_, err := conn.Read(make([]byte, 1))
	return time.Since(began), err == nil
}

func TestALinkIsCutAndMended(t *testing.T) {
	p, there, back := echo(t)
	conn := dial(t, p)
	if _, ok := told(t, conn, 5*time.Second); !ok {
		t.Fatal("a good link carries nothing")
	}
	for _, w := range []*way{there, back} {
		w.set(Link{Cut: true})
		if _, ok := told(t, conn, 50*time.Millisecond); ok {
			t.Error("a link that is cut carries something")
		}
		w.set(Link{})
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err != nil { // what was held back comes now
			t.Errorf("after it was mended nothing comes: %v", err)
		}
	}
}

func TestALinkIsSlow(t *testing.T) {
	p, there, back := echo(t)
	conn := dial(t, p)
	there.set(Link{Delay: 60 * time.Millisecond})
	if took, ok := told(t, conn, 5*time.Second); !ok || took < 60*time.Millisecond {
		t.Errorf("with 60 ms of delay it took %v", took)
	}
	there.set(Link{})
	back.set(Link{LossPercent: 100})
	if took, ok := told(t, conn, 5*time.Second); !ok || took < resentAfter {
		t.Errorf("lost once it took %v", took)
	}
	back.set(Link{BytesPerSec: 10})
	if took, ok := told(t, conn, 5*time.Second); !ok || took < 100*time.Millisecond {
		t.Errorf("a byte at 10 a second took %v", took)
	}
}

func TestConnectionsAreReset(t *testing.T) {
	p, _, _ := echo(t)
	conn := dial(t, p)
	if _, ok := told(t, conn, 5*time.Second); !ok {
		t.Fatal("a good link carries nothing")
	}
	p.reset()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives")
	}
	if _, ok := told(t, dial(t, p), 5*time.Second); !ok {
		t.Error("a new one does not")
	}
}
