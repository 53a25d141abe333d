// Package frontend is the edge of holdfast: an HTTP server that takes the crowd, lines it up, and sells it seats. It
// keeps nothing that cannot be thrown away. A frontend can be killed at any time, and any other one that has the same
// fleet secret goes on with the same visitor, place, session and hold, because each of these is either in the shard's
// log or in what the visitor carries.
//
// # The way of a visitor
//
//	join   joins that arrive while the last Enter is in flight become one Enter{count, root}   join.go, line.go
//	wait   polls compare the place's number with what the feed says is served                  place.go, board.go
//	come   the first poll after the call redeems the place: the shard opens the session        place.go
//	hold   claims go to the shard with the visitor's key                                       hold.go
//	pay    the provider is asked by package payment's worker, never by a handler               checkout.go
//
// A poll costs the cluster nothing and this process a MAC. What the visitor carries is a token (token.go): a cache of
// the place with a MAC for polls and a signature for when it matters. The proof is the path to the block's root, which
// the shard checks itself.
//
// # What protects the process
//
// Every request has a class (viewer, waiter, holder). A full house sheds viewers first, then waiters, and holders of
// seats last (shed.go); addresses and sessions have buckets (limit.go). Every refusal says why and when to come again
// (answer.go).
//
// # Where to start
//
// routes.go lists everything that is served, and for whom; openapi.yaml says what it answers, and a test holds the two
// against each other.
package frontend
