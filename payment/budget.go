package payment

import "time"

// Class is a kind of work at the provider. The numbers are the order of priority: what comes first gets what there
// is, and the others get what is left and their floor.
type Class uint8

// The classes.
const (
	Creating    Class = 0 // buyers who are about to pay
	Looking     Class = 1 // a payment whose seats wait for the answer
	Cancelling  Class = 2 // of payments that take the money at once: their seats wait for the cancel
	Capturing   Class = 3 // due by a latest time, which orders them among themselves
	Voiding     Class = 4
	Refunding   Class = 5
	Reconciling Class = 6 // reading lists
)

// Classes is how many classes there are.
const Classes = 7

var classNames = [Classes]string{"create", "look", "cancel", "capture", "void", "refund", "reconcile"}

func (c Class) String() string { return classNames[c] }

// cost is how many requests one act of a class takes when nothing goes wrong. A refund looks before it is made.
var cost = [Classes]struct{ reads, writes uint64 }{
	Creating: {0, 1}, Looking: {1, 0}, Cancelling: {0, 1}, Capturing: {0, 1}, Voiding: {0, 1}, Refunding: {1, 1}, Reconciling: {1, 0},
}

// Limits says how fast requests may go to the provider. The zero value of a field takes the default.
type Limits struct {
	ReadsPerSecond, WritesPerSecond uint32        // default 80: Stripe allows 100 of either, and the rest is for repeats, webhooks and people
	Burst                           time.Duration // how long unused requests are kept; default 1 s
}

// Acts counts acts of every class.
type Acts [Classes]uint32

const (
	micro      = 1_000_000 // of one request
	passMax    = time.Minute
	limitMax   = 100_000 // requests a second; far above any account's, and keeps the products below 2^64
	floorShare = 50      // every class has 1/50 of the flow for itself, so that none starves while buyers come
)

// Budget shares the provider's limits among the classes: pure arithmetic, in which time passes when it is told. One
// budget stands for the whole cluster, whoever carries the acts out, since the provider counts by account. In any
// span of time it grants at most the flow of that span, plus the burst, plus a second's floors. It is not safe for
// concurrent use.
type Budget struct {
	reads, writes pool
}

// pool holds the unused requests of one kind, in millionths of a request.
type pool struct {
	rate   uint64 // requests a second
	max    uint64 // of common
	ownMax uint64
	common uint64
	own    [Classes]uint64 // the floors
	uses   [Classes]bool   // classes that have a floor here
}

// NewBudget makes a budget whose burst is full.
func NewBudget(l Limits) *Budget {
	if l.Burst <= 0 {
		l.Burst = time.Second
	}
	l.Burst = min(l.Burst, passMax)
	b := &Budget{}
	for _, p := range []struct {
		pool *pool
		rate uint32
		cost func(Class) uint64
	}{
		{&b.reads, l.ReadsPerSecond, func(c Class) uint64 { return cost[c].reads }},
		{&b.writes, l.WritesPerSecond, func(c Class) uint64 { return cost[c].writes }},
	} {
		rate := min(uint64(p.rate), limitMax)
		if rate == 0 {
			rate = 80
		}
		full := max(rate*uint64(l.Burst/time.Microsecond), micro)
		*p.pool = pool{rate: rate, max: full, common: full, ownMax: max(rate*micro/floorShare, micro)}
		for c := range Class(Classes) {
			p.pool.uses[c] = p.cost(c) > 0
		}
	}
	return b
}

// Pass lets time go by. More than a minute counts as a minute.
func (b *Budget) Pass(d time.Duration) {
	us := uint64(max(0, min(d, passMax)) / time.Microsecond)
	b.reads.flow(us)
	b.writes.flow(us)
}

// flow adds rate x us millionths: to each class's floor first, what does not fit there to all.
func (p *pool) flow(us uint64) {
	flow := p.rate * us
	share := flow / floorShare
	for c, uses := range p.uses {
		if uses {
			took := min(share, p.ownMax-p.own[c])
			p.own[c] += took
			flow -= took
		}
	}
	p.common = min(p.common+flow, p.max)
}

func (p *pool) affords(c Class, cost uint64) uint64 {
	if cost == 0 {
		return limitMax * 60
	}
	return (p.own[c] + p.common) / (cost * micro)
}

func (p *pool) take(c Class, tokens uint64) {
	own := min(tokens, p.own[c])
	p.own[c] -= own
	p.common -= tokens - own
}

// Grant gives acts out, in the order of the classes, and counts them as spent: at most what is wanted of each.
func (b *Budget) Grant(want Acts) (granted Acts) {
	for c := range Class(Classes) {
		n := min(uint64(want[c]), b.reads.affords(c, cost[c].reads), b.writes.affords(c, cost[c].writes))
		b.reads.take(c, n*cost[c].reads*micro)
		b.writes.take(c, n*cost[c].writes*micro)
		granted[c] = uint32(n)
	}
	return granted
}

// GiveBack returns acts that were granted and not carried out.
func (b *Budget) GiveBack(acts Acts) {
	for c := range Class(Classes) {
		n := uint64(min(acts[c], limitMax))
		b.reads.common = min(b.reads.common+n*cost[c].reads*micro, b.reads.max)
		b.writes.common = min(b.writes.common+n*cost[c].writes*micro, b.writes.max)
	}
}

// Limited says that the provider refused a request for too many: what is unused is lost, so that all slow down.
func (b *Budget) Limited() {
	b.reads.common, b.writes.common = 0, 0
	b.reads.own, b.writes.own = [Classes]uint64{}, [Classes]uint64{}
}
