package fsm_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Random commands, drawn so that buyers get in each other's way, go through several machines and the plain model.
// After each entry every answer, and all that can be asked of a machine, must be what the model says.
//
// The machines differ in what must not matter: one answers and the other does not, one was saved and restored on
// the way, one gets every command in an entry of its own.

// A run is so many entries: long enough for a hold to be paid for, or to lapse and cool down.
const (
	entriesOfARun      = "100"
	entriesOfAShortRun = "25" // with -short, for the race detector
)

func TestMain(m *testing.M) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "rapid.steps" })
	switch {
	case said:
	case testing.Short():
		flag.Set("rapid.steps", entriesOfAShortRun)
	default:
		flag.Set("rapid.steps", entriesOfARun)
	}
	os.Exit(m.Run())
}

func TestMachineAgainstTheModel(t *testing.T) {
	reached := reached{}
	defer reached.report(t)
	rapid.Check(t, func(t *rapid.T) { againstTheModel(t, fsm.Config{Shard: 3}, reached) })
}

// TestMachineAgainstTheModelWithLittleMemory: what is refused for want of memory happened nowhere.
func TestMachineAgainstTheModelWithLittleMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { againstTheModel(t, fsm.Config{Shard: 3, OutcomesMax: 40}, reached{}) })
}

func againstTheModel(t *rapid.T, cfg fsm.Config, reached reached) {
	d := newDriver(t, cfg, reached)
	t.Repeat(map[string]func(*rapid.T){"entry": d.entry, "crowd": d.crowd, "idle": d.idle, "restore": d.restore, "cut": d.cut})
}

// reached counts how often each outcome came about, to see with -v whether the commands are drawn well.
type reached map[holdfast.Outcome]int

func (r reached) report(t *testing.T) {
	for _, o := range holdfast.Outcomes() {
		t.Logf("%6d %s", r[o], o.String())
	}
}

// driver feeds the machines and the model.
type driver struct {
	cfg   fsm.Config
	model *model

	answering *fsm.Machine // gives results; is restored now and then
	silent    *fsm.Machine // a replica that answers nobody and is never restored
	singly    *fsm.Machine // gets each command in an entry of its own
	singles   uint64       // its index

	out    command.Output
	serial uint64            // makes ids differ
	past   []command.Command // commands of all entries, to repeat
	seen   map[holdfast.EventID]*mirror

	cuts []frozen // of the silent machine, which goes on

	reached reached
}

// frozen is a cut, and what it was when it was made.
type frozen struct {
	cut    *fsm.Cut
	digest [32]byte
}

// mirror is what a watcher makes of an event's changes.
type mirror struct {
	revision holdfast.Revision
	states   []holdfast.SeatState
	sale     holdfast.SaleState
}

func newDriver(t *rapid.T, cfg fsm.Config, reached reached) *driver {
	d := &driver{cfg: cfg, model: newModel(cfg), answering: fsm.New(cfg), silent: fsm.New(cfg), singly: fsm.New(cfg),
		seen: map[holdfast.EventID]*mirror{}, reached: reached}
	for _, id := range []holdfast.EventID{7, 9}[:between(t, "events", 1, 2)] {
		d.apply(t, 0, 1, func() command.Command { return &command.PutEvent{Header: d.header(id), Spec: drawSpec(t)} })
		d.apply(t, 0, 1, func() command.Command { return &command.SetSale{Header: d.header(id), State: holdfast.SaleOpen} })
		d.fast(t, id)
	}
	return d
}

// entry applies an entry of a few commands of any kind.
func (d *driver) entry(t *rapid.T) {
	step := one[uint32](t, "step", 0, 1, 999, 1000, 50_000, 250_000, 500_000, 500_001, 4_000_000_000)
	d.apply(t, step, between(t, "commands", 0, 7), func() command.Command { return d.command(t) })
	d.verify(t)
}

// crowd applies an entry in which many want the same.
func (d *driver) crowd(t *rapid.T) {
	id := one(t, "event", d.model.eventIDs()...)
	wants, allocation := d.wants(t, d.model.events[id]), d.allocation(t, d.model.events[id])
	buyer := 0
	d.apply(t, 250_000, between(t, "crowd", 2, 2*buyers), func() command.Command {
		buyer++
		who := buyerNo(buyer % buyers)
		if e := d.model.events[id]; e.spec.Line.Enabled {
			if buyer%3 > 0 {
				return d.lineCommand(t, id, word(t, "of a crowd", "redeem redeem redeem returns admit"))
			}
			who = d.visitorOf(t, e)
		}
		return &command.Hold{Header: d.header(id), Buyer: who, Allocation: allocation, Wants: wants}
	})
	d.verify(t)
}

