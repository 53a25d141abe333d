package exact

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node/holdclock"
	"github.com/holdfast-db/holdfast/node/outbox"
)

// shard is the log of the one shard, its members, and the true machine. The log is what a majority has agreed on: there is one.
// Which entries get into it when a leader is lost is chance, as it is when packets are.
type shard struct {
	w       *world
	dice    *rand.Rand
	members [3]*member
	machine *fsm.Machine
	twin    *fsm.Machine // applies the same and is never restored
	index   uint64
	output  command.Output

	leader  int // -1: nobody
	reign   uint64
	term    uint64
	serving bool // the reign's barrier is applied
	cut     bool // the leader reaches nobody, and does not know it yet
	queue   []*attempt
	flight  []*entry
	limbo   []*entry // packed in reigns that are over; the library may still take them
	settled time.Duration
	slow    window
	buffer  []byte
}

// member is one process of the cluster.
type member struct {
	name      string
	down      bool
	monotonic time.Duration // of its clock when the world began
	wallAhead time.Duration
	steps     holdclock.Steps
	leases    outbox.Leases
	budgets   outbox.Budgets
	leader    string // as far as it has heard
	term      uint64
	clock     holdfast.Clock // the machine's, when it last heard of it
}

// entry is packed by a leader.
type entry struct {
	attempts []*attempt
	packed   []byte
	count    int
	step     uint32
	wallMs   int64
	term     uint64
	leader   int
	reign    uint64
	at       time.Duration // true time, of the packing
	barrier  bool
	taken    bool // it is in the log
	orphan   bool // its callers were told that its leader is lost
}

// The node's law, in short: see package node.
const (
	depth       = 2
	tick        = 250 * time.Millisecond
	batchMax    = 64
	electedSoon = 300 * time.Millisecond
	limboMax    = 4
	limboTerms  = 4
)

func newShard(w *world) *shard {
	cfg := fsm.Config{Shard: theShard, OutcomesMax: 1 << 12}
	s := &shard{w: w, dice: dice(w.plan.Seed, 1), machine: fsm.New(cfg), twin: fsm.New(cfg), leader: -1}
	for i := range s.members {
		s.members[i] = &member{name: fmt.Sprintf("n%d", i+1), monotonic: time.Duration(1+s.dice.IntN(1_000_000)) * time.Second}
	}
	return s
}

func (m *member) now(w *world) time.Duration {
	if w.plant == WallClock {
		return m.monotonic + w.now + m.wallAhead
	}
	return m.monotonic + w.now
}

// lead lets a member win an election after a while.
func (s *shard) elect(after time.Duration) {
	reign := s.reign
	s.w.after(after, func() {
		if s.reign != reign || s.leader >= 0 {
			return
		}
		up := 0
		for _, m := range s.members {
			if !m.down {
				up++
			}
		}
		if up < 2 {
			s.elect(electedSoon)
			return
		}
		chance := dice(s.w.plan.Seed, 8+s.reign<<8)
		who := chance.IntN(3)
		for s.members[who].down {
			who = (who + 1) % 3
		}
		m := s.members[who]
		s.leader, s.serving, s.cut = who, false, false
		s.reign++
		s.term++
		m.leases.Clear()
		m.budgets.Clear()
		m.leader, m.term = m.name, s.term
		term := s.term
		for _, other := range s.members {
			s.w.after(s.w.travel(chance), func() {
				if !other.down && other.term <= term {
					other.leader, other.term = m.name, term
				}
			})
		}
		s.w.say("leads", m.name, s.term, 0)
		s.takeLimbo(who, chance)
		s.propose(&entry{barrier: true, term: s.term, at: s.w.now, wallMs: s.wallMs(who)})
	})
}

// takeLimbo lets the library take, in this term, what the same leader packed in an earlier one.
func (s *shard) takeLimbo(who int, chance *rand.Rand) {
	later := s.limbo[:0]
	for _, e := range s.limbo {
		switch {
		case e.leader != who && s.term-e.term < limboTerms:
			later = append(later, e)
		case e.leader == who && chance.IntN(2) == 0:
			if s.w.plant != NoFence {
				e.step = holdclock.Admitted(e.step, e.term, s.term)
			}
			s.w.say("taken late", s.members[who].name, e.term, uint64(e.count))
			s.propose(e)
		}
	}
	s.limbo = later
}

