package sim_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast/node/sim"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect opens a connection from a to b, and closes it at the end.
func connect(t *testing.T, n *sim.Network) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen("b:1")
	must(t, err)
	a, err = n.Host("a").Dial("b:1", time.Second)
	must(t, err)
	b, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { a.Close(); b.Close(); l.Close() })
	return a, b
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	must(t, err)
	return string(b)
}

func TestBytesArriveInOrderAfterTheirDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(1)
		a, b := connect(t, n)
		n.Set("a", "b", sim.Link{Delay: 50 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.3})
		began := time.Now()
		for _, part := range strings.SplitAfter("one two three four five", " ") {
			_, err := a.Write([]byte(part))
			must(t, err)
		}
		if got := read(t, b, 23); got != "one two three four five" {
			t.Errorf("got %q", got)
		}
		if passed := time.Since(began); passed < 50*time.Millisecond || passed > 3*time.Second {
			t.Errorf("it took %v", passed)
		}
		began = time.Now() // the other direction is perfect
		_, err := b.Write([]byte("back"))
		must(t, err)
		if read(t, a, 4); time.Since(began) != 0 {
			t.Errorf("the way back took %v", time.Since(began))
		}
	})
}

func TestOverACutLinkNothingArrivesUntilItHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(1)
		a, b := connect(t, n)
		n.Set("a", "b", sim.Link{Cut: true}) // one way
		_, err := a.Write([]byte("late"))
		must(t, err) // nobody is told
		_, err = b.Write([]byte("on time"))
		must(t, err)
		if got := read(t, a, 7); got != "on time" {
			t.Errorf("got %q", got)
		}
		b.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over the cut link: %v", err)
		}
		b.SetReadDeadline(time.Time{})
		go func() { time.Sleep(time.Minute); n.Heal("a", "b") }()
		if got := read(t, b, 4); got != "late" {
			t.Errorf("got %q", got)
		}

		n.Cut("a", "b")
		began := time.Now()
		if _, err := n.Host("a").Dial("b:1", 3*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("a dial over the cut link: %v after %v", err, time.Since(began))
		}
	})
}

func TestAConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(1)
		a, b := connect(t, n)
		_, err := a.Write([]byte("last words"))
		must(t, err)
		must(t, a.Close())
		if got, err := io.ReadAll(b); err != nil || string(got) != "last words" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("to a closed connection: %v", err)
		}

		a, err = n.Host("a").Dial("b:1", time.Second)
		must(t, err)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after a reset: %v", err)
			}
		})
		synctest.Wait()
		n.Reset("b", "a")
		waiting.Wait()
		a.Close()

		n.Crash("b")
		if _, err := n.Host("a").Dial("b:1", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a host that crashed: %v", err)
		}
		l, err := n.Host("b").Listen("b:1")
		must(t, err)
		if _, err := n.Host("b").Listen("b:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("an address that is taken: %v", err)
		}
		if _, err := n.Host("a").Listen("b:2"); err == nil {
			t.Error("a host listens at another's address")
		}
		must(t, l.Close())
	})
}

func TestAWriterWaitsForASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connect(t, sim.NewNetwork(1))
		a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := a.Write(make([]byte, 10<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n > 1<<20 {
			t.Errorf("%d bytes were taken: %v", n, err)
		}
		a.SetWriteDeadline(time.Time{})
		go a.Write(make([]byte, 5<<20))
		read(t, b, n+5<<20)
	})
}

// TestANarrowLinkTakesItsTime: what is sent waits for what was sent before, on whatever connection.
func TestANarrowLinkTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(1)
		a, b := connect(t, n)
		n.Set("a", "b", sim.Link{PerKiB: 100 * time.Millisecond})
		began := time.Now()
		for range 2 {
			_, err := a.Write(make([]byte, 4<<10))
			must(t, err)
		}
		read(t, b, 4<<10)
		if passed := time.Since(began); passed != 400*time.Millisecond {
			t.Errorf("the first 4 KiB took %v", passed)
		}
		read(t, b, 4<<10)
		if passed := time.Since(began); passed != 800*time.Millisecond {
			t.Errorf("8 KiB took %v", passed)
		}
	})
}

func TestAWriterLearnsOfTheEndWhenTheReaderDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(1)
		a, b := connect(t, n)
		n.Set("b", "a", sim.Link{Delay: 50 * time.Millisecond})
		must(t, b.Close())
		write := func() error {
			_, err := a.Write([]byte("x"))
			return err
		}
		if err := write(); err != nil {
			t.Errorf("before the end is there: %v", err)
		}
		n.Cut("a", "b")
		time.Sleep(time.Second)
		if err := write(); err != nil {
			t.Errorf("while the link is cut: %v", err)
		}
		n.HealAll()
		if err := write(); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("when the end is there: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the reader: %v", err)
		}
	})
}

func TestWhatWaitsForANarrowLinkIsThereWhenItIsWide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(1)
		a, b := connect(t, n)
		n.Set("a", "b", sim.Link{PerKiB: time.Second})
		for range 2 {
			_, err := a.Write(make([]byte, 16<<10))
			must(t, err)
		}
		_, err := a.Write([]byte("end"))
		must(t, err)
		time.Sleep(5 * time.Second)
		began := time.Now()
		n.Set("a", "b", sim.Link{})
		if got := read(t, b, 32<<10+3); got[32<<10:] != "end" || time.Since(began) > 0 {
			t.Errorf("%q after %v", got[32<<10:], time.Since(began))
		}
	})
}