// idle lets time pass: some entries without commands, as a leader writes them when there is nothing else.
func (d *driver) idle(t *rapid.T) {
	for range one(t, "entries", 1, 2, 4, 31, 70, 125) {
		d.apply(t, 500_000, 0, nil)
	}
	d.verify(t)
}

// apply draws the commands of an entry, each when the model knows what those before it did, and applies it to all.
func (d *driver) apply(t *rapid.T, step uint32, count int, draw func() command.Command) {
	wall := int64(1_900_000_000_000) + int64(between(t, "wall", 0, 2000))
	d.model.begin(d.model.index+uint64(between(t, "index", 1, 2)), step, wall)
	var cmds []command.Command
	var want []command.Result
	for range count {
		c := draw()
		r := d.model.decide(c)
		r.Seats, r.Taken, r.Near = slices.Clone(r.Seats), slices.Clone(r.Taken), slices.Clone(r.Near)
		d.checkNear(t, c, r)
		cmds, want = append(cmds, c), append(want, r)
	}
	d.model.finish()
	d.past = append(d.past, cmds...)
	entry := d.pack(step, wall, cmds...)

	d.compare(t, cmds, d.applyTo(t, d.answering, d.model.index, entry), want)
	d.follow(t, d.answering.Changes())
	d.silent.Apply(d.model.index, entry, &command.Output{})
	if !slices.Equal(d.answering.Changes(), d.silent.Changes()) {
		t.Fatalf("the changes of replicas differ:\n%v\n%v", d.answering.Changes(), d.silent.Changes())
	}
	var got []command.Result
	for i := range max(len(cmds), 1) {
		d.singles++
		got = append(got, d.applyTo(t, d.singly, d.singles, d.pack(step, wall, cmds[min(i, len(cmds)):min(i+1, len(cmds))]...))...)
		step = 0
	}
	d.compare(t, cmds, got, want)
}

// checkNear looks that whoever asks for what is near gets it.
func (d *driver) checkNear(t *rapid.T, c command.Command, r command.Result) {
	hold, ok := c.(*command.Hold)
	if !ok || len(r.Near) == 0 || slices.ContainsFunc(hold.Wants, func(w command.Want) bool { return w.Kind != command.WantSeats }) {
		return
	}
	e := d.model.events[hold.Event]
	pick := e.pick(e.ask(hold.Allocation, []command.Want{{Kind: command.WantSeats, Seats: r.Near}}, nil))
	if pick.outcome != holdfast.OK || len(r.Near) != countOf(hold.Wants) {
		t.Fatalf("%s was told that %v is near; asking for that is %s", sayCommand(c), r.Near, pick.outcome.String())
	}
}

// verify looks at every machine from all sides.
func (d *driver) verify(t *rapid.T) {
	if a, b := digest(d.answering), digest(d.silent); a != b {
		t.Fatalf("replicas differ after entry %d: %x and %x", d.model.index, a, b)
	}
	for name, m := range map[string]*fsm.Machine{"answering": d.answering, "singly": d.singly} {
		for _, v := range m.Check() {
			t.Fatalf("%s: %s", name, v)
		}
		d.observe(t, m)
	}
	for _, f := range d.cuts {
		if f.cut.Digest() != f.digest {
			t.Fatalf("the cut of entry %d has changed by entry %d", f.cut.Index(), d.model.index)
		}
	}
}

// cut freezes a machine, which goes on; of three cuts the oldest is let go.
func (d *driver) cut(t *rapid.T) {
	if len(d.cuts) == 3 {
		d.cuts[0].cut.Release()
		d.cuts = d.cuts[1:]
	}
	c := d.silent.Cut()
	d.cuts = append(d.cuts, frozen{c, c.Digest()})
}

func (d *driver) pack(step uint32, wall int64, cmds ...command.Command) []byte {
	b := command.BeginEntry(nil)
	for _, c := range cmds {
		b = c.Append(b)
	}
	return command.FinishEntry(b, step, wall, len(cmds))
}

// applyTo applies an entry and decodes the results.
func (d *driver) applyTo(t *rapid.T, m *fsm.Machine, index uint64, entry []byte) (results []command.Result) {
	d.out.Answer = true
	m.Apply(index, entry, &d.out)
	for rest := d.out.Results; len(rest) > 0; {
		var r command.Result
		var err error
		if rest, err = command.DecodeResult(rest, &r); err != nil {
			t.Fatalf("the machine's answer: %v", err)
		}
		results = append(results, r)
		if end := d.out.Ends[len(results)-1]; int(end) != len(d.out.Results)-len(rest) {
			t.Fatalf("result %d ends at %d, not at %d", len(results)-1, len(d.out.Results)-len(rest), end)
		}
	}
	return results
}

