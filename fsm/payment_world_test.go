package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The world of the plays in payment_explore_test.go: its states, its steps, and how they are judged.

// The states of a payment at the provider.
const (
	unmade      uint8 = 0
	unconfirmed uint8 = 1 // created; the buyer has not confirmed
	authorised  uint8 = 2
	captured    uint8 = 3 // its money was captured
	cancelled   uint8 = 4
)

// intent is one attempt's payment at the provider.
type intent struct {
	status   uint8
	seen     uint8 // bits: the states that it ever had
	refused  bool  // a Sell of it was refused: StrayMoney may follow
	atOnce   bool
	refunded int64
	lost     int64 // by a dispute
}

// job is an effect that a worker has, or had.
type job struct {
	id      holdfast.EffectID
	kind    holdfast.EffectKind
	attempt holdfast.Attempt
	amount  int64
	made    bool  // a refund under this effect's key was made
	result  uint8 // what the worker has to report: 0 nothing, 1 done, 2 failed, 3 failed because the money was taken
}

// scene is one state of the whole.
type scene struct {
	snapshot []byte
	intents  [4]intent // by attempt
	jobs     []job
	owes     map[holdfast.EffectID]bool // of the jobs, those that the machine still owes
	rival    bool                       // the other buyer has held
	refund   bool                       // the organizer has refunded
	dispute  holdfast.DisputeState

	parent int
	by     string // the step that led here
}

// play says what may happen.
type play struct {
	name     string
	attempts []holdfast.CaptureMethod
	rival    bool
	refund   bool
	dispute  bool
	expiry   bool // authorisations may end by themselves
	states   int  // how many states there must be at least: a play that shrinks proves less

	// plant breaks the machine after a step, early what a worker does on seeing an authorisation.
	plant    func(m *Machine)
	early    bool // captures before it sells
	revives  bool // sells an attempt that was condemned
	careless bool // refunds without the provider's key, so that a repetition is another refund
}

type explorer struct {
	testing.TB
	play
	hold   holdfast.HoldID
	scenes []scene
	index  map[string]int
	back   [][]int // by scene: those from which what is done sooner or later leads here
	ends   []int
	faults []string
	seen   map[string]int // what the orders, holds and payments came to be, by name

	m *Machine
	s scene
	n uint64 // makes ids
}

// explore walks through a play, breadth first, until it is done or something is wrong.
func explore(t testing.TB, p play) *explorer {
	x := &explorer{TB: t, play: p, index: map[string]int{}, seen: map[string]int{}}
	x.open()
	for at := 0; at < len(x.scenes) && len(x.faults) == 0; at++ {
		if !x.steps(at) {
			x.ends = append(x.ends, at)
			x.judgeEnd(at)
		}
	}
	if len(x.faults) == 0 {
		x.judgeWays()
	}
	return x
}

// open makes the first state: the seat is held.
func (x *explorer) open() {
	sale := newSale(x.TB, func(spec *command.EventSpec) {
		spec.Rules = command.Rules{HoldTTLMs: 300, PayWindowMs: 300, CoolDownMs: 1}
		spec.Tiers, spec.Allocations = spec.Tiers[:1], nil
		spec.Sections = []command.Section{{Name: "floor", Places: 1}}
		spec.Checkout = command.Checkout{Mode: holdfast.ModeTest, Account: "acct", PayAgainMs: 300, AtOnceMs: 300}
	})
	x.hold = sale.must(holdfast.OK, &command.Hold{Buyer: buyerNo(1), Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}}).Hold
	x.m, x.s = sale.m, scene{parent: -1}
	x.add(-1, "hold", false)
}

const seatPrice = 5000

