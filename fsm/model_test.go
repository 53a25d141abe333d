package fsm_test

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The plain model: what the package promises, said a second time with maps, slices and loops over everything. It
// keeps no counter, no index and no bitmap; whatever it is asked it counts anew. It was written from the words
// (docs/invariants.md, outcome.go, the comments on the commands), not from the machine, and shares no code with it.
//
// Where units are and which a want gets is in model_pick_test.go.

// model is one shard.
type model struct {
	shard       holdfast.ShardID
	outcomesMax int

	index  uint64
	clock  holdfast.Clock
	wallMs int64
	marked bool

	events     map[holdfast.EventID]*modelEvent
	holds      map[holdfast.HoldID]*modelHold // all that are not gone, orders among them
	made, sold int                            // how many holds were made and sold so far: the order of events
	ended      map[holdfast.HoldID]holdfast.Outcome
	remembered map[holdfast.CommandID]modelOutcome
	trees      map[[32]byte][]holdfast.PlaceKey // the keys behind the roots that are entered
}

type modelOutcome struct {
	packed  string // the whole command
	outcome holdfast.Outcome
}

// modelHold is a hold, or the order that it became.
type modelHold struct {
	id       holdfast.HoldID
	event    *modelEvent
	buyer    holdfast.BuyerID
	state    holdfast.HoldState
	units    []holdfast.SeatIndex
	prices   map[holdfast.TierIndex]int64 // frozen when it was made, for the tiers that there were
	deadline holdfast.Clock
	attempt  holdfast.Attempt
	extended bool
	offer    bool // of seats that came back
	made     int

	sold int // its place among all sales, from 1
	sale command.Sell
	atMs int64
}

func newModel(cfg fsm.Config) *model {
	return &model{
		shard: cfg.Shard, outcomesMax: cmp.Or(cfg.OutcomesMax, fsm.OutcomesMaxDefault),
		events: map[holdfast.EventID]*modelEvent{}, holds: map[holdfast.HoldID]*modelHold{},
		ended: map[holdfast.HoldID]holdfast.Outcome{}, remembered: map[holdfast.CommandID]modelOutcome{},
		trees: map[[32]byte][]holdfast.PlaceKey{},
	}
}

// begin is what an entry does before its commands.
func (m *model) begin(index uint64, stepMicros uint32, wallMs int64) {
	m.index, m.marked = index, false
	m.clock += holdfast.Clock(min(time.Duration(stepMicros)*time.Microsecond, holdfast.StepMax) / time.Microsecond)
	m.wallMs = max(m.wallMs, wallMs)
	for _, h := range m.dueHolds() {
		switch h.state {
		case holdfast.HoldPaying:
			h.state, h.deadline = holdfast.HoldClosing, h.deadline.Add(holdfast.GraceMax)
		default:
			m.end(h, holdfast.HoldLapsed)
			cool := h.event.rules().CoolDownMs
			h.event.coolUntil[h.buyer] = max(h.event.coolUntil[h.buyer], h.deadline.Add(ms(cool)))
		}
	}
	m.expireSessions()
	for _, id := range m.eventIDs() {
		m.onTime(m.events[id])
	}
	m.offerReturns()
	for id := range m.remembered {
		if span(id.ValidUntil()) < span(m.clock) {
			delete(m.remembered, id)
		}
	}
}

// span numbers the spans of 256 ms after which all outcomes whose validity ended in one are forgotten together.
// It shows only in how many are remembered.
func span(c holdfast.Clock) uint64 { return uint64(c) / 256_000 }

func ms(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// dueHolds are the holds whose deadline has come, in the order in which they end.
func (m *model) dueHolds() (due []*modelHold) {
	for _, h := range m.holds {
		if h.state != holdfast.HoldSold && h.deadline <= m.clock {
			due = append(due, h)
		}
	}
	slices.SortFunc(due, func(a, b *modelHold) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), bytes.Compare(a.id[:], b.id[:]))
	})
	return due
}

// decide gives a command its result.
func (m *model) decide(c command.Command) (r command.Result) {
	id, packed := c.Head().ID, string(c.Append(nil))
	before, found := m.remembered[id]
	switch {
	case id.ValidUntil() < m.clock:
		return command.Result{Outcome: holdfast.CommandExpired}
	case id.ValidUntil() > m.clock.Add(holdfast.ValidityMax):
		return command.Result{Outcome: holdfast.CommandTooFar}
	case found && before.packed != packed:
		return command.Result{Outcome: holdfast.CommandReused}
	case found:
		r = command.Result{Outcome: before.outcome, Repeated: true}
	case len(m.remembered) >= m.outcomesMax:
		return command.Result{Outcome: holdfast.CommandUnremembered}
	default:
		r.Outcome = m.execute(c)
		defer m.offerReturns() // what is told is what was before
		m.remembered[id] = modelOutcome{packed, r.Outcome}
	}
	m.tell(c, &r)
	return r
}

