package exact

import (
	"bytes"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node/outbox"
	"github.com/holdfast-db/holdfast/payment"
)

// The names of the checks, by the invariants of docs/invariants.md.
const (
	CheckMachine  = "machine"     // fsm.Machine.Check, after every entry that did something: I1, I2, I4, I7, I8 and what they stand on
	CheckTime     = "I4 clock"    // no time counts twice on the hold clock, and none is left out while there is a leader
	CheckHolds    = "I4 holds"    // no hold ends before the deadline that its buyer was told; it is of all that was asked for, and within the limit
	CheckOwner    = "owner"       // a hold is changed, given back and paid by its buyer alone
	CheckRepeats  = "I7 repeats"  // a repeated command has its first outcome, and none after its validity
	CheckAnswers  = "I7 answers"  // what a caller was told is what the log says, then and later; one request is carried out once
	CheckMoney    = "I8 money"    // the bank never moved what the shard has not decided, and in the end its books are ours
	CheckLiveness = "liveness"    // in a bounded time after the last fault nothing is held, owed or under way
	CheckSnapshot = "I10 restore" // a restored machine, and one that never was, are in one state
	CheckBounds   = "I11 bounds"  // nothing grows without bound
)

// books are what the checks know: what went into the log, what callers were told, and when. They share nothing with the machine
// but what it answered.
type books struct {
	decided  map[holdfast.CommandID]decision
	toldNo   map[holdfast.CommandID]bool // the caller was told that it did not happen
	requests map[holdfast.CommandID]*request
	done     map[*request]bool // carried out
	holds    []promise
	counted  time.Duration // true time up to which the hold clock has counted
	begun    time.Duration // true time up to which this reign's entries have counted
	grants   int
	reigned  int
	entries  int
	snapshot []byte // for a planted fault
	result   command.Result
}

// decision is the first outcome of a command.
type decision struct {
	outcome  holdfast.Outcome
	contents uint32
}

// promise is a hold with the deadline that was told.
type promise struct {
	id       holdfast.HoldID
	buyer    holdfast.BuyerID
	units    int
	amount   holdfast.Money // that its payment is for
	deadline holdfast.Clock
	failed   bool // the provider's word may end it before
}

func newBooks() books {
	return books{decided: map[holdfast.CommandID]decision{}, toldNo: map[holdfast.CommandID]bool{},
		requests: map[holdfast.CommandID]*request{}, done: map[*request]bool{}}
}

// reigns is told when a leader's barrier is applied: from then on its time counts.
func (b *books) reigns(now time.Duration) {
	b.reigned++
	b.begun = now
	b.counted = max(b.counted, now)
}

// rounding is what a step may leave for the next.
const rounding = 2 * time.Microsecond

// applied looks at an entry that was applied just now.
func (b *books) applied(e *entry, s *shard) {
	b.time(e, s)
	b.commands(e, s)
	b.promises(s)
	b.entries++
	if e.count > 0 || b.entries%8 == 0 || len(s.machine.Changes()) > 0 {
		for _, v := range s.machine.Check() {
			s.w.fail(CheckMachine, "%s", v)
		}
	}
	stats := s.machine.Stats()
	if stats.Remembered > stats.RememberedMax || stats.Effects > stats.Payments || len(s.limbo) > limboMax || len(s.w.queue) > 1<<16 {
		s.w.fail(CheckBounds, "%+v, %d events planned", stats, len(s.w.queue))
	}
	if s.w.plant == StaleSnapshot && b.entries%20 == 0 {
		cut := s.machine.Cut()
		defer cut.Release()
		var buffer bytes.Buffer
		_, _ = cut.WriteTo(&buffer)
		b.snapshot = buffer.Bytes()
	}
}

