// Package settle carries out what shards owe the world: it asks the payment provider and tells the shard what it said.
//
// A shard decides in its log what is to be done (an effect), and a Worker does it, at least once, and acknowledges it
// through the log. Nothing that a worker knows matters: it may die between any two steps, and another goes on from the
// log. Every call to the provider is safe to repeat, and every command to the shard is decided by what it says and not
// by how often it comes.
//
//	worker.go     leases effects and hands them to a bounded number of goroutines
//	clerk.go      what one payment's work is done with
//	carry.go      one effect: ask the provider, acknowledge
//	look.go       one payment: fetch it, then Sell, FailPayment, StrayMoney or Dispute: all that a hint may lead to
//	hint.go       the provider's webhooks
//	reconcile.go  the provider's list against the shard's books, both ways
//	grants.go     this process's part of the provider's limits
//
// What goes wrong has one of three causes. The provider said no: that is told to the shard, which decides. Nobody knows
// (a time-out, an error of the provider): the effect is put off, and repeated with the same key. The shard cannot be
// reached: nothing is told, and the lease runs out.
package settle
