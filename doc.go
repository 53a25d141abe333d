// Package holdfast holds the words of holdfast: ids, quantities, limits, outcomes and the one shape of an error.
// It has no behaviour beyond parsing and printing, and imports the standard library only, so that every other
// package can speak the same language.
//
// holdfast keeps the inventory of events in Raft-replicated shards, so that a seat is claimed by exactly one
// buyer whatever fails. The folders, in the order in which a claim passes through them:
//
//	client/         batches concurrent claims, finds the shard's leader, repeats with the same id
//	rpc/            the contract on the wire and its servers
//	node/           one member of the cluster: packs claims into log entries, replicates, applies
//	fsm/            the shard's state machine: pure and deterministic, where every claim is decided
//	fsm/command/    commands and results in their packed form, a leaf that client, rpc and node share
//	fsm/directory/  which shard has which event
//	payment/        who moves the money: Stripe, and a sandbox that speaks Stripe's HTTP
//	cmd/holdfast/   the command line
//	jepsen/         proof under faults
//
// Read docs/architecture.md next, then fsm/doc.go.
package holdfast