func digest(m *fsm.Machine) [32]byte {
	c := m.Cut()
	defer c.Release()
	return c.Digest()
}

// compare compares results one by one.
func (d *driver) compare(t *rapid.T, cmds []command.Command, got, want []command.Result) {
	if len(got) != len(want) {
		t.Fatalf("%d commands, %d results", len(want), len(got))
	}
	for i := range want {
		if g, w := say(&got[i]), say(&want[i]); g != w {
			t.Fatalf("slot %d: %s\n got %s\nwant %s", i, sayCommand(cmds[i]), g, w)
		}
		d.reached[want[i].Outcome]++
	}
}

func say(r *command.Result) string { return fmt.Sprintf("%s %+v", r.Outcome.String(), *r) }

func sayCommand(c command.Command) string {
	return fmt.Sprintf("%s %+v", command.KindOf(c.Append(nil)[2:]), reflect.ValueOf(c).Elem().Interface())
}

// follow keeps a watcher's picture of every event from the changes alone.
func (d *driver) follow(t *rapid.T, changes []fsm.Change) {
	for _, c := range changes {
		w := d.seen[c.Event]
		if w == nil {
			w = &mirror{}
			d.seen[c.Event] = w
		}
		if w.revision++; c.Revision != w.revision {
			t.Fatalf("a change of %s leads to revision %d, not %d", c.Event, c.Revision, w.revision)
		}
		w.sale = c.Sale
		for len(w.states) < len(d.model.events[c.Event].units) {
			w.states = append(w.states, holdfast.Free)
		}
		if c.Seat == fsm.NoSeat {
			continue
		}
		if w.states[c.Seat] == c.State {
			t.Fatalf("a change of unit %d of %s to %s changes nothing", c.Seat, c.Event, c.State)
		}
		w.states[c.Seat] = c.State
	}
	for id, e := range d.model.events {
		w := d.seen[id]
		if w == nil || w.revision != e.revision || w.sale != e.sale {
			t.Fatalf("the changes of %s add up to %+v; it is %s at revision %d", id, w, e.sale, e.revision)
		}
		for u, at := range e.units {
			if w.states[u] != at.state {
				t.Fatalf("by its changes unit %d of %s is %s, it is %s", u, id, w.states[u], at.state)
			}
		}
	}
}

// observe asks a machine everything and compares with the model.
func (d *driver) observe(t *rapid.T, m *fsm.Machine) {
	must := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
		}
	}
	cut := m.Cut()
	defer cut.Release()
	if m != d.singly {
		must("index", m.Index(), d.model.index)
		must("index of a cut", cut.Index(), d.model.index)
		must("marked", m.Marked(), d.model.marked)
	}
	must("clock", m.Clock(), d.model.clock)
	must("clock of a cut", cut.Clock(), d.model.clock)
	must("wall clock", m.WallMs(), d.model.wallMs)
	must("timed", m.Timed(), d.model.timed())

	stats := fsm.Stats{Events: len(d.model.events), Remembered: len(d.model.remembered), RememberedMax: d.model.outcomesMax}
	var views []fsm.EventView
	for _, id := range d.model.eventIDs() {
		e := d.model.events[id]
		view := d.viewOf(e)
		stats.Holds, stats.Orders = stats.Holds+view.Holds, stats.Orders+view.Orders
		views = append(views, view)
		got, ok := m.Event(id)
		d.checkNumbers(t, e, got)
		d.observeLine(t, m, e)
		got.Grown = nil // checked
		lined := m == d.singly && e.spec.Line.Enabled
		if lined { // a change of the line is told of once an entry, so more entries lead to more revisions
			got.Revision = e.revision
		}
		must("event", got, view)
		states, revision, ok2 := cut.Seats(id)
		want := []byte{}
		for _, u := range e.units {
			want = append(want, byte(u.state))
		}
		if !ok || !ok2 || revision != e.revision && !lined || !bytes.Equal(states, want) {
			t.Fatalf("the seats of %s at revision %d:\n%v\nat %d in the model:\n%v", id, revision, states, e.revision, want)
		}
		var orders []fsm.OrderView
		for _, h := range d.model.orders(e) {
			orders = append(orders, orderOf(h))
		}
		must("orders", slices.Collect(cut.Orders(id)), orders)
	}
	all := m.Events()
	for i := range all {
		all[i].Grown = nil
		if m == d.singly && all[i].Spec.Line.Enabled {
			all[i].Revision = d.model.events[all[i].ID].revision
		}
	}
	must("events", all, append([]fsm.EventView{}, views...))
	must("stats", m.Stats(), stats)
	_, ok := m.Event(1000)
	must("an event that is not there", ok, false)

	for id, h := range d.model.holds {
		got, ok := m.Hold(id)
		must("hold", ok, true)
		must("hold", got, fsm.HoldView{ID: id, Event: h.event.id, Buyer: h.buyer, State: h.state, Seats: h.units, Amount: h.amount(),
			Deadline: h.deadline, Attempt: h.attempt, Extended: h.extended})
		order, ok := m.Order(id.Order())
		must("a sold hold is an order", ok, h.state == holdfast.HoldSold)
		if ok {
			must("order", order, orderOf(h))
		}
	}
	for id, how := range d.model.ended {
		_, there := m.Hold(id)
		got, ok := m.Ended(id)
		if there || !ok || got != how {
			t.Fatalf("%s: there %v, ended %v by %s, in the model %s", id, there, ok, got.String(), how.String())
		}
	}
}

