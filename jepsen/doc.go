// Package jepsen breaks holdfast and looks whether its promises held. It is in parts that know as little as possible of
// each other:
//
//   - history: what clients saw. It knows nothing of the system.
//   - model: what an event is, in a few lines: one seat, and a whole house on a hold clock.
//   - check: judges a history by the model, by the log and by real time. Its own tests show it histories that are wrong,
//     each of which it must refuse.
//   - sim: whole clusters in virtual time, on disks and a network that break as a seed plans it; minutes in a second.
//     Broken parts are planted there, which the checks must notice.
//   - this package: real processes on real disks, killed and stopped while clients claim seats.
//
// All of it runs with go test ./jepsen/...; for longer:
//
//	go test ./jepsen/sim -run TestSimulation -seed 1 -seeds 100
//	go test ./jepsen -run TestKill -for 5m -v
package jepsen
