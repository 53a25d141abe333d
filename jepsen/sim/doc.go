// Package sim runs whole clusters in virtual time: three real nodes with real Raft on a network and disks in memory,
// clients that claim seats, and a plan of faults that a seed decides. Afterwards everything is healed, the end is read
// back, and package check judges what the clients were told.
//
// A run happens in a testing/synctest bubble, so minutes pass in a second. What is played is the plan, not the
// schedule: goroutines run as they please, so a seed that failed may pass the next time. The clocks, the disks and
// the network are the simulation's; the nodes do not know.
//
// What a fault is made of:
//
//   - A crash takes disk and network away. Of the disk there is left what was synced, and some of the rest, garbled.
//     The process that crashed goes on in a world of its own until it is stopped, since its goroutines cannot be
//     killed.
//   - A pause holds up everything that goes in and out of a node. Its goroutines go on, so a leader notices and steps
//     down, as a stopped process would not: for that there are sluggish nodes, which believe in their leadership for
//     seconds.
//   - Wall clocks jump. The monotonic ones only drift.
//
// Some runs have scenes besides: people who come through frontends by package client, pay, wait in line, or change the
// event. What befalls the frontends and the payment provider then is in the plan too.
//
// Not played here: disks that answer with an error (the library panics when it cannot save its term, and would end
// the test; package node tests these), and what bbolt and the operating system make of a crash (package jepsen kills
// real processes).
package sim
