package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Config is what a machine is made with. It must be the same on every replica of the shard.
type Config struct {
	Shard       holdfast.ShardID // whose machine this is; told in answers
	OutcomesMax int              // outcomes that are remembered at a time; 0: OutcomesMaxDefault
}

// OutcomesMaxDefault remembers the outcomes of 100,000 commands a second for the longest validity, and a third more.
const OutcomesMaxDefault = 8_000_000

// Machine is one shard's state machine. See the package's documentation for what it promises. It is not safe for
// concurrent use: its owner locks. A Cut of it is.
type Machine struct {
	shard holdfast.ShardID

	// state is what the log made: all that a snapshot keeps. Whatever is below can be worked out from it.
	state state

	places    map[holdfast.EventID]uint16 // of each event in state.events
	byHold    index                       // slot in holds, by the hold's id
	byBuyer   index                       // slot in buyers, by event and the buyer's id
	ordersOf  orderCounts                 // of each buyer
	byPayment index                       // slot in orders, by the payment's reference; paid sales only
	sessions  wheel                       // slots of the buyers with a session and without a hold, by when it ends at the earliest
	wakeMs    int64                       // when something happens by the wall clock; 0: nothing does
	due       wheel                       // slots of the holds and orders that wait for a deadline
	byRef     index                       // slot in payments, by the provider's reference
	byAttempt index                       // slot in payments, by hold and attempt; no strays
	byEffect  index                       // slot in effects, by number
	byPromo   index                       // slot in promos, by event and code
	byPerson  index                       // slot in persons, by the hold's id
	ready     ranking                     // slots of the effects that may be tried now, the most urgent first
	waiting   wheel                       // slots of the effects that may be tried later
	parked    int                         // effects that are not tried

	seed uint64 // of the hashes; see seedOf

	last last // what the last Apply made known

	// Scratch, for the length of some commands or of expire.
	ahead    ahead
	decoder  command.Decoder
	choice   choice
	own      []holdfast.SeatIndex // the units of the hold that swaps
	lapsed   []uint32             // slots of the holds, or buyers, that are due
	touched  []*event             // whose line changed
	returned []*event             // of which units came free that somebody waits for
	tried    []triedWant          // by offer
	ripe     []uint32             // slots of the effects that are
}

// last is what one Apply makes known besides the results.
type last struct {
	changes []Change
	marked  bool
	answer  bool           // the results are wanted
	result  command.Result // of the command at hand; filled in only when wanted
}

// Change says that a unit, or an event's sale, came into a new state.
type Change struct {
	Event    holdfast.EventID
	Revision holdfast.Revision // of the event; each change raises it by one
	Seat     holdfast.SeatIndex
	State    holdfast.SeatState // of the unit
	Sale     holdfast.SaleState // of the event
}

// NoSeat stands in a Change that concerns the event itself: its sale's state or its description.
const NoSeat holdfast.SeatIndex = 0xFFFF_FFFF

// New makes an empty machine, which expects the first entry of its shard's log.
func New(cfg Config) *Machine {
	outcomesMax := cfg.OutcomesMax
	if outcomesMax == 0 {
		outcomesMax = OutcomesMaxDefault
	}
	return &Machine{
		shard:  cfg.Shard,
		state:  state{memory: newMemory(outcomesMax), ended: newEnded()},
		places: map[holdfast.EventID]uint16{},
	}
}

// derive works out from a state that was restored whatever no snapshot holds. memory and ended work out their own.
func (m *Machine) derive(seed uint64) {
	m.seed = seed
	m.places = make(map[holdfast.EventID]uint16, len(m.state.events))
	for place, e := range m.state.events {
		e.place, e.holds, e.orders = uint16(place), 0, 0
		e.setRules()
		e.units.rebuild(e.units.geometry)
		m.places[e.id] = e.place
	}
	m.byBuyer = newIndex(m.state.buyers.live(), nil)
	for slot, b := range m.state.buyers.all() {
		m.byBuyer.add(m.hashBuyer(b.Event, b.ID), slot)
	}
	m.ordersOf = nil
	m.deriveLines()
	m.byPayment = newIndex(m.state.orders.live(), nil)
	for slot, o := range m.state.orders.all() {
		if o.As == command.SalePaid {
			m.byPayment.add(hash64(m.seed, o.ref()), slot)
		}
	}
	m.byHold = newIndex(m.state.holds.live(), nil)
	m.due = wheel{passed: m.state.clock}
	for slot, h := range m.state.holds.all() {
		m.byHold.add(hash16(m.seed, h.ID), slot)
		if h.State == holdfast.HoldSold {
			m.state.events[h.Event].orders++
			m.ordersOf.count(h.Buyer)
		} else {
			m.state.events[h.Event].holds++
		}
		if h.Deadline != 0 {
			m.due.add(slot, h.Deadline)
		}
	}
	m.derivePayments()
}

