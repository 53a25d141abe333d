// Package exact plays what is ours and single-threaded, bit for bit: the shard's machine and its encoding, the law of the hold clock,
// the leases and the budget of a leader's memory, the clerk that carries out what is owed, and what a client does after each answer.
// All of it is the product's code; what stands between (network, log, bank, processes) is played here, by a seed, in virtual time.
//
// Nothing runs beside anything. What waits in the middle of a function is a fiber, which is left and entered at stated points; there
// is no other goroutine, no real time, no map's order and no chance but the seed's. So one seed is one trace, byte for byte, and a
// plan that fails fails again: it is then made as small as it can be and told as a story.
//
//	plan.go      what happens: buyers and faults, drawn from a seed
//	world.go     virtual time, chance, the trace; fiber.go: who waits
//	shard.go     a log with leaders that change, over the true machine
//	caller.go    a process's way to the shard, by the client's own rules
//	bank.go      a payment provider, good and bad; teller.go: the way there
//	worker.go    settlement: leases, and the clerk
//	buyer.go     people, and the edge that serves them
//	faults.go    what goes wrong
//	check.go     what must be, after every entry and in the end
//	minimise.go  less of a plan that fails in the same way
package exact
