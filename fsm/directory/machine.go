package directory

import (
	"bytes"
	"fmt"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// SpecsBytesMax bounds the packed descriptions of all events together. Every member keeps them in memory, and a
// snapshot of the directory holds them all.
const SpecsBytesMax = 256 << 20

// The largest description fits.
const _ = uint(SpecsBytesMax - holdfast.SpecBytesMax)

// Config says how many shards there are to assign events to.
type Config struct {
	Shards int // besides the directory: 1 and up
}

// Assignment says which shard owns an event. It is never changed.
type Assignment struct {
	Event holdfast.EventID
	Shard holdfast.ShardID
	Spec  *command.EventSpec // as it was first given; read-only
}

// Machine is the directory's state.
type Machine struct {
	shards int

	index  uint64         // of the last entry applied; 0: none
	clock  holdfast.Clock // the sum of all steps
	wallMs int64          // the largest that an entry carried

	assigned []Assignment           // Event is the place in this list, plus 1; elements are never written again
	keys     []holdfast.FrontendKey // by public key; replaced, and never written again

	// Worked out from assigned:
	byName    map[string]holdfast.EventID
	events    []int // how many each shard owns; shard 1 is at 0
	specBytes int   // of all packed descriptions

	marked  bool // the last entry held a Mark
	decoder command.Decoder
	packed  [2][]byte // scratch, for comparing descriptions
}

// New gives an empty directory.
func New(cfg Config) *Machine {
	assert(cfg.Shards >= 1, "a directory of %d shards", cfg.Shards)
	return &Machine{shards: cfg.Shards, byName: map[string]holdfast.EventID{}, events: make([]int, cfg.Shards)}
}

// Apply executes the entry's commands and, when out asks for it, adds one result for each. It panics with an
// *AssertionError on a damaged entry or on a command that does not belong here: leaders check before they propose.
func (m *Machine) Apply(index uint64, entry []byte, out *command.Output) {
	assert(index > m.index, "entry %d after %d", index, m.index)
	e, err := command.OpenEntry(entry)
	assert(err == nil, "entry %d: %v", index, err)

	m.index, m.marked = index, false
	m.clock += holdfast.Clock(min(e.StepMicros, command.StepMax))
	m.wallMs = max(m.wallMs, e.WallMs)

	rest := e.Commands
	for slot := range e.Count {
		var cmd []byte
		cmd, rest, err = command.Split(rest)
		assert(err == nil, "entry %d slot %d: %v", index, slot, err)
		result := m.execute(cmd)
		if out.Answer {
			out.Add(&result)
		}
	}
	assert(len(rest) == 0, "entry %d: %d bytes after its last command", index, len(rest))
}

func (m *Machine) execute(cmd []byte) command.Result {
	switch kind := command.KindOf(cmd); kind {
	case command.KindAssignEvent:
		c, err := m.decoder.AssignEvent(cmd)
		assert(err == nil, "%v", err)
		return m.assign(c.Spec)
	case command.KindPutKey:
		c, err := m.decoder.PutKey(cmd)
		assert(err == nil, "%v", err)
		return m.putKey(c.Key)
	case command.KindMark:
		_, err := m.decoder.Mark(cmd)
		assert(err == nil, "%v", err)
		m.marked = true
		return command.Result{Outcome: holdfast.OK}
	default:
		assert(false, "a %s in the directory", kind)
		return command.Result{}
	}
}

// assign gives the event a number and a shard, unless its name has them already.
func (m *Machine) assign(spec command.EventSpec) command.Result {
	packed := spec.Append(m.packed[0][:0])
	m.packed[0] = packed
	if a, ok := m.Assignment(spec.Name); ok {
		r := command.Result{Outcome: holdfast.OK, Event: a.Event, Shard: a.Shard}
		m.packed[1] = a.Spec.Append(m.packed[1][:0])
		if !bytes.Equal(packed, m.packed[1]) {
			r.Outcome = holdfast.EventConflict
		}
		return r
	}
	if len(m.assigned) == m.shards*holdfast.EventsPerShardMax || m.specBytes+len(packed) > SpecsBytesMax {
		return command.Result{Outcome: holdfast.EventsFull}
	}
	a := Assignment{Event: holdfast.EventID(len(m.assigned) + 1), Shard: m.emptiest(), Spec: &spec}
	m.add(a, len(packed))
	return command.Result{Outcome: holdfast.OK, Event: a.Event, Shard: a.Shard}
}

// emptiest is the shard with the fewest events; of equals, the lowest.
func (m *Machine) emptiest() holdfast.ShardID {
	best := 0
	for i, n := range m.events {
		if n < m.events[best] {
			best = i
		}
	}
	return holdfast.ShardID(best + 1)
}

// add is the one place where an assignment enters the state.
func (m *Machine) add(a Assignment, specBytes int) {
	m.assigned = append(m.assigned, a)
	m.byName[a.Spec.Name] = a.Event
	m.events[a.Shard-1]++
	m.specBytes += specBytes
}

// Index is the last entry applied.
func (m *Machine) Index() uint64 { return m.index }

// Clock is the sum of all steps.
func (m *Machine) Clock() holdfast.Clock { return m.clock }

// WallMs is the wall clock, in Unix milliseconds.
func (m *Machine) WallMs() int64 { return m.wallMs }

// Timed reports whether anything waits for the clock: nothing does.
func (m *Machine) Timed() bool { return false }

// Marked reports whether the last entry held a Mark.
func (m *Machine) Marked() bool { return m.marked }

// Assignments gives all assignments in the order of their numbers. The slice is not written again.
func (m *Machine) Assignments() []Assignment { return m.assigned[:len(m.assigned):len(m.assigned)] }

// Assignment finds an event by its name.
func (m *Machine) Assignment(name string) (Assignment, bool) { return m.ByID(m.byName[name]) }

// ByID finds an event by its number.
func (m *Machine) ByID(id holdfast.EventID) (Assignment, bool) {
	if id == 0 || int(id) > len(m.assigned) {
		return Assignment{}, false
	}
	return m.assigned[id-1], true
}

// AssertionError is what Apply panics with when what it meets is impossible: a damaged entry, or a command that a
// leader must not have let through. No entry may be applied after it.
type AssertionError struct {
	Message string
}

func (e *AssertionError) Error() string { return "assertion failed: directory: " + e.Message }

func assert(ok bool, format string, args ...any) {
	if !ok {
		panic(&AssertionError{Message: fmt.Sprintf(format, args...)})
	}
}