// time holds an entry's step against the true time of its packing. An entry that counts claims the time before its packing; no
// time may be claimed twice, and while one leader packs none is left out, but what a silence is allowed to cost.
func (b *books) time(e *entry, s *shard) {
	if e.barrier || e.step == 0 && e.orphan {
		return
	}
	step := time.Duration(e.step) * time.Microsecond
	if from := e.at - step; step > 0 && from < b.counted-rounding {
		s.w.fail(CheckTime, "the entry of %.6fs counts %v, and %v of it was counted before", e.at.Seconds(), step, b.counted-from)
	}
	if !e.orphan {
		if due := min(e.at-b.begun, holdfast.StepMax); step < due-rounding {
			s.w.fail(CheckTime, "the entry of %.6fs counts %v, and %v have passed", e.at.Seconds(), step, due)
		}
		b.begun = e.at
	}
	if step > 0 {
		b.counted = max(b.counted, e.at)
	}
}

// commands holds every command's outcome against what is known of its id.
func (b *books) commands(e *entry, s *shard) {
	rest, results := e.packed, s.output.Results
	for range e.count {
		cmd, after, err := command.Split(rest)
		if err != nil {
			s.w.fail("encoding", "%v", err)
			return
		}
		var one []byte
		one, results = retry.Cut(results, 1)
		if _, err := command.DecodeResult(one, &b.result); err != nil {
			s.w.fail("encoding", "%v", err)
			return
		}
		rest = after
		b.command(s, cmd, &b.result)
	}
}

func (b *books) command(s *shard, cmd []byte, r *command.Result) {
	id, w := command.IDOf(cmd), s.w
	first, known := b.decided[id]
	switch {
	case id.ValidUntil() < s.machine.Clock():
		if r.Outcome != holdfast.CommandExpired {
			w.fail(CheckRepeats, "a %s that is not valid any more is %s", command.KindOf(cmd), r.Outcome)
		}
		return
	case known && first.contents != command.Fingerprint(cmd):
		if r.Outcome != holdfast.CommandReused {
			w.fail(CheckRepeats, "a %s with the id of another command is %s", command.KindOf(cmd), r.Outcome)
		}
		return
	case known && (r.Outcome != first.outcome || !r.Repeated):
		w.fail(CheckRepeats, "a %s that was %s is %s when it is repeated", command.KindOf(cmd), first.outcome, r.Outcome)
	case known:
		return
	case !r.Outcome.Remembered():
		return
	case r.Repeated:
		w.fail(CheckRepeats, "a %s is told again that was never decided", command.KindOf(cmd))
	}
	b.decided[id] = decision{r.Outcome, command.Fingerprint(cmd)}
	if b.toldNo[id] {
		w.fail(CheckAnswers, "a caller was told that a %s did not happen, and then it was decided: %s", command.KindOf(cmd), r.Outcome)
	}
	if r.Outcome != holdfast.OK {
		return
	}
	if q := b.requests[id]; q != nil {
		if b.done[q] {
			w.fail(CheckAnswers, "one request for a %s was carried out twice", command.KindOf(cmd))
		}
		b.done[q] = true
	}
	b.promise(w, cmd, r)
}

// promise notes what a buyer may rely on from now on.
func (b *books) promise(w *world, cmd []byte, r *command.Result) {
	switch command.KindOf(cmd) {
	case command.KindHold:
		if b.allOrNothing(w, cmd, r); r.Hold != holdfast.HoldID(command.IDOf(cmd)) {
			w.fail(CheckHolds, "a hold has another id than the command that made it")
		}
	case command.KindRelease, command.KindFailPayment, command.KindBeginPayment:
		hold, buyer := holdOf(cmd)
		for i := range b.holds {
			p := &b.holds[i]
			switch {
			case p.id != hold:
			case command.KindOf(cmd) != command.KindFailPayment && p.buyer != buyer:
				w.fail(CheckOwner, "somebody else's %s is done", command.KindOf(cmd))
			case command.KindOf(cmd) == command.KindBeginPayment:
				p.deadline, p.amount = r.Deadline, r.Amount
			default:
				p.failed = true
			}
		}
	case command.KindSell:
		w.counts.Sold++
		var d command.Decoder
		c, err := d.Sell(cmd)
		for _, p := range b.holds {
			if err == nil && p.id == c.Hold && p.amount != c.Amount {
				w.fail(CheckMoney, "a hold is sold for %s, and its payment is for %s", c.Amount, p.amount)
			}
		}
	}
}

