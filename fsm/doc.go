// Package fsm is a shard's state machine: where every claim is decided. It takes the entries of the shard's log, one
// after the other, and is otherwise alone: it reads no clock and no random source, does no I/O, starts no goroutine,
// and lets no map's order show. So replicas that applied the same entries have the same state, byte for byte in a
// snapshot, and a log can be replayed years later to the same end.
//
// # What an entry does
//
// Apply takes one entry, in this order and no other:
//
//  1. The hold clock moves on by the entry's step, the wall clock to the entry's if that is later.
//  2. What is due by then ends, in order of deadline and then of id: holds, and orders that were not paid again
//     (expire.go), then sessions (session.go).
//  3. Lines open and freeze, and sales open, whose time has come on the wall clock: see line.go.
//  4. Units that came free are offered to those who wait for them: see returns.go. Effects become due whose time to be
//     tried again has come: see effect.go.
//  5. Outcomes are forgotten whose commands are not valid any more.
//  6. Each command is decided in its slot: see decide in machine.go, then the file of its name. What came free by it is
//     offered before the next is decided.
//  7. Some records of buyers, payments and effects are looked at, and dropped if they mean nothing any more.
//  8. Lines that changed are told of, each once.
//
// A command gets an Outcome, which is remembered for as long as the command's id is valid: the same id again gets
// the same outcome again and does nothing, whatever has happened since. The facts in the answer (deadline, seats,
// allowance, alternatives) are not remembered but told anew, as they are now. Telling reads the state and does not
// change it, so replicas that nobody asks leave it out.
//
// Every command's function is in four paragraphs: what must hold, the refusals in the order of holdfast.Outcomes,
// what can be worked out, and the changes all at once. Nothing returns between two changes.
//
// # Two clocks
//
// The hold clock is the sum of the steps that leaders put into entries. It stands still while there is no leader, so
// an outage costs nobody a hold. Deadlines, cool-downs and validities are instants on it, and it alone decides. A
// hold is there before its deadline and gone at it, whether or not anybody looked in between.
//
// The wall clock, the largest that an entry carried, dates orders, opens and freezes lines, says by when a capture must be
// made, and when what is over may be forgotten.
//
// # What happens to a unit
//
//	free    → held      Hold, Swap; or it came back, and is offered to somebody who waits for it
//	held    → free      Release, Swap, or its hold lapses
//	held    → paying    BeginPayment
//	held    → sold      Sell, when it is free or invoiced
//	paying  → sold      Sell, or the provider says that its money was taken
//	paying  → free      its hold lapses after the grace, or at the provider's word
//	sold    → free      a Refund that returns it, or its order was not paid in time
//	free    → sold      by way of held, in one entry: money that came late rescues its order
//	free    → blocked   Block
//	blocked → free      Unblock
//
// A hold is open, then paying, then closing when its pay deadline is past and the grace runs, and cancelling when its
// payment takes its money at once and the provider has not said that none will come; its units are paying all that time.
// A hold that is sold is the order: the same record, id and units, for good.
//
// A buyer has one hold that is not sold at a time (unless the event allows more), whether it is open or in payment.
//
// # The line
//
// An event may have a waiting line; then Hold asks for a session. Who waits leaves nothing here but a share of a header:
// positions follow from the seed of the draw and from keys that the machine does not know until their holders come. See
// line.go, session.go, admit.go and returns.go, in this order, and package draw for what is hashed how.
//
// # Money
//
// An event may have Checkout rules; then an attempt to pay is a record with a ledger, and what is to be done at a provider
// (look, capture, void, refund) or told (mails, notifications) is an effect in the outbox, written by the entry that
// decided it. Workers do effects and acknowledge them by commands; nothing here calls anybody. Events without the
// rules owe nothing. See docs/payments.md, then payment.go, pay.go, sell.go, ack.go, order.go and stray.go, in this order.
//
// # What is kept
//
// All that the log made is in the struct state, in records.go: a snapshot is that and nothing else. Records lie in
// pages without pointers (pages.go, slab.go), so that Cut freezes the state in microseconds, whatever its size, and
// the garbage collector has nothing to look at. Whatever else a Machine has can be worked out from the state: indexes
// (index.go), the wheel of deadlines (wheel.go), free units (free.go), counters. Check does just that, and compares.
//
// An index is a place in the log. Machine.Index is the last one applied, and an answer, a cut, a snapshot and a
// digest say of which index they are: it names one state.
//
// # Assertions
//
// What a client can get wrong is refused, and leaders refuse what does not decode before it gets into the log. What
// then still cannot be is a bug or broken hardware: Apply panics with an *AssertionError before it could diverge, and
// the machine is of no use any more. Its owner halts the shard on that process; other shards go on.
//
// # Where to start
//
// machine.go, then hold.go; want.go and pick.go for which seats somebody gets; pay.go and sell.go for money, line.go for lines;
// machine_test.go for all of it by example.
package fsm