// Apply applies the log's entry at index: the hold clock moves on, what is due expires, then each command is
// decided in its slot. It fills out with the results if out.Answer is set. It panics with an *AssertionError when
// the entry is damaged or not meant for this machine; the machine is then of no use any more.
func (m *Machine) Apply(index uint64, entry []byte, out *command.Output) {
	e, err := command.OpenEntry(entry)
	if err != nil {
		fail("entry %d: %v", index, err)
	}
	if index <= m.state.index {
		fail("entry %d after entry %d", index, m.state.index)
	}

	if m.state.index == 0 {
		m.seed = seedOf(entry)
		m.state.memory.seed, m.state.ended.seed = m.seed, m.seed
	}
	m.last = last{changes: m.last.changes[:0], answer: out.Answer, result: m.last.result}
	out.Reset()
	m.state.index = index
	m.state.clock += holdfast.Clock(min(e.StepMicros, command.StepMax))
	m.state.wallMs = max(m.state.wallMs, e.WallMs)
	m.expire()
	m.expireSessions()
	m.wake()
	m.offerReturns()
	m.ripen()
	m.state.memory.forget(m.state.clock)

	m.decideAll(e, out)
	m.sweepBuyers(e.Count)
	m.announceLines()
	m.sweepPayments(e.Count)
	m.sweepEffects(e.Count)
}

// decideAll decides an entry's commands in their order, some at a time: see warm.go.
func (m *Machine) decideAll(e command.Entry, out *command.Output) {
	var cmds [warmCommands][]byte
	rest := e.Commands
	for slot := 0; slot < e.Count; {
		n := min(len(cmds), e.Count-slot)
		for i := range n {
			var err error
			if cmds[i], rest, err = command.Split(rest); err != nil {
				fail("entry %d, slot %d: %v", m.state.index, slot+i, err)
			}
		}
		m.warm(cmds[:n])
		for _, cmd := range cmds[:n] {
			m.decide(cmd)
			if out.Answer {
				out.Add(&m.last.result)
			}
			if len(m.returned) > 0 {
				m.offerReturns()
			}
		}
		slot += n
	}
	assert(len(rest) == 0, "an entry has more commands than it counts")
}

// micros converts a rule's milliseconds to the hold clock's unit.
func micros(ms uint32) holdfast.Clock { return holdfast.Clock(ms) * 1000 }

// decide gives one command its outcome: the one that it had before, or one of its own.
func (m *Machine) decide(cmd []byte) {
	r := &m.last.result
	*r = command.Result{Seats: r.Seats[:0], Taken: r.Taken[:0], Near: r.Near[:0]}

	id, fingerprint := command.IDOf(cmd), command.Fingerprint(cmd)
	before, found, same := m.state.memory.look(id, fingerprint)
	switch validUntil := id.ValidUntil(); {
	case validUntil < m.state.clock:
		r.Outcome = holdfast.CommandExpired
	case validUntil > m.state.clock.Add(holdfast.ValidityMax):
		r.Outcome = holdfast.CommandTooFar
	case found && !same && !planted.Is(planted.ReusedID):
		r.Outcome = holdfast.CommandReused
	case found:
		r.Repeated = true
		r.Outcome = m.execute(cmd, before)
	case m.state.memory.full():
		r.Outcome = holdfast.CommandUnremembered
	default:
		r.Outcome = m.execute(cmd, undecided)
		if planted.Is(planted.ForgottenOutcome) && r.Outcome != holdfast.OK {
			return
		}
		m.state.memory.add(id, fingerprint, r.Outcome)
	}
}

// undecided is no outcome yet.
const undecided holdfast.Outcome = 0

// execute gives a fresh command its outcome; of one that was decided before, whose outcome it was, it only tells
// the facts again, as they are now.
func (m *Machine) execute(cmd []byte, before holdfast.Outcome) holdfast.Outcome {
	switch k := command.KindOf(cmd); k {
	case command.KindHold:
		return run(m, cmd, before, (*command.Decoder).Hold, (*Machine).hold, (*Machine).tellHold)
	case command.KindSwap:
		return run(m, cmd, before, (*command.Decoder).Swap, (*Machine).swap, (*Machine).tellSwap)
	case command.KindExtend:
		return run(m, cmd, before, (*command.Decoder).Extend, (*Machine).extend, (*Machine).tellExtend)
	case command.KindRelease:
		return run(m, cmd, before, (*command.Decoder).Release, (*Machine).release, (*Machine).tellRelease)
	case command.KindBeginPayment:
		return run(m, cmd, before, (*command.Decoder).BeginPayment, (*Machine).beginPayment, (*Machine).tellBeginPayment)
	case command.KindSell:
		return run(m, cmd, before, (*command.Decoder).Sell, (*Machine).sell, (*Machine).tellSell)
	case command.KindPutEvent:
		return run(m, cmd, before, (*command.Decoder).PutEvent, (*Machine).putEvent, (*Machine).tellPutEvent)
	case command.KindSetSale:
		return run(m, cmd, before, (*command.Decoder).SetSale, (*Machine).setSale, (*Machine).tellSetSale)
	case command.KindBlock:
		return run(m, cmd, before, (*command.Decoder).Block, (*Machine).block, (*Machine).tellBlock)
	case command.KindMark:
		m.last.marked = true
		return holdfast.OK
	default:
		return m.executeLine(cmd, before)
	}
}