func (s *shard) wallMs(who int) int64 {
	return s.w.wall().Add(s.members[who].wallAhead).UnixMilli()
}

// propose hands an entry to the log. It is committed a little later, behind those before it.
func (s *shard) propose(e *entry) {
	e.leader, e.reign = s.leader, s.reign
	s.flight = append(s.flight, e)
	d := time.Millisecond + time.Duration(s.dice.IntN(4000))*time.Microsecond
	if s.slow.open(s.w.now) {
		d += time.Duration(s.dice.IntN(s.slow.size+1)) * time.Millisecond
	}
	s.settled = max(s.settled, s.w.now+d)
	s.w.after(s.settled-s.w.now, func() {
		if !e.taken && e.reign == s.reign && !s.cut {
			s.commit(e)
		}
	})
	if s.w.plant == EarlyAnswer && !e.barrier {
		s.foretell(e)
	}
}

// pack makes an entry of what waits, if one is due.
func (s *shard) pack() {
	if s.leader < 0 || !s.serving || len(s.flight) >= depth {
		return
	}
	m := s.members[s.leader]
	now := m.now(s.w)
	idle := len(s.flight) == 0 && s.machine.Timed() && m.steps.Since(now) >= tick
	if len(s.queue) == 0 && !idle {
		return
	}
	e := &entry{term: s.term, at: s.w.now, wallMs: s.wallMs(s.leader), step: m.steps.Next(now)}
	n := min(len(s.queue), batchMax)
	for _, a := range s.queue[:n] {
		e.attempts = append(e.attempts, a)
		e.packed = append(e.packed, a.packed...)
		e.count++
	}
	s.queue = append(s.queue[:0], s.queue[n:]...)
	s.propose(e)
}

// ticking packs an empty entry now and then while something waits for the hold clock.
func (s *shard) ticking(reign uint64) {
	if s.reign != reign || s.leader < 0 {
		return
	}
	s.pack()
	wait := tick
	if m := s.members[s.leader]; s.serving {
		wait = max(tick-m.steps.Since(m.now(s.w)), 10*time.Millisecond)
	}
	s.w.after(wait, func() { s.ticking(reign) })
}

// commit applies an entry and answers those who wait for it.
func (s *shard) commit(e *entry) {
	e.taken = true
	for i, f := range s.flight {
		if f == e {
			s.flight = append(s.flight[:i], s.flight[i+1:]...)
			break
		}
	}
	s.apply(e)
	ours := !e.orphan && s.leader >= 0 && e.leader == s.leader && e.reign == s.reign
	for _, m := range s.members {
		if !m.down && !s.cut {
			m.clock = s.machine.Clock()
		}
	}
	if e.barrier && ours {
		s.serving = true
		if m := s.members[s.leader]; s.w.plant != NoBeginning {
			m.steps.Begin(m.now(s.w))
		}
		s.w.books.reigns(s.w.now)
		s.ticking(s.reign)
	}
	rest := s.output.Results
	for i, a := range e.attempts {
		from := uint32(0)
		if i > 0 {
			from = s.output.Ends[i-1]
		}
		if ours && a.waits() && s.w.plant != EarlyAnswer {
			a.answer(append([]byte(nil), rest[from:s.output.Ends[i]]...), s.machine.Clock())
		}
		s.double(a)
	}
	s.pack()
}

// double has a command that was decided come again, up to 40 s later: by then it may not be valid any more.
func (s *shard) double(a *attempt) {
	w := s.w
	if !w.net.doubled.strikes(w.now, s.dice) {
		return
	}
	again := &attempt{packed: a.packed, id: a.id}
	w.after(time.Duration(s.dice.IntN(40_000))*time.Millisecond, func() {
		if s.leader >= 0 {
			s.arrive(again, s.members[s.leader].name)
		}
	})
}