// checkNumbers looks that a reader who has the description, and how it grew, numbers the units as they are.
func (d *driver) checkNumbers(t *rapid.T, e *modelEvent, view fsm.EventView) {
	layout, err := command.NewLayout(view.Spec, view.Grown)
	if err != nil {
		t.Fatal(err)
	}
	for u, at := range e.units {
		p, ok := layout.Place(holdfast.SeatIndex(u))
		back, there := layout.Unit(p)
		if !ok || !there || back != holdfast.SeatIndex(u) || p != (command.Place{Section: holdfast.SectionIndex(at.section), Row: at.row, Seat: uint32(at.position)}) {
			t.Fatalf("unit %d of %s is at %+v; by its layout at %+v, which is unit %d", u, e.id, at, p, back)
		}
	}
	if p, ok := layout.Place(holdfast.SeatIndex(len(e.units))); ok {
		t.Fatalf("%s has %d units, and one more at %+v", e.id, len(e.units), p)
	}
}

func orderOf(h *modelHold) fsm.OrderView {
	return fsm.OrderView{ID: h.id.Order(), Event: h.event.id, Buyer: h.buyer, Seats: h.units, Amount: h.amount(),
		As: h.sale.As, Payment: h.sale.Payment, Attempt: h.attempt, SoldAtMs: h.atMs,
		State: holdfast.OrderPaid, Lines: []command.Line{{Kind: holdfast.LineSeats, AmountMinor: h.amount().AmountMinor}}}
}

func (d *driver) viewOf(e *modelEvent) fsm.EventView {
	v := fsm.EventView{ID: e.id, Sale: e.sale, Version: e.version, Revision: e.revision, Spec: &e.spec,
		Total: e.counts(func(holdfast.SeatIndex) bool { return true })}
	for i := range e.spec.Sections {
		v.Sections = append(v.Sections, e.counts(func(u holdfast.SeatIndex) bool { return e.units[u].section == i }))
	}
	for i := range e.spec.Tiers {
		v.Tiers = append(v.Tiers, e.counts(func(u holdfast.SeatIndex) bool { return int(e.units[u].tier) == i }))
	}
	for i := range 1 + len(e.spec.Allocations) {
		v.Allocations = append(v.Allocations, e.counts(func(u holdfast.SeatIndex) bool { return int(e.units[u].allocation) == i }))
	}
	for _, h := range d.model.holds {
		switch {
		case h.event != e:
		case h.state == holdfast.HoldSold:
			v.Orders++
		default:
			v.Holds++
		}
	}
	return v
}

// restore replaces the answering machine by one made from its snapshot.
func (d *driver) restore(t *rapid.T) {
	cut := d.answering.Cut()
	var b bytes.Buffer
	if n, err := cut.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	before := cut.Digest()
	cut.Release()
	restored, err := fsm.Restore(d.cfg, bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if after := digest(restored); after != before {
		t.Fatalf("saved as %x, restored as %x", before, after)
	}
	for _, v := range restored.Check() {
		t.Errorf("restored: %s", v)
	}
	d.model.marked = false // of the last entry, which the restored machine did not apply
	d.answering = restored
	d.observe(t, restored)
}

const buyers = 5

func buyerNo(n int) holdfast.BuyerID { return holdfast.BuyerID{0: byte(n), 15: byte(n)} }

// header makes the header of a command that is valid for a while. No id comes twice.
func (d *driver) header(event holdfast.EventID) command.Header {
	return d.headerUntil(event, d.model.clock.Add(30_000_000_000))
}

func (d *driver) headerUntil(event holdfast.EventID, until holdfast.Clock) command.Header {
	d.serial++
	var random [10]byte
	binary.BigEndian.PutUint64(random[:], d.serial*0x9E3779B97F4A7C15) // spread, so that ids are in no order
	return command.Header{ID: holdfast.NewCommandID(until, random), Event: event}
}
