package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// The view shows a demonstration while it runs: a screen that is drawn again several times a second on a terminal,
// plain lines elsewhere. It goes to stderr; stdout is for the answer.

const (
	frameEvery = 250 * time.Millisecond // of the screen
	lineEvery  = time.Second            // of plain progress
	newsMax    = 6                      // happenings that stay on the screen
	barCells   = 28
)

// view is where the demonstration tells what happens.
type view struct {
	out      io.Writer
	terminal bool
	restore  func() // gives the terminal back
	began    time.Time
	wg       sync.WaitGroup     // of what watch started
	stop     context.CancelFunc // ends it

	mu     sync.Mutex
	news   []string
	drawn  bool // there is a frame on the screen
	closed bool
}

// newView begins to show. On a terminal it takes the keyboard: q and Ctrl-C call quit. release gives it back.
func (a *app) newView(quit func()) *view {
	v := &view{out: a.err, restore: func() {}, began: time.Now(), stop: func() {}}
	screen, ok := a.err.(*os.File)
	if !ok || !term.IsTerminal(int(screen.Fd())) || !term.IsTerminal(int(os.Stdin.Fd())) {
		return v
	}
	before, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return v // a terminal that cannot be asked for keys is shown plain lines
	}
	out, errs := a.out, a.err
	a.out, a.err = carriageReturns{out}, carriageReturns{errs}
	v.terminal, v.out = true, a.err
	v.restore = func() {
		a.out, a.err = out, errs
		_ = term.Restore(int(os.Stdin.Fd()), before) // what else could be done about a terminal
	}
	// A read from a terminal cannot be called off, so this one ends with the process.
	go func() {
		key := make([]byte, 1)
		for {
			if _, err := os.Stdin.Read(key); err != nil {
				return
			}
			if key[0] == 'q' || key[0] == ctrlC {
				quit()
				return
			}
		}
	}()
	return v
}

// ctrlC is what a raw terminal sends in place of a signal.
const ctrlC = 3

// carriageReturns writes lines to a terminal that was made raw.
type carriageReturns struct{ w io.Writer }

func (c carriageReturns) Write(b []byte) (int, error) {
	_, err := io.WriteString(c.w, strings.ReplaceAll(string(b), "\n", "\r\n"))
	return len(b), err
}

// say tells of a happening.
func (v *view) say(format string, args ...any) {
	line := fmt.Sprintf("%6.1fs  %s", time.Since(v.began).Seconds(), fmt.Sprintf(format, args...))
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.news = append(v.news, line); len(v.news) > newsMax {
		v.news = v.news[1:]
	}
	if !v.drawn || v.closed {
		fmt.Fprintln(v.out, line)
	}
}

// watch shows a sale until close.
func (v *view) watch(ctx context.Context, d *demonstration) {
	ctx, v.stop = context.WithCancel(ctx)
	every := lineEvery
	if v.terminal {
		every = frameEvery
	}
	v.wg.Go(func() {
		before := int64(0)
		for pause(ctx, every) {
			acked := d.crowd.live.acked.Load()
			rate := float64(acked-before) / every.Seconds()
			before = acked
			e, err := d.client.Event(ctx, d.event.EventRef, client.AllowStale())
			if err != nil {
				continue // a frame less
			}
			if v.terminal {
				v.draw(ctx, d, e, rate)
			} else {
				live := &d.crowd.live
				v.say("sold %5d  held %5d  free %5d of %d | %5d in line, %5d inside | %s paid | %6.0f answers/s", e.Total.Sold, e.Total.Held+e.Total.Paying, e.Total.Free,
					d.spec.Units(), live.inLine.Load(), live.inside.Load(), live.paid(d.spec.Currency), rate)
			}
		}
	})
}

