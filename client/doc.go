// Package client is the Go library of holdfast: what frontends, the command line and the tests hold and sell with.
//
// # What it promises
//
//   - Every command has an id before it leaves, and is repeated only with that id, so it happens at most once.
//   - A call ends in one of three ways. An answer: the shard decided yes. A *Refusal: the shard decided no, for one
//     of the reasons of holdfast.Outcome (errors.Is(err, holdfast.SeatSold)). A *holdfast.Error: it could not be
//     decided, and its Kind says what to do (errors.Is(err, holdfast.Unavailable)).
//   - holdfast.Unknown is never hidden: once an attempt may have happened, only an outcome from the shard's log ends
//     the call. The error carries the id; the same request with that id asks again, safely.
//   - A call ends by its context's deadline, or after the client's timeout when the context has none.
//   - Reads are linearizable unless AllowStale is asked for. Every answer carries the point of the shard's history
//     at which it was true.
//
// # How a claim travels
//
// Each shard has a lane: a bounded queue, one goroutine that packs what is queued into a batch and sends it to the
// shard's leader, and one that hands the results out. Many goroutines that claim at once share batches, so the cost
// of a round trip is shared too. Do takes a batch that the caller has already.
//
// Who leads is learned from any member, and from the answers of those who do not lead any more. The table in
// retry.go is the only place that decides what follows from a failure.
//
// # Goroutines
//
// A lane has its sender (from when the shard is first heard of until Close) and one receiver for each open
// stream. Learning routes takes one short goroutine a member. Close stops and waits for all of them.
//
// # Where to start
//
// example_test.go runs and is the tour; package clienttest serves a real shard in memory to tests.
package client