// executeLine is execute for the commands of the line.
func (m *Machine) executeLine(cmd []byte, before holdfast.Outcome) holdfast.Outcome {
	switch k := command.KindOf(cmd); k {
	case command.KindOpenLine:
		return run(m, cmd, before, (*command.Decoder).OpenLine, (*Machine).openLine, (*Machine).tellOpenLine)
	case command.KindEnter:
		return run(m, cmd, before, (*command.Decoder).Enter, (*Machine).enter, (*Machine).tellEnter)
	case command.KindDraw:
		return run(m, cmd, before, (*command.Decoder).Draw, (*Machine).drawLine, (*Machine).tellDraw)
	case command.KindRedeem:
		return run(m, cmd, before, (*command.Decoder).Redeem, (*Machine).redeem, (*Machine).tellRedeem)
	case command.KindAdmit:
		return run(m, cmd, before, (*command.Decoder).Admit, (*Machine).admit, (*Machine).tellAdmit)
	case command.KindSetLine:
		return run(m, cmd, before, (*command.Decoder).SetLine, (*Machine).setLine, (*Machine).tellSetLine)
	case command.KindLeaveLine:
		return run(m, cmd, before, (*command.Decoder).LeaveLine, (*Machine).leaveLine, (*Machine).tellLeaveLine)
	case command.KindJoinReturns:
		return run(m, cmd, before, (*command.Decoder).JoinReturns, (*Machine).joinReturns, (*Machine).tellJoinReturns)
	case command.KindLeaveReturns:
		return run(m, cmd, before, (*command.Decoder).LeaveReturns, (*Machine).leaveReturns, (*Machine).tellLeaveReturns)
	default:
		return m.executePayment(cmd, before)
	}
}

// executePayment is execute for the commands about payments, orders and effects.
func (m *Machine) executePayment(cmd []byte, before holdfast.Outcome) holdfast.Outcome {
	switch k := command.KindOf(cmd); k {
	case command.KindAttachPayment:
		return run(m, cmd, before, (*command.Decoder).AttachPayment, (*Machine).attachPayment, (*Machine).tellAttachPayment)
	case command.KindFailPayment:
		return run(m, cmd, before, (*command.Decoder).FailPayment, (*Machine).failPayment, (*Machine).tellFailPayment)
	case command.KindAckEffect:
		return run(m, cmd, before, (*command.Decoder).AckEffect, (*Machine).ackEffect, (*Machine).tellAckEffect)
	case command.KindRefund:
		return run(m, cmd, before, (*command.Decoder).Refund, (*Machine).refund, (*Machine).tellRefund)
	case command.KindStrayMoney:
		return run(m, cmd, before, (*command.Decoder).StrayMoney, (*Machine).strayMoney, (*Machine).tellStrayMoney)
	case command.KindDispute:
		return run(m, cmd, before, (*command.Decoder).Dispute, (*Machine).dispute, (*Machine).tellDispute)
	case command.KindRetryEffect:
		return run(m, cmd, before, (*command.Decoder).RetryEffect, (*Machine).retryEffect, (*Machine).tellRetryEffect)
	case command.KindSetIncarnation:
		return run(m, cmd, before, (*command.Decoder).SetIncarnation, (*Machine).setIncarnation, (*Machine).tellSetIncarnation)
	case command.KindPutPerson:
		return run(m, cmd, before, (*command.Decoder).PutPerson, (*Machine).putPerson, (*Machine).tellPutPerson)
	case command.KindForgetPerson:
		return run(m, cmd, before, (*command.Decoder).ForgetPerson, (*Machine).forgetPerson, (*Machine).tellForgetPerson)
	default:
		fail("a %s is not for this machine", k)
		return undecided
	}
}

// run is the life of every command: decoded, decided unless it was before, and told about if anybody asked. Only
// telling may depend on that.
func run[C any](m *Machine, cmd []byte, o holdfast.Outcome, decode func(*command.Decoder, []byte) (*C, error),
	decide func(*Machine, *C) holdfast.Outcome, tell func(*Machine, *C, holdfast.Outcome)) holdfast.Outcome {
	c, err := decode(&m.decoder, cmd)
	if err != nil {
		fail("a command that leaders should have refused: %v", err)
	}
	if o == undecided {
		o = decide(m, c)
	}
	if m.last.answer {
		tell(m, c, o)
	}
	return o
}
