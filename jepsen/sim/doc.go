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
//   - A crash may wait for a certain step of what the node does to its disk, and come just before or after it.
//   - A disk that fails lets every sync fail. The node must end by itself, as its process would; one that ends without
//     such a reason is a violation. When the library cannot save its term it ends the process, and the test with it: so
//     there the node crashes in that instant.
//   - A disk rots while its node is down. A node that notices gets an empty disk, and comes back as another member.
//   - Wall clocks jump. The monotonic ones only drift.
//
// Some runs have scenes besides: people who come through frontends by package client, pay, wait in line, or change the
// event. What befalls the frontends and the payment provider then is in the plan too.
//
// Plans are of several kinds (kinds.go), which differ in how fast everything goes. Workers (worker.go) are processes that
// play plans, and a Player starts them and takes what they say. A plan that failed is kept as a file, since what a seed
// makes changes with this package; those that found something are in testdata/plans.
//
// Not played here: what bbolt and the operating system make of a crash (package lossy cuts the power below bbolt, and
// jepsen run kills real processes), rot in archives, which nobody but verify reads, and more than three members.
package sim
