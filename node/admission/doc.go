// Package admission says how many people of a waiting line are let in, second by second.
//
// It is a control law: a pure function of what the leader of a shard sees (Facts) and of a small memory. It reads no
// clock and draws no lot, so that package surge can run it against thousands of simulated people on virtual time, and a
// test can say what it does. It may use floating point, since it decides for one leader only; what it decided is
// committed as a whole number, and the state machine clamps it once more by rules of its own.
//
// docs/admission.md argues for the law and shows what it does with surges.
package admission