// allOrNothing notes a hold, which must be of as many units as were asked for.
func (b *books) allOrNothing(w *world, cmd []byte, r *command.Result) {
	var d command.Decoder
	c, err := d.Hold(cmd)
	if err != nil {
		w.fail("encoding", "%v", err)
		return
	}
	asked := 0
	for _, want := range c.Wants {
		asked += max(int(want.Count), len(want.Seats))
	}
	if len(r.Seats) != asked {
		w.fail(CheckHolds, "of %d units that were asked for %d are held", asked, len(r.Seats))
	}
	b.holds = append(b.holds, promise{id: r.Hold, buyer: c.Buyer, units: asked, deadline: r.Deadline})
}

// holdOf reads which hold a command is about, and who sends it.
func holdOf(cmd []byte) (holdfast.HoldID, holdfast.BuyerID) {
	var d command.Decoder
	switch command.KindOf(cmd) {
	case command.KindRelease:
		if c, err := d.Release(cmd); err == nil {
			return c.Hold, c.Buyer
		}
	case command.KindFailPayment:
		if c, err := d.FailPayment(cmd); err == nil {
			return c.Hold, holdfast.BuyerID{}
		}
	case command.KindBeginPayment:
		if c, err := d.BeginPayment(cmd); err == nil {
			return c.Hold, c.Buyer
		}
	}
	return holdfast.HoldID{}, holdfast.BuyerID{}
}

// promises looks that every hold that is gone had reached its deadline.
func (b *books) promises(s *shard) {
	kept := b.holds[:0]
	for _, p := range b.holds {
		v, there := s.machine.Hold(p.id)
		switch {
		case there && v.State == holdfast.HoldSold:
		case there && v.State == holdfast.HoldOpen && v.Deadline != p.deadline:
			s.w.fail(CheckHolds, "a hold that was promised until %d is to end at %d", p.deadline, v.Deadline)
		case there:
			kept = append(kept, p)
		case !p.failed && s.machine.Clock() < p.deadline:
			s.w.fail(CheckHolds, "a hold is gone at %d that was promised until %d", s.machine.Clock(), p.deadline)
		}
	}
	b.holds = kept
	for i, p := range kept {
		units := 0
		for _, other := range kept[:i+1] {
			if other.buyer == p.buyer {
				units += other.units
			}
		}
		if most := s.w.plan.Most; most > 0 && units > most {
			s.w.fail(CheckHolds, "a buyer holds %d units, and may have %d", units, most)
		}
	}
}

// told is what a caller learns about one id of its request. What says nothing about earlier calls with the id is no news when there
// were some.
func (b *books) told(w *world, r *request, id holdfast.CommandID, first bool, outcome holdfast.Outcome, failure *holdfast.Error) {
	w.say("told", r.kind.String(), uint64(outcome), uint64(holdfast.KindOf(asError(failure))))
	decided, known := b.decided[id]
	switch {
	case failure != nil && failure.Kind == holdfast.Unknown:
	case (failure != nil || !outcome.Remembered()) && !first:
	case failure != nil, !outcome.Remembered():
		b.toldNo[id] = true
		if known {
			w.fail(CheckAnswers, "a caller is told that a %s did not happen, and it was decided: %s", r.kind, decided.outcome)
		}
	case !known:
		w.fail(CheckAnswers, "a caller is told %s of a %s, and the log does not have it", outcome, r.kind)
	case decided.outcome != outcome:
		w.fail(CheckAnswers, "a caller is told %s of a %s, and the log says %s", outcome, r.kind, decided.outcome)
	}
}

