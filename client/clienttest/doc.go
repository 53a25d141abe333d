// Package clienttest serves a cluster in memory to tests of programs that use package client: the true state machines
// of a shard and of the directory, behind the true wire, without replication, disks or a running clock.
//
// Time stands still until Advance. Several members answer, of which one leads; StepDown makes another one lead. What
// a network does to a client can be asked for: FailNext, DropReply, Stall. At the end of the test the machines'
// invariants are checked.
//
// It is the shards' own decisions that a test sees, so nothing has to be mocked. What it cannot show is what depends
// on replication: for that there is jepsen.
package clienttest