func (m *model) execute(c command.Command) holdfast.Outcome {
	e := m.events[c.Head().Event]
	if put, ok := c.(*command.PutEvent); ok {
		return m.putEvent(e, put)
	}
	if _, ok := c.(*command.Mark); ok {
		return holdfast.OK
	}
	if e == nil {
		return holdfast.EventUnknown
	}
	switch c := c.(type) {
	case *command.Hold:
		return m.hold(e, c)
	case *command.Swap:
		return m.swap(e, c)
	case *command.Extend:
		return m.extend(e, c)
	case *command.Release:
		return m.release(e, c)
	case *command.BeginPayment:
		return m.beginPayment(e, c)
	case *command.Sell:
		return m.sell(e, c)
	case *command.SetSale:
		return m.setSale(e, c)
	case *command.Block:
		return m.block(e, c)
	}
	return m.executeLine(e, c)
}

var notOpen = map[holdfast.SaleState]holdfast.Outcome{
	holdfast.SaleDraft: holdfast.EventNotOpen, holdfast.SalePaused: holdfast.EventPaused, holdfast.SaleClosed: holdfast.EventClosed,
}

func (m *model) hold(e *modelEvent, c *command.Hold) holdfast.Outcome {
	count, rules := countOf(c.Wants), e.rules()
	switch live := m.liveHolds(e, c.Buyer); {
	case e.sale != holdfast.SaleOpen:
		return notOpen[e.sale]
	case !m.gate(e, c.Buyer):
		return holdfast.SessionRequired
	case !e.has(c.Allocation, c.Wants):
		return holdfast.WantInvalid
	case count > int(rules.SeatsPerHold):
		return holdfast.HoldTooLarge
	case len(live) > 0 && !rules.ManyOpenHolds:
		return holdfast.BuyerHasHold
	case e.coolUntil[c.Buyer] > m.clock:
		return holdfast.BuyerCoolingDown
	case rules.SeatsPerBuyer > 0 && m.unitsOf(e, c.Buyer)+count > int(rules.SeatsPerBuyer):
		return holdfast.BuyerOverLimit
	}
	pick := e.pick(e.ask(c.Allocation, c.Wants, nil))
	if pick.outcome != holdfast.OK {
		return pick.outcome
	}
	m.makeHold(e, holdfast.HoldID(c.ID), c.Buyer, pick.units, m.clock.Add(ms(rules.HoldTTLMs)))
	return holdfast.OK
}

func (m *model) makeHold(e *modelEvent, id holdfast.HoldID, buyer holdfast.BuyerID, units []holdfast.SeatIndex, deadline holdfast.Clock) *modelHold {
	m.made++
	h := &modelHold{
		id: id, event: e, buyer: buyer, state: holdfast.HoldOpen, units: units, made: m.made,
		deadline: deadline, prices: map[holdfast.TierIndex]int64{},
	}
	for i, t := range e.spec.Tiers {
		h.prices[holdfast.TierIndex(i)] = t.PriceMinor
	}
	m.sessionHolds(h)
	m.holds[h.id] = h
	e.put(h.units, h, holdfast.Held)
	return h
}

func (m *model) swap(e *modelEvent, c *command.Swap) holdfast.Outcome {
	count, rules := countOf(c.Wants), e.rules()
	switch {
	case e.sale != holdfast.SaleOpen:
		return notOpen[e.sale]
	case !e.has(c.Allocation, c.Wants):
		return holdfast.WantInvalid
	case count > int(rules.SeatsPerHold):
		return holdfast.HoldTooLarge
	}
	h, o := m.openHold(e, c.Hold, c.Buyer)
	if o != holdfast.OK {
		return o
	}
	if rules.SeatsPerBuyer > 0 && m.unitsOf(e, c.Buyer)-len(h.units)+count > int(rules.SeatsPerBuyer) {
		return holdfast.BuyerOverLimit
	}
	pick := e.pick(e.ask(c.Allocation, c.Wants, h.units))
	if pick.outcome != holdfast.OK {
		return pick.outcome
	}
	for _, u := range h.units {
		if !slices.Contains(pick.units, u) {
			e.put([]holdfast.SeatIndex{u}, nil, holdfast.Free)
		}
	}
	h.units = pick.units
	e.put(h.units, h, holdfast.Held)
	return holdfast.OK
}

