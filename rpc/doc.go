// Package rpc serves a node to clients, by the contract of rpc/api.
//
// # What it promises
//
//   - What comes in is checked before it goes on: sizes, every field of every command, and that a command belongs to
//     its shard. The node copies commands into its log as they are, so this is the border.
//   - Nothing here waits without a bound: batches in flight of a stream, streams of a connection, connections, the
//     time of a call.
//   - A failure is told by its kind, with what the caller needs to go on (see convert.Status); a refusal is a result.
//   - Close answers what was taken in before it ends a stream, for as long as that is reasonable.
//
// It decides nothing about seats, and knows nothing of Raft.
//
// # Goroutines
//
// A stream of claims has two: gRPC's own, which sends results, and one that receives batches. Between them and the
// node there is no goroutine, channel or future for a command, only for a batch.
//
// Until certificates come, it serves in plain text, and therefore on loopback addresses only.
package rpc