// draw paints one frame.
func (v *view) draw(ctx context.Context, d *demonstration, e client.Event, rate float64) {
	var b strings.Builder
	fmt.Fprintf(&b, "holdfast demo   %s   %.1f s\n\n", d.spec.Title, time.Since(v.began).Seconds())
	live := &d.crowd.live
	fmt.Fprintf(&b, "buyers    %6d arrived  %6d in line  %6d inside\n", live.arrived.Load(), live.inLine.Load(), live.inside.Load())
	fmt.Fprintf(&b, "answers   %6d  %6.0f/s\n", live.acked.Load(), rate)
	if l := e.Line; l != nil {
		fmt.Fprintf(&b, "line      %6d places   %6d called   %6d yet to come   %s, bound by %s\n", l.Issued, l.Served, l.Called, l.State, l.Bound)
	}
	fmt.Fprintf(&b, "money     %6d orders   %s told of, %s on the orders\n", live.orders.Load(), live.paid(d.spec.Currency), worth(e))
	fmt.Fprintf(&b, "places    %6d sold  %6d held  %6d free  %4d blocked  of %d\n\n", e.Total.Sold, e.Total.Held+e.Total.Paying, e.Total.Free, e.Total.Blocked, d.spec.Units())
	for i, n := range e.Tiers {
		fmt.Fprintf(&b, "%-12.12s %12s  %s %6d sold  %6d free\n", e.Spec.Tiers[i].Name,
			formatMinor(e.Spec.Tiers[i].PriceMinor, e.Spec.Currency), bar(n), n.Sold, n.Free)
	}
	b.WriteString("\n")
	for _, m := range members(ctx, d) {
		fmt.Fprintln(&b, m)
	}
	b.WriteString("\n")
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || ctx.Err() != nil {
		return
	}
	for _, line := range v.news {
		fmt.Fprintln(&b, line)
	}
	b.WriteString("\nq to quit\n")
	const clear, home, clearLine, clearBelow = "\x1b[2J", "\x1b[H", "\x1b[K\n", "\x1b[J"
	frame := home + strings.ReplaceAll(b.String(), "\n", clearLine) + clearBelow
	if !v.drawn {
		frame = clear + frame
	}
	v.drawn = true
	fmt.Fprint(v.out, frame)
}

// worth is what the units come to that are sold, at the prices of their tiers.
func worth(e client.Event) string {
	total := int64(0)
	for i, n := range e.Tiers {
		total += int64(n.Sold) * e.Spec.Tiers[i].PriceMinor
	}
	return formatMoney(holdfast.Money{AmountMinor: total, Currency: e.Spec.Currency})
}

// bar draws units by state: sold, held, free.
func bar(n client.Counts) string {
	c := countsOf(n)
	if c.Capacity == 0 {
		return strings.Repeat(" ", barCells)
	}
	sold := c.Sold * barCells / c.Capacity
	held := (c.Sold+c.Held+c.Paying)*barCells/c.Capacity - sold
	return strings.Repeat("█", sold) + strings.Repeat("▒", held) + strings.Repeat("·", barCells-sold-held)
}

// members says how each process is.
func members(ctx context.Context, d *demonstration) (lines []string) {
	ctx, cancel := context.WithTimeout(ctx, frameEvery)
	defer cancel()
	status := statusOutOf(survey(ctx, d.client, d.cluster.endpoints()))
	for _, m := range d.cluster.members {
		role := "down"
		for _, s := range status.Shards {
			for _, r := range s.Replicas {
				if s.Shard == d.event.Shard && r.Member == m.name {
					role = fmt.Sprintf("%-9s  applied %8d", r.Role, r.Applied)
				}
			}
		}
		lines = append(lines, fmt.Sprintf("%-4s %s  %s", m.name, m.client, role))
	}
	return lines
}

// close stops drawing. What is said afterwards stands below.
func (v *view) close() {
	v.stop()
	v.wg.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

// release closes and gives the keyboard back.
func (v *view) release() {
	v.close()
	v.restore()
}