func (m *model) extend(e *modelEvent, c *command.Extend) holdfast.Outcome {
	h, o := m.openHold(e, c.Hold, c.Buyer)
	if o != holdfast.OK {
		return o
	}
	if h.extended {
		return holdfast.HoldNotExtendable
	}
	h.extended, h.deadline = true, h.deadline.Add(ms(e.rules().ExtensionMs))
	return holdfast.OK
}

func (m *model) release(e *modelEvent, c *command.Release) holdfast.Outcome {
	h, o := m.openHold(e, c.Hold, c.Buyer)
	if o == holdfast.OK {
		m.end(h, holdfast.HoldReleased)
	}
	return o
}

func (m *model) beginPayment(e *modelEvent, c *command.BeginPayment) holdfast.Outcome {
	h, o := m.findHold(e, c.Hold)
	switch {
	case o != holdfast.OK:
		return o
	case h.buyer != c.Buyer:
		return holdfast.HoldNotYours
	case h.state == holdfast.HoldClosing:
		return holdfast.HoldInPayment
	case h.state == holdfast.HoldSold:
		return holdfast.HoldAlreadySold
	case h.state == holdfast.HoldOpen && c.Attempt != 1, h.state == holdfast.HoldPaying && c.Attempt != h.attempt && c.Attempt != h.attempt+1:
		return holdfast.AttemptStale
	case h.amount().AmountMinor == 0 || c.Amount != h.amount():
		return holdfast.AmountMismatch
	}
	if h.state == holdfast.HoldOpen {
		h.state, h.deadline = holdfast.HoldPaying, m.clock.Add(ms(e.rules().PayWindowMs))
		e.put(h.units, h, holdfast.Paying)
	}
	h.attempt = c.Attempt
	return holdfast.OK
}

func (m *model) sell(e *modelEvent, c *command.Sell) holdfast.Outcome {
	h, o := m.findHold(e, c.Hold)
	if o != holdfast.OK {
		return o
	}
	if h.state == holdfast.HoldSold {
		if c.As == h.sale.As && c.Attempt == h.sale.Attempt && c.Amount == h.sale.Amount && c.Payment == h.sale.Payment {
			return holdfast.OK
		}
		return holdfast.HoldAlreadySold
	}
	inPayment := h.state != holdfast.HoldOpen
	switch c.As {
	case command.SalePaid:
		if !inPayment || c.Attempt != h.attempt {
			return holdfast.AttemptStale
		}
		if c.Amount != h.amount() {
			return holdfast.AmountMismatch
		}
		for _, other := range m.holds {
			if other.state == holdfast.HoldSold && other.sale.As == command.SalePaid && other.sale.Payment == c.Payment {
				return holdfast.PaymentReused
			}
		}
	case command.SaleFree:
		free := holdfast.Money{Currency: e.spec.Currency}
		switch {
		case inPayment:
			return holdfast.HoldInPayment
		case c.Amount != free:
			return holdfast.AmountMismatch
		case h.amount() != free:
			return holdfast.PaymentRequired
		}
	case command.SaleInvoiced:
		if inPayment {
			return holdfast.HoldInPayment
		}
		if c.Amount != h.amount() {
			return holdfast.AmountMismatch
		}
	}
	m.sold++
	h.state, h.deadline, h.sold, h.sale, h.atMs = holdfast.HoldSold, 0, m.sold, *c, m.wallMs
	e.put(h.units, h, holdfast.Sold)
	m.bought(h)
	return holdfast.OK
}

func (m *model) putEvent(e *modelEvent, c *command.PutEvent) holdfast.Outcome {
	spec := c.Spec
	switch {
	case e == nil && (c.Event == 0 || c.Expect != 0):
		return holdfast.EventUnknown
	case e == nil && len(m.events) == holdfast.EventsPerShardMax:
		return holdfast.EventsFull
	case e == nil:
		e = &modelEvent{id: c.Event, coolUntil: map[holdfast.BuyerID]holdfast.Clock{}}
		m.events[c.Event] = e
	case bytes.Equal(spec.Append(nil), e.spec.Append(nil)):
		return holdfast.OK
	case c.Expect != e.version:
		return holdfast.EventChanged
	case !compatible(&e.spec, &spec) || e.line != nil && !sameDraw(&spec.Line, &e.spec.Line):
		return holdfast.EventConflict
	}
	e.cameFree = true
	e.version++
	e.revision++
	e.describe(spec)
	for _, h := range m.holds { // a tier that is new costs the same for everyone
		if h.event == e {
			for i, t := range spec.Tiers {
				if _, had := h.prices[holdfast.TierIndex(i)]; !had {
					h.prices[holdfast.TierIndex(i)] = t.PriceMinor
				}
			}
		}
	}
	m.onTime(e)
	return holdfast.OK
}