// steps takes every step that is possible from a state. It reports whether one that is taken sooner
// or later led elsewhere.
func (x *explorer) steps(at int) (onward bool) {
	from, fresh := x.scenes[at], (*Machine)(nil)
	try := func(free bool, name string, step func() bool) {
		if len(x.faults) > 0 {
			return
		}
		if fresh == nil {
			fresh = restored(x.TB, from.snapshot)
		}
		x.m, x.s = fresh, from
		x.s.jobs = slices.Clone(from.jobs)
		index, owed := x.m.Index(), x.m.state.effectLast
		if !step() {
			if x.m.Index() != index {
				fresh = nil
			}
			return
		}
		if x.plant != nil {
			x.plant(x.m)
		}
		to := x.add(at, name, !free)
		onward = onward || to != at && !free
		if to != at || x.m.state.effectLast != owed {
			fresh = nil // what led nowhere has changed nothing
		}
	}
	x.buyers(from, try)
	for a := range holdfast.Attempt(len(x.attempts)) {
		a++
		for status := unconfirmed; status <= cancelled; status++ {
			if from.intents[a].seen>>status&1 != 0 {
				old := from.intents[a].status != status
				try(old, fmt.Sprintf("hint: %d is %d", a, status), func() bool { return x.hint(a, status) })
				try(old, fmt.Sprintf("stray: %d is %d", a, status), func() bool { return x.stray(a, status) })
			}
		}
	}
	for i, j := range from.jobs {
		try(!from.owes[j.id], fmt.Sprintf("do %s of %d", j.kind, j.attempt), func() bool { return x.do(i) })
		try(false, fmt.Sprintf("ack %s of %d", j.kind, j.attempt), func() bool { return x.ack(i) })
	}
	try(false, "clock", x.clock)
	return onward
}

// buyers takes steps that nobody has to take.
func (x *explorer) buyers(from scene, try func(free bool, name string, step func() bool)) {
	for a := range holdfast.Attempt(len(x.attempts)) {
		a++
		try(true, fmt.Sprintf("begin %d", a), func() bool {
			h := x.m.state.holds.at(max(x.m.findHold(x.hold), 1))
			return h.ID == x.hold && h.Attempt+1 == a && x.ask(&command.BeginPayment{Buyer: buyerNo(1), Hold: x.hold, Attempt: a, Amount: eur(seatPrice), Capture: x.attempts[a-1]}) == holdfast.OK
		})
		try(true, fmt.Sprintf("create %d", a), func() bool {
			begun := x.m.findAttempt(x.hold, a) != 0
			x.become(a, unconfirmed)
			return begun && from.intents[a].status == unmade
		})
		try(true, fmt.Sprintf("confirm %d", a), func() bool {
			x.become(a, authorised)
			if x.attempts[a-1] == holdfast.CaptureAtOnce {
				x.s.intents[a] = from.intents[a]
				x.become(a, captured)
			}
			return from.intents[a].status == unconfirmed
		})
		try(true, fmt.Sprintf("expire %d", a), func() bool {
			x.become(a, cancelled)
			return x.expiry && from.intents[a].status == authorised
		})
	}
	try(true, "rival", func() bool {
		x.s.rival = true
		return x.rival && !from.rival && x.ask(&command.Hold{Buyer: buyerNo(2), Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}}) == holdfast.OK
	})
	try(true, "refund", func() bool {
		x.s.refund = true
		return x.refund && !from.refund && x.ask(&command.Refund{Order: x.hold.Order(), Reason: holdfast.RefundBuyer, ReturnSeats: true}) == holdfast.OK
	})
	for state := holdfast.DisputeOpened; state <= holdfast.DisputeLost; state++ {
		try(state == holdfast.DisputeOpened, "dispute "+state.String(), func() bool {
			if !x.dispute || from.dispute != state-1 && !(from.dispute == holdfast.DisputeOpened && state == holdfast.DisputeLost) || from.intents[1].status != captured {
				return false
			}
			x.s.dispute = state
			left := seatPrice - from.intents[1].refunded
			if state == holdfast.DisputeLost {
				x.s.intents[1].lost = left
			}
			return x.ask(&command.Dispute{State: state, Payment: ref(1), Amount: eur(left)}) == holdfast.OK
		})
	}
}

func ref(a holdfast.Attempt) string { return fmt.Sprintf("pi_%d", a) }

// become brings a payment at the provider into a state.
func (x *explorer) become(a holdfast.Attempt, status uint8) {
	i := &x.s.intents[a]
	i.status, i.seen, i.atOnce = status, i.seen|1<<status, x.attempts[a-1] == holdfast.CaptureAtOnce
}