func asError(e *holdfast.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// The bank's moves, each held against what the shard has decided by then.

func (b *books) captured(w *world, i *intent) {
	p, ok := w.shard.machine.Attempt(i.Key.Hold, i.Key.Attempt)
	if !ok || p.State != holdfast.PaymentCapturing && p.State != holdfast.PaymentCaptured && p.State != holdfast.PaymentReturned {
		w.fail(CheckMoney, "%s is captured, and no Sell has committed that: the payment is %s", i.Ref, p.State)
	}
}

func (b *books) voided(w *world, i *intent) {
	if i.Status != payment.StatusAuthorised || i.declined {
		return
	}
	if p, ok := w.shard.machine.Attempt(i.Key.Hold, i.Key.Attempt); ok && (p.State == holdfast.PaymentCapturing || p.State == holdfast.PaymentCaptured) {
		w.fail(CheckMoney, "%s is cancelled, and a sale stands on it", i.Ref)
	}
}

func (b *books) refunded(w *world, i *intent) {
	p, _ := w.shard.machine.Attempt(i.Key.Hold, i.Key.Attempt)
	if decided := p.Ledger.Owed + p.Ledger.Refunded; i.RefundedMinor > decided {
		w.fail(CheckMoney, "of %s %d was given back, and the shard has decided on %d", i.Ref, i.RefundedMinor, decided)
	}
}

// leased and granted bound what leaders keep in memory and give out.

func (b *books) leased(w *world, m *member) {
	if m.leases.Out() > outbox.LeasesMax || m.leases.Out() > len(w.bank.intents)*4+16 {
		w.fail(CheckBounds, "%d effects are leased", m.leases.Out())
	}
}

func (b *books) granted(w *world) {
	b.grants++
	rate := float64(limits.ReadsPerSecond + limits.WritesPerSecond + 4) // and the spares
	if most := rate*(w.now.Seconds()+2) + float64(b.reigned)*rate; float64(b.grants) > most {
		w.fail(CheckBounds, "%d acts at the bank were granted in %v", b.grants, w.now)
	}
}

// atRest reports whether everything has come to its end.
func (w *world) atRest() bool {
	stats := w.shard.machine.Stats()
	if w.active > 0 || stats.Holds > 0 || stats.Effects > 0 {
		return false
	}
	for _, i := range w.bank.intents {
		if i.Status == payment.StatusProcessing || i.Dispute.State == holdfast.DisputeOpened {
			return false
		}
		p, ok := w.shard.machine.Attempt(i.Key.Hold, i.Key.Attempt)
		if ok && i.Dispute.State != p.Dispute {
			return false
		}
	}
	cut := w.shard.machine.Cut()
	defer cut.Release()
	for o := range cut.Orders(theEvent) {
		if o.State == holdfast.OrderUnpaid || o.State == holdfast.OrderCapturing {
			return false
		}
	}
	return true
}

// final holds the bank's books against the shard's.
func (w *world) final() {
	m := w.shard.machine
	for _, i := range w.bank.intents {
		net := i.CapturedMinor - i.RefundedMinor - i.lost
		p, ok := m.Attempt(i.Key.Hold, i.Key.Attempt)
		worth := p.Ledger.Live + p.Ledger.Kept - p.Ledger.Overdrawn
		switch {
		case i.Status == payment.StatusAuthorised:
			w.fail(CheckMoney, "the authorisation of %s hangs: the payment is %s", i.Ref, p.State)
		case net != worth:
			w.fail(CheckMoney, "%s brought %d in the end, and what stands on it is worth %d", i.Ref, net, worth)
		case ok && i.CapturedMinor != p.Ledger.Captured:
			w.fail(CheckMoney, "%s was captured for %d, and the books say %d", i.Ref, i.CapturedMinor, p.Ledger.Captured)
		}
	}
	a, b := m.Cut(), w.shard.twin.Cut()
	defer a.Release()
	defer b.Release()
	digest := a.Digest()
	if digest != b.Digest() {
		w.fail(CheckSnapshot, "the machine and one that was never restored differ at entry %d", w.shard.index)
	}
	w.mixBytes(digest[:])
}