// sameDraw says whether everything is as it was that the opening of a line promised.
func sameDraw(a, b *command.LineRules) bool {
	x, y := *a, *b
	for _, l := range []*command.LineRules{&x, &y} {
		*l = command.LineRules{Enabled: l.Enabled, OpensMs: l.OpensMs, DrawMs: l.DrawMs, Beacon: l.Beacon, FallbackMs: l.FallbackMs, Who: l.Who}
	}
	return x == y
}

func (m *model) setSale(e *modelEvent, c *command.SetSale) holdfast.Outcome {
	switch {
	case c.State == e.sale:
		return holdfast.OK
	case e.sale == holdfast.SaleClosed:
		return holdfast.EventClosed
	case e.sale == holdfast.SaleDraft && c.State == holdfast.SalePaused:
		return holdfast.EventNotOpen
	}
	m.changeSale(e, c.State)
	return holdfast.OK
}

func (m *model) block(e *modelEvent, c *command.Block) holdfast.Outcome {
	for _, u := range c.Seats {
		if int(u) >= len(e.units) {
			return holdfast.WantInvalid
		}
	}
	if len(e.takenOf(c.Seats)) > 0 {
		return holdfast.SeatTaken
	}
	to := holdfast.Blocked
	if c.Unblock {
		to = holdfast.Free
	}
	e.put(c.Seats, nil, to)
	return holdfast.OK
}

// findHold finds a hold of the event that is not gone, or says what became of it.
func (m *model) findHold(e *modelEvent, id holdfast.HoldID) (*modelHold, holdfast.Outcome) {
	if h := m.holds[id]; h != nil && h.event == e {
		return h, holdfast.OK
	}
	if how, ok := m.ended[id]; ok {
		return nil, how
	}
	return nil, holdfast.HoldUnknown
}

// openHold finds a hold that its buyer may change.
func (m *model) openHold(e *modelEvent, id holdfast.HoldID, buyer holdfast.BuyerID) (*modelHold, holdfast.Outcome) {
	h, o := m.findHold(e, id)
	switch {
	case o != holdfast.OK:
		return nil, o
	case h.buyer != buyer:
		return nil, holdfast.HoldNotYours
	case h.state == holdfast.HoldPaying || h.state == holdfast.HoldClosing:
		return nil, holdfast.HoldInPayment
	case h.state == holdfast.HoldSold:
		return nil, holdfast.HoldAlreadySold
	}
	return h, holdfast.OK
}

func (m *model) end(h *modelHold, how holdfast.Outcome) {
	h.event.put(h.units, nil, holdfast.Free)
	delete(m.holds, h.id)
	m.ended[h.id] = how
	m.holdEnded(h, how)
}

// liveHolds are the buyer's holds of the event that are not sold, the oldest first.
func (m *model) liveHolds(e *modelEvent, buyer holdfast.BuyerID) (live []*modelHold) {
	for _, h := range m.holds {
		if h.event == e && h.buyer == buyer && h.state != holdfast.HoldSold {
			live = append(live, h)
		}
	}
	slices.SortFunc(live, func(a, b *modelHold) int { return cmp.Compare(a.made, b.made) })
	return live
}

// unitsOf counts what a buyer holds, pays for and has bought.
func (m *model) unitsOf(e *modelEvent, buyer holdfast.BuyerID) (n int) {
	for _, h := range m.holds {
		if h.event == e && h.buyer == buyer {
			n += len(h.units)
		}
	}
	return n
}

// orders are the event's orders in the order of sale.
func (m *model) orders(e *modelEvent) (orders []*modelHold) {
	for _, h := range m.holds {
		if h.event == e && h.state == holdfast.HoldSold {
			orders = append(orders, h)
		}
	}
	slices.SortFunc(orders, func(a, b *modelHold) int { return cmp.Compare(a.sold, b.sold) })
	return orders
}

func (h *modelHold) amount() holdfast.Money {
	total := holdfast.Money{Currency: h.event.spec.Currency}
	for _, u := range h.units {
		total.AmountMinor += h.prices[h.event.units[u].tier]
	}
	return total
}

func countOf(wants []command.Want) (n int) {
	for _, w := range wants {
		n += max(int(w.Count), len(w.Seats))
	}
	return n
}