// hint is a worker who saw a payment in some state, and says so.
func (x *explorer) hint(a holdfast.Attempt, status uint8) bool {
	switch status {
	case cancelled:
		x.ask(&command.FailPayment{Hold: x.hold, Attempt: a, Payment: ref(a)})
	case authorised, captured:
		if x.early && status == authorised && x.s.intents[a].status == authorised {
			x.become(a, captured)
		}
		if slot := x.m.findAttempt(x.hold, a); x.revives && slot != 0 && x.m.state.payments.at(slot).State == holdfast.PaymentCondemned && x.m.findHold(x.hold) != 0 {
			x.m.dropEffect(x.m.state.payments.at(slot).Effect)
			x.m.becomes(slot, holdfast.PaymentBegun)
			x.m.state.holds.edit(x.m.findHold(x.hold)).Attempt = a
		}
		o := x.ask(&command.Sell{Hold: x.hold, As: command.SalePaid, Attempt: a, Amount: eur(seatPrice), Payment: ref(a), Mode: holdfast.ModeTest, Account: "acct"})
		x.s.intents[a].refused = x.s.intents[a].refused || o != holdfast.OK
	default:
		return false
	}
	return true
}

// stray is a worker whose Sell was refused.
func (x *explorer) stray(a holdfast.Attempt, status uint8) bool {
	if !x.s.intents[a].refused || status != authorised && status != captured {
		return false
	}
	x.ask(&command.StrayMoney{Hold: x.hold, Attempt: a, Payment: ref(a), Amount: eur(seatPrice), Captured: status == captured, Mode: holdfast.ModeTest, Account: "acct"})
	return true
}

// do is a worker who does an effect, whether it is still owed or not.
func (x *explorer) do(i int) bool {
	j := &x.s.jobs[i]
	in := &x.s.intents[j.attempt]
	switch j.kind {
	case holdfast.EffectLook:
		if j.result = 1; in.status == unconfirmed {
			j.result = 2 // nobody has tried to pay
		}
	case holdfast.EffectCapture:
		j.result = 1
		if in.status == authorised {
			x.become(j.attempt, captured)
		} else if in.status != captured {
			j.result = 2
		}
	case holdfast.EffectVoid:
		j.result = 1
		if in.status == unconfirmed || in.status == authorised {
			x.become(j.attempt, cancelled)
		} else if in.status == captured {
			j.result = 3
		}
	case holdfast.EffectRefund:
		if !j.made && in.refunded+in.lost+j.amount > seatPrice && !x.careless {
			j.result = 2
			break
		}
		if !j.made || x.careless {
			in.refunded += j.amount
		}
		j.made, j.result = true, 1
	}
	return true
}

// ack is a worker who reports.
func (x *explorer) ack(i int) bool {
	j := &x.s.jobs[i]
	if j.result == 0 {
		return false
	}
	c := &command.AckEffect{Effect: j.id, Result: holdfast.EffectDone, Payment: ref(j.attempt), Amount: eur(0)}
	switch {
	case j.result >= 2:
		c.Result = holdfast.EffectFailed
		if j.result == 3 {
			c.Amount = eur(seatPrice)
		}
	case j.kind == holdfast.EffectCapture || j.kind == holdfast.EffectRefund:
		c.Amount = eur(j.amount)
	}
	if j.kind == holdfast.EffectLook || x.s.intents[j.attempt].status == unmade {
		c.Payment = ""
	}
	j.result = 0
	x.ask(c)
	return true
}

// clock lets time pass until the next hold or order is due.
func (x *explorer) clock() bool {
	next := holdfast.Clock(0)
	for _, h := range x.m.state.holds.all() {
		if h.Deadline != 0 && (next == 0 || h.Deadline < next) {
			next = h.Deadline
		}
	}
	for next != 0 && x.m.Clock() < next {
		x.entry(uint32(min(next-x.m.Clock(), 500_000)))
	}
	return next != 0
}

