// Package outbox is what the leaders of shards tell settlement workers: which effects are theirs for a while (Leases),
// and how many calls to the payment provider they may make (Budgets). All of it is memory of one reign, and none of it
// has to be true for money to be right: effects are at least once, and the log decides each acknowledgement once.
//
// It is a leaf beside package node, so that tests can serve it without a cluster. It has no clock and no goroutine.
package outbox