// tell fills in the facts that go with an outcome, as they are now: of a repeat they may have changed since.
func (m *model) tell(c command.Command, r *command.Result) {
	e := m.events[c.Head().Event]
	switch c := c.(type) {
	case *command.Mark:
		m.marked = true
	case *command.PutEvent, *command.SetSale:
		if e != nil {
			r.Event, r.Shard, r.Version = e.id, m.shard, e.version
		}
	case *command.Block:
		if r.Outcome == holdfast.SeatTaken {
			taken := e.takenOf(c.Seats)
			r.Taken = taken[:min(len(taken), command.ResultSeatsMax)]
		}
	case *command.Hold:
		if r.Outcome == holdfast.OK {
			m.tellHold(holdfast.HoldID(c.ID), r)
		}
		if e != nil {
			m.tellWants(e, c.Buyer, e.ask(c.Allocation, c.Wants, nil), r)
		}
	case *command.Swap:
		if e == nil {
			return
		}
		var own []holdfast.SeatIndex
		h, found := m.findHold(e, c.Hold)
		if found != holdfast.HoldUnknown && (h == nil || h.buyer == c.Buyer) { // refusals may go before the question whose it is
			m.tellHoldUnlessUnknown(c.Hold, r)
		}
		if h != nil && h.buyer == c.Buyer && h.state == holdfast.HoldOpen {
			own = h.units
		}
		m.tellWants(e, c.Buyer, e.ask(c.Allocation, c.Wants, own), r)
	case *command.Extend:
		m.tellHoldUnlessUnknown(c.Hold, r)
	case *command.Release:
		m.tellHoldUnlessUnknown(c.Hold, r)
	case *command.BeginPayment:
		m.tellHoldUnlessUnknown(c.Hold, r)
	case *command.Sell:
		m.tellHoldUnlessUnknown(c.Hold, r)
	default:
		m.tellLine(e, c, r)
	}
}

// tellHold tells of a hold; of one that is gone only its id is left.
func (m *model) tellHold(id holdfast.HoldID, r *command.Result) {
	r.Hold = id
	if h := m.holds[id]; h != nil {
		r.Deadline, r.Amount, r.Seats, r.Attempt = h.deadline, h.amount(), h.units, h.attempt
	}
}

func (m *model) tellHoldUnlessUnknown(id holdfast.HoldID, r *command.Result) {
	if r.Outcome != holdfast.EventUnknown && r.Outcome != holdfast.HoldUnknown && r.Outcome != holdfast.HoldNotYours {
		m.tellHold(id, r)
	}
}

// tellWants tells what the buyer may still have, what is in the way, and what could be wanted instead.
func (m *model) tellWants(e *modelEvent, buyer holdfast.BuyerID, ask modelAsk, r *command.Result) {
	m.tellBuyer(e, buyer, r)
	switch r.Outcome {
	case holdfast.SeatNotForYou, holdfast.SeatSold, holdfast.SeatInPayment, holdfast.SeatHeld:
		r.Taken = e.refused(ask)
		if len(r.Taken) > 0 {
			r.Near = e.near(ask, r.Taken[0])
		}
	case holdfast.SeatOrphaned:
		if pick := e.pickNamed(ask); pick.outcome == holdfast.OK {
			r.Near = e.tidier(ask)
		}
	}
}

// tellBuyer tells what the buyer may still have, and what is in the way.
func (m *model) tellBuyer(e *modelEvent, buyer holdfast.BuyerID, r *command.Result) {
	if limit := int(e.rules().SeatsPerBuyer); limit > 0 {
		r.Allowance = uint16(max(limit-m.unitsOf(e, buyer), 0))
	}
	switch r.Outcome {
	case holdfast.BuyerHasHold:
		if live := m.liveHolds(e, buyer); len(live) > 0 {
			m.tellHold(live[len(live)-1].id, r)
		}
	case holdfast.BuyerCoolingDown:
		left := m.clock.Until(e.coolUntil[buyer])
		r.RetryAfterMs = uint32((left + time.Millisecond - 1) / time.Millisecond)
	}
}

// timed reports whether something waits for the hold clock.
func (m *model) timed() bool {
	for _, h := range m.holds {
		if h.state != holdfast.HoldSold {
			return true
		}
	}
	for _, e := range m.events {
		if e.sale == holdfast.SaleOpen || e.line != nil && m.looking(e) > 0 {
			return true
		}
	}
	return len(m.remembered) > 0
}

// eventIDs lists the events by number.
func (m *model) eventIDs() []holdfast.EventID { return slices.Sorted(maps.Keys(m.events)) }