// apply gives the machine one entry.
func (s *shard) apply(e *entry) {
	w := s.w
	s.buffer = append(command.BeginEntry(s.buffer), e.packed...)
	s.buffer = command.FinishEntry(s.buffer, e.step, e.wallMs, e.count)
	s.index++
	s.output.Answer = true
	s.machine.Apply(s.index, s.buffer, &s.output)
	w.counts.Entries++
	w.counts.Commands += e.count
	w.say("entry", s.members[max(e.leader, 0)].name, s.index, uint64(e.step))
	w.mixBytes(s.output.Results)
	silent := command.Output{}
	s.twin.Apply(s.index, s.buffer, &silent)
	w.books.applied(e, s)
}

// restore brings the machine back from a snapshot of itself, as a member that starts anew.
func (s *shard) restore() {
	cut := s.machine.Cut()
	defer cut.Release()
	var b bytes.Buffer
	if _, err := cut.WriteTo(&b); err != nil {
		s.w.fail(CheckSnapshot, "it cannot be written: %v", err)
		return
	}
	damaged := bytes.Clone(b.Bytes())
	restored, err := fsm.Restore(fsm.Config{Shard: theShard, OutcomesMax: 1 << 12}, &b)
	if err != nil {
		s.w.fail(CheckSnapshot, "it cannot be read: %v", err)
		return
	}
	if s.w.plant == StaleSnapshot && s.w.books.snapshot != nil {
		restored, _ = fsm.Restore(fsm.Config{Shard: theShard}, bytes.NewReader(s.w.books.snapshot))
	}
	damaged[s.index*7919%uint64(len(damaged))] ^= 1
	if _, err := fsm.Restore(fsm.Config{Shard: theShard}, bytes.NewReader(damaged)); err == nil {
		s.w.fail(CheckSnapshot, "one with a bit turned is taken for good")
	}
	again := restored.Cut()
	defer again.Release()
	digest := again.Digest()
	if digest != cut.Digest() {
		s.w.fail(CheckSnapshot, "the state of entry %d is another when it is restored", s.index)
	}
	s.w.mixBytes(digest[:])
	s.machine = restored
}

// lose takes the leader away. What was in flight is committed, lost, or left to chance; its callers do not learn which.
func (s *shard) lose(dies bool, after time.Duration) {
	if s.leader < 0 {
		return
	}
	chance := dice(s.w.plan.Seed, 9+s.reign<<8)
	was, flight := s.members[s.leader], s.flight
	s.w.say("leader lost", was.name, s.term, uint64(len(flight)))
	s.leader, s.serving, s.cut, s.flight = -1, false, false, nil
	s.reign++
	queue := s.queue
	s.queue = nil
	if dies {
		was.down = true
		s.w.after(seconds(chance, 1, 4), func() {
			was.down, was.steps, was.monotonic = false, holdclock.Steps{}, time.Duration(1+chance.IntN(1000))*time.Second
		})
	}
	// A prefix of what was in flight had reached a majority. What lies behind it, the library may take later or never.
	kept := chance.IntN(len(flight) + 1)
	for i, e := range flight {
		e.orphan = true
		switch {
		case i < kept:
			s.commit(e)
		case len(s.limbo) < limboMax && !dies && !e.barrier:
			s.limbo = append(s.limbo, e)
		}
		for _, a := range e.attempts {
			a.lost(dies, true)
		}
	}
	for _, a := range queue {
		a.lost(dies, false)
	}
	was.leader = ""
	s.elect(after)
}

// foretell is a planted fault: the leader answers before a majority has the entry.
func (s *shard) foretell(e *entry) {
	cut := s.machine.Cut()
	defer cut.Release()
	var b bytes.Buffer
	_, _ = cut.WriteTo(&b)
	m, err := fsm.Restore(fsm.Config{Shard: theShard}, &b)
	if err != nil {
		return
	}
	out := command.Output{Answer: true}
	m.Apply(s.index+1, command.FinishEntry(append(command.BeginEntry(nil), e.packed...), e.step, e.wallMs, e.count), &out)
	from := uint32(0)
	for i, a := range e.attempts {
		if a.waits() {
			a.answer(append([]byte(nil), out.Results[from:out.Ends[i]]...), m.Clock())
		}
		from = out.Ends[i]
	}
}
