package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Deciding a command reads half a dozen tables, at places that only its ids tell. With a million holds nearly every
// one of these reads waits for main memory, about 100 ns, and the next cannot begin before it is there, since where
// it goes depends on it. But commands do not depend on each other. So before some commands are decided, the first
// reads of all of them are made in loops that do nothing else, and the processor has many under way at once; then
// the reads that follow from these; and when the commands are decided, they find it all at hand. That takes a quarter
// off holds and sales where tables are large, and costs nearly nothing where they are small (BenchmarkApply).
//
// Nothing is decided here and nothing is changed: what was read is forgotten, and a wrong guess costs a read.

// warmCommands is how many commands are decided at a time: what they read, some 20 lines of 64 bytes each, stays in
// a processor's first two caches until it is wanted.
const warmCommands = 32

// ahead is what commands to come will read.
type ahead struct {
	cells []cellAhead
	holds []uint64 // hashes of the ids of holds that should be there
	slots []uint32 // of these holds
	units []unitAhead
	sum   uint64 // of what was read: it must go somewhere, or the compiler would not read
}

type cellAhead struct {
	index *index
	hash  uint64
}

type unitAhead struct {
	event *event
	unit  uint32
}

// warm reads what the commands will read first.
func (m *Machine) warm(cmds [][]byte) {
	a := &m.ahead
	a.cells, a.holds, a.slots, a.units = a.cells[:0], a.holds[:0], a.slots[:0], a.units[:0]
	for _, cmd := range cmds {
		m.lookAhead(cmd)
	}

	for _, c := range a.cells {
		a.sum += c.index.touch(c.hash)
	}
	for _, hash := range a.holds {
		if slot := m.byHold.find(hash, func(uint32) bool { return true }); slot != 0 {
			a.slots = append(a.slots, slot)
		}
	}
	for _, slot := range a.slots {
		a.sum += uint64(m.state.holds.at(slot).First)
	}
	for _, slot := range a.slots {
		h := m.state.holds.at(slot)
		if h.First == NoSeat { // an order whose units went back
			continue
		}
		a.sum += uint64(m.state.events[h.Event].units.each.at(uint32(h.First)).word)
		a.sum += uint64(m.state.buyers.at(h.Buyer).Units)
		if h.State == holdfast.HoldPaying {
			a.sum += uint64(m.ordersOf.of(h.Buyer))
		}
	}
	for _, u := range a.units {
		a.sum += uint64(u.event.units.each.at(u.unit).word)
	}
}

// lookAhead notes what one command will read.
func (m *Machine) lookAhead(cmd []byte) {
	a, id, hold := &m.ahead, command.IDOf(cmd), command.HoldOf(cmd)
	if places := m.state.memory.placesOf(id); places != nil {
		a.cells = append(a.cells, cellAhead{places, hash16(m.seed, id)})
	}
	hash := hash16(m.seed, hold)
	a.cells = append(a.cells, cellAhead{&m.byHold, hash})
	if command.KindOf(cmd) != command.KindHold {
		a.holds = append(a.holds, hash)
		return
	}
	if e := m.event(command.EventOf(cmd)); e != nil {
		buyer, unit, named := command.HolderOf(cmd)
		a.cells = append(a.cells, cellAhead{&m.byBuyer, m.hashBuyer(e.place, buyer)})
		if named && int(unit) < e.units.len() {
			a.units = append(a.units, unitAhead{e, uint32(unit)})
		}
	}
}
