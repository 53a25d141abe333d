package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestTheFormatStaysReadable restores a snapshot of this format that was kept, of a sale with a line and with payments
// of which something is in every part, and pins the bytes. When they change, members that upgrade one after the other
// disagree, and old snapshots are lost: that is what format numbers are for.
//
// Beside it stands what was in it, in words, so that nothing is read as something else that is written back the same.
// When queries answer with more than they did, write the words again with -rewrite-payments, and read the diff.
func TestTheFormatStaysReadable(t *testing.T) {
	file, words := filepath.Join("testdata", "format-2.snapshot"), filepath.Join("testdata", "format-2.words")
	kept, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		kept = snapshot(t, aCrowdMuddle(t, 5, 260).m)
		if err := os.WriteFile(file, kept, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s was not there; it is now", file)
	} else if err != nil {
		t.Fatal(err)
	}
	m := restored(t, kept)
	for _, v := range m.Check() {
		t.Error(v)
	}
	if !bytes.Equal(snapshot(t, m), kept) {
		t.Error("what was kept is written otherwise now")
	}
	if *rewriteMoney {
		if err := os.WriteFile(words, []byte(inWords(m)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(words)
	if err != nil {
		t.Fatal(err)
	}
	if got := inWords(m); got != string(want) {
		t.Errorf("what was kept is read as\n%s", got)
	}
	s := &m.state
	for part, n := range map[string]int{"events": len(s.events), "holds": s.holds.live(), "orders": s.orders.live(), "buyers": s.buyers.live(), "who waits": s.returns.live(),
		"ended holds": s.ended.ring.len(), "outcomes": s.memory.count, "payments": s.payments.live(), "effects": s.effects.live(), "promotions": s.promos.live(),
		"persons": s.persons.live(), "chunks": s.chunks.live(), "calls": len(s.events[0].line.pace.calls)} {
		if n == 0 {
			t.Errorf("nothing is kept of %s", part)
		}
	}
}

// inWords says what a machine answers about all that it has.
func inWords(m *Machine) string {
	var b strings.Builder
	c := m.Cut()
	defer c.Release()
	life, suspended := m.Incarnation()
	event, _ := m.Event(theEvent)
	line, _ := m.Line(theEvent)
	event.Spec = nil // its text is pinned by the round trip
	fmt.Fprintf(&b, "index %d, clock %d, wall clock %d, life %d, %t\n%+v\n%+v\n%+v\n", m.Index(), m.Clock(), m.WallMs(), life, suspended, event, line, m.Ledger(theEvent))
	states, _, _ := c.Seats(theEvent)
	fmt.Fprintf(&b, "%v\n", states)
	for _, h := range m.state.holds.all() {
		v, _ := m.Hold(h.ID)
		blob, _ := m.Person(h.ID)
		fmt.Fprintf(&b, "%+v, %d bytes known\n", v, len(blob))
	}
	for o := range c.Orders(theEvent) {
		fmt.Fprintf(&b, "%+v\n", o)
	}
	for p := range c.Payments(theEvent) {
		fmt.Fprintf(&b, "%+v\n", p)
	}
	for _, x := range m.Effects(1, 1000) {
		fmt.Fprintf(&b, "%+v\n", x)
	}
	for _, k := range m.state.buyers.all() {
		v, _ := m.Visitor(theEvent, k.ID)
		fmt.Fprintf(&b, "%+v\n", v)
	}
	for _, p := range m.state.promos.all() {
		fmt.Fprintf(&b, "%s %d\n", p.Code, m.promoUses(p.Event, p.Code))
	}
	return b.String()
}

// aCrowdMuddle is a sale with a line and payments after so many entries.
func aCrowdMuddle(t testing.TB, seed uint64, entries int) *shard {
	s, r := newCrowdMuddle(t, seed)
	for range entries {
		cmds := []command.Command{r.command(s), r.command(s)}
		r.after(s, cmds, s.entry([]uint32{0, 3, 500, 500}[r.IntN(4)], cmds...))
	}
	for s.m.state.persons.live() == 0 || s.m.state.returns.live() == 0 || s.m.state.effects.live() == 0 || len(s.m.event(theEvent).line.pace.calls) == 0 {
		cmds := []command.Command{r.command(s)}
		r.after(s, cmds, s.entry(3, cmds...))
	}
	return s
}
