// Package sim has a disk and a network in memory, for whole clusters in one process: in a testing/synctest bubble,
// where hours pass in seconds, or outside of one. They do what real ones do at their worst: the disk forgets what
// was not synced, tears what was being written, fills up, fails and answers late; the network cuts links in one
// direction or both, delays, loses and resets.
//
// Both are seeded. A seed is a plan of faults, not of a run: goroutines are scheduled as they please.
package sim
