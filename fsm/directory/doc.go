// Package directory is the state machine of shard 0: which event has which number, and which shard owns it. It has
// the form of package fsm: no I/O, no clock, no goroutine, no randomness; log entries go in, one result per command
// comes out, and replicas that applied the same entries have the same state.
//
// What it promises:
//
//   - A name is given a number and a shard once, for good. Numbers count from 1 without gaps.
//   - The event goes to the shard with the fewest events; of equals, to the one with the lowest number.
//   - The same name with the same description is answered with the same numbers again, whatever the command's id:
//     an assignment is idempotent by its contents. So, unlike the shards, the directory neither remembers outcomes
//     nor looks at a command's validity; nothing in it waits for the clock.
//   - A frontend's public key is known from one PutKey until it expires; there are at most holdfast.KeysMax.
//   - The same name with another description is refused with EventConflict and the numbers of the event that there is.
//
// The description is kept as it was first given. It is for the leader of the event's shard, which creates from it what
// is assigned there and missing (docs/decisions/0005-the-shards-leader-creates-its-events.md); what the event has
// become since, its shard knows.
//
// A Machine is not safe for concurrent use: its owner locks. Assignments and cuts may be read from other goroutines
// while the machine goes on, since what is assigned is never written again.
package directory