// ask applies one command.
func (x *explorer) ask(c command.Command) holdfast.Outcome {
	x.n++
	head := c.Head()
	head.Event, head.ID = theEvent, holdfast.NewCommandID(x.m.Clock()+1_000_000, [10]byte{byte(x.n >> 24), byte(x.n >> 16), byte(x.n >> 8), byte(x.n)})
	return x.entry(0, c)
}

func (x *explorer) entry(stepMicros uint32, cmds ...command.Command) holdfast.Outcome {
	b := command.BeginEntry(nil)
	for _, c := range cmds {
		b = c.Append(b)
	}
	out := command.Output{Answer: true}
	x.m.Apply(x.m.Index()+1, command.FinishEntry(b, stepMicros, 1000, len(cmds)), &out)
	var r command.Result
	if len(cmds) > 0 {
		if _, err := command.DecodeResult(out.Results, &r); err != nil {
			x.Fatal(err)
		}
	}
	return r.Outcome
}

// add notes the state that a step led to, and judges it when it is new. A step that leads where it came from is none.
func (x *explorer) add(parent int, by string, system bool) int {
	x.adoptJobs()
	key := x.key()
	at, known := x.index[key]
	if !known {
		at = len(x.scenes)
		x.index[key] = at
		x.s.snapshot, x.s.parent, x.s.by = snapshotOf(x.m), parent, by
		x.scenes, x.back = append(x.scenes, x.s), append(x.back, nil)
		x.judge(at)
	}
	if system && parent >= 0 && at != parent {
		x.back[at] = append(x.back[at], parent)
	}
	return at
}

