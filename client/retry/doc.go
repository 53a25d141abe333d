// Package retry is how a client goes on: what follows from the end of an attempt, when an id is too old to be used, and whose word
// about a shard's leader counts. It decides and does nothing: no clock, no goroutine, no connection. Package client does what it
// says, and a simulation can play it in virtual time, step for step.
package retry
