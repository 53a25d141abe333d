// Package node is one member of a cluster: it keeps a replica of every shard, packs the claims of the shards that it
// leads into log entries, has Raft replicate them, applies them, and answers.
//
// # A claim's way
//
// Submit takes a Batch: packed commands of one shard that go into one entry. The shard's queue (batch.go) bounds what
// waits. One goroutine (propose.go) packs what is queued, stamps it with the time that has passed, and proposes it;
// nobody else calls raft.Apply. Once a majority has the entry on disk, Raft hands it to ApplyBatch (apply.go), the one
// way into the state machine; the results are sliced out of the machine's output and given to each batch's Done. A
// thousand claims cost one entry, one copy of their commands, one of their results, and no goroutine or channel of
// their own.
//
// # What is promised to a caller
//
// A batch is answered once. Without an error its commands were decided at the stamped place in the log, and a majority
// has them on disk. With an error of kind Unknown they may have been decided or may be yet: only repeating them with the
// same ids tells. With an error of any other kind they were not attempted. One table decides which: proposer.verdict.
//
// Read answers as of after the call, unless staleness is allowed, by waiting for an entry that was packed after it
// (read.go). Watch (feed.go) sends what changes, from any replica, and replaces it by a cut for those who are slow.
// Snapshots, state hashes and seat maps are cuts: the machine goes on meanwhile (snapshot.go).
//
// # The keyring
//
// Beside the logs each member keeps keys to personal data, and who was forgotten (keyring.go, keyfiles.go): two sets that
// only grow, so that they merge without consensus. Members teach each other what they lack (personsync.go). What is
// promised is a member's own word: clients ask most of them, or all.
//
// # Time
//
// A shard's hold clock is the sum of its entries' steps. A step is the time since this leader's previous entry on its
// monotonic clock, at most StepMax; for its first entry, since its barrier was applied. So the clock stands still
// while nobody leads, and no failover, stall or jump of the wall clock ends a hold early. While something waits for the
// clock the leader packs an empty entry when none is due otherwise.
//
// # When things go wrong
//
// A failed assertion of a machine stops its shard on this node, and nothing else (halt.go). Doubt about the disk stops
// the node: Failed says so, and the process should end. A leader does nothing before its own barrier of the term has
// been applied. Defects of the Raft library that are known are guarded against where they would bite: two writes of a
// vote (#661, stablestore.go), a stuck transfer of leadership (#696, lead.go), a snapshot that is installed for ever
// (#697, snapshot.go). Its followers look late for a leader that is gone, so they are told when to (missleader.go).
//
// # What it stands on
//
// The ground is in the files that know nothing of claims: configuration and time (config.go, timing.go, clock.go),
// one listener for all groups (transport.go, preamble.go), who the peers are and how a cluster begins (peers.go,
// hello.go, bootstrap.go), and what is kept (storage.go and the stores under it, archive.go).
package node