func snapshotOf(m *Machine) []byte {
	c := m.Cut()
	defer c.Release()
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// adoptJobs gives workers what is newly owed, and takes from them what can change nothing any more.
func (x *explorer) adoptJobs() {
	for _, e := range x.m.state.effectsFrom(1, 100) {
		if !slices.ContainsFunc(x.s.jobs, func(j job) bool { return j.id == e.ID }) {
			x.s.jobs = append(x.s.jobs, job{id: e.ID, kind: e.Kind, attempt: e.Attempt, amount: e.Amount.AmountMinor})
		}
	}
	x.s.owes = map[holdfast.EffectID]bool{}
	for i := range x.s.jobs {
		if x.m.findEffect(x.s.jobs[i].id) == 0 {
			x.s.jobs[i].result = 0 // nobody listens
		} else {
			x.s.owes[x.s.jobs[i].id] = true
		}
	}
	x.s.jobs = slices.DeleteFunc(x.s.jobs, func(j job) bool {
		if x.m.findEffect(j.id) != 0 {
			return false
		}
		settled := x.s.intents[j.attempt].status == captured || x.s.intents[j.attempt].status == cancelled
		return j.kind == holdfast.EffectLook || j.made || settled && j.kind != holdfast.EffectRefund
	})
}

// key says in words all that matters of a state.
func (x *explorer) key() string {
	var b strings.Builder
	s := &x.m.state
	var due []holdfast.HoldID
	for _, slot := range x.m.due.due(s.clock+1<<40, nil, func(slot uint32) holdfast.HoldID { return s.holds.at(slot).ID }) {
		due = append(due, s.holds.at(slot).ID)
	}
	x.m.due.passed = s.clock // looking ahead moved it
	for _, id := range due {
		fmt.Fprintf(&b, "due %x;", id[12:])
	}
	for _, h := range s.holds.all() {
		fmt.Fprintf(&b, "hold %x %d %d %d;", h.ID[12:], h.State, h.Attempt, h.Count)
	}
	for _, o := range s.orders.all() {
		fmt.Fprintf(&b, "order %d %d %d %d;", o.State, s.billOf(o).Live, s.billOf(o).Dead, o.Payment)
	}
	for a := range holdfast.Attempt(len(x.attempts)) {
		if slot := x.m.findAttempt(x.hold, a+1); slot != 0 {
			p := s.payments.at(slot)
			fmt.Fprintf(&b, "payment %d %d %d %d %d %d %d %d %d;", a, p.State, p.Captured, p.Kept, p.Owed, p.Refunded, p.ChargedBack, p.Overdrawn, p.RefBytes)
		}
	}
	fmt.Fprintf(&b, "seat %d;%v %t %t %d;", s.events[0].units.state(0), x.s.intents, x.s.rival, x.s.refund, x.s.dispute)
	var jobs []string
	for _, j := range x.s.jobs {
		state := holdfast.EffectState(0)
		if slot := x.m.findEffect(j.id); slot != 0 {
			state = s.effects.at(slot).State
		}
		jobs = append(jobs, fmt.Sprint(j.kind, j.attempt, j.amount, j.made, j.result, state))
	}
	slices.Sort(jobs)
	fmt.Fprint(&b, jobs)
	return b.String()
}

func (x *explorer) fault(at int, format string, args ...any) {
	var way []string
	for i := at; i >= 0; i = x.scenes[i].parent {
		way = append(way, x.scenes[i].by)
	}
	slices.Reverse(way)
	x.faults = append(x.faults, fmt.Sprintf(format, args...)+"\n\tafter "+strings.Join(way, ", "))
}

// judge looks at a state that was reached.
func (x *explorer) judge(at int) {
	for _, v := range x.m.Check() {
		x.fault(at, "%s", v)
	}
	for _, h := range x.m.state.holds.all() {
		x.seen[h.State.String()]++
		if _, ended := x.m.Ended(h.ID); ended {
			x.seen["rescued"]++
		}
	}
	for _, o := range x.m.state.orders.all() {
		x.seen[o.State.String()]++
	}
	for _, p := range x.m.state.payments.all() {
		x.seen[p.State.String()]++
	}
	for a, in := range x.s.intents {
		if a == 0 || in.status != captured {
			continue
		}
		slot := x.m.findAttempt(x.hold, holdfast.Attempt(a))
		if !in.atOnce && (slot == 0 || x.m.state.payments.at(slot).committed() == 0) {
			x.fault(at, "attempt %d was captured, and no Sell committed it", a)
		}
		if in.refunded > seatPrice {
			x.fault(at, "of attempt %d %d was refunded", a, in.refunded)
		}
	}
}

// judgeEnd looks at a state in which nothing more happens unless a buyer does something.
func (x *explorer) judgeEnd(at int) {
	x.m, x.s = restored(x.TB, x.scenes[at].snapshot), x.scenes[at]
	books := x.m.Ledger(theEvent)
	for a, in := range x.s.intents {
		net := -in.refunded - in.lost
		if in.status == captured {
			net += seatPrice
		}
		worth := int64(0)
		if slot := x.m.findAttempt(x.hold, holdfast.Attempt(a)); a > 0 && slot != 0 {
			l := x.m.state.ledgerOf(x.m.state.payments.at(slot))
			worth = l.Live + l.Kept - l.Overdrawn
		}
		if net != worth {
			x.fault(at, "attempt %d brought %d in the end, and its order is worth %d", a, net, worth)
		}
		if in.status == authorised {
			x.fault(at, "the authorisation of attempt %d hangs", a)
		}
	}
	for _, h := range x.m.state.holds.all() {
		if h.State != holdfast.HoldSold {
			x.fault(at, "%s ends %s", h.ID, h.State)
		}
	}
	if sold := x.m.state.events[0].units.total()[holdfast.Sold]; int64(sold)*seatPrice != books.Live && x.s.dispute != holdfast.DisputeLost {
		x.fault(at, "%d seats are sold, for %d", sold, books.Live)
	}
	if owed := x.m.state.effects.live(); owed > 0 && x.s.dispute == 0 {
		x.fault(at, "%d effects are owed in the end", owed)
	}
}

// judgeWays looks that from everywhere an end can be reached by steps that no buyer takes.
func (x *explorer) judgeWays() {
	reached := make([]bool, len(x.scenes))
	queue := slices.Clone(x.ends)
	for _, at := range queue {
		reached[at] = true
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, from := range x.back[at] {
			if !reached[from] {
				reached[from] = true
				queue = append(queue, from)
			}
		}
	}
	for at := range reached {
		if !reached[at] {
			x.fault(at, "nothing that workers and the clock do leads to an end")
			return
		}
	}
}
