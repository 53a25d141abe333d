// Package history is what the clients of a test saw: every operation with its call and return, its answer, and
// the point of the log that the answer named. It knows nothing of how the system works.
//
// A Recorder is safe for concurrent use.
package history

import (
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Kind says what an operation asked for.
type Kind uint8

// The kinds.
const (
	Hold    Kind = 1 // these seats, all or none
	Sell    Kind = 2 // without a payment (invoiced), or with Attempt the payment that Pay began
	Release Kind = 3
	Read    Kind = 4 // the states of these seats, linearizable
	Pay     Kind = 5 // begin Attempt to pay
)

func (k Kind) String() string { return [...]string{"?", "hold", "sell", "release", "read", "pay"}[k] }

// Operation is one call of one client.
type Operation struct {
	Client  int
	Kind    Kind
	Command holdfast.CommandID // zero: of a read
	Hold    holdfast.HoldID
	Buyer   holdfast.BuyerID
	Seats   []holdfast.SeatIndex
	// Attempt is the number of the attempt to pay, of a Pay and of a Sell that was paid for; 0: invoiced.
	Attempt holdfast.Attempt
	// Call and Return are instants of the test's clock. A call whose answer is unknown has no Return: it may have
	// had its effect at any time after Call, or never.
	Call, Return time.Duration
	// Outcome is what the shard decided; 0: unknown. A read that was answered has OK.
	Outcome holdfast.Outcome
	// Repeated says that the outcome was told again, so that Stamp is where it was told and not where it was decided.
	Repeated bool
	Taken    []holdfast.SeatIndex // of a refused hold: the seats that were not to be had
	States   []holdfast.SeatState // of a read: the states of Seats
	Deadline holdfast.Clock       // of a hold, or a payment that began: when it ends; 0: not told
	Stamp    holdfast.Stamp
	// Decided is where the log has the command first, if it was read at the end. A command that is not in it has none.
	Decided holdfast.Stamp
}

// Unknown reports whether the caller never learned what became of the operation.
func (o *Operation) Unknown() bool { return o.Outcome == 0 }

// Recorder collects operations.
type Recorder struct {
	mu         sync.Mutex
	operations []Operation
}

// Add records an operation that is over, or whose caller has given up.
func (r *Recorder) Add(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
}

// Operations gives what was recorded so far.
func (r *Recorder) Operations() []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Operation(nil), r.operations...)
}

// Final is the end of a test, read back after all faults are healed.
type Final struct {
	Clock  holdfast.Clock // at which it was read
	Seats  []holdfast.SeatState
	Orders []Order
	// Logged says that the log was read too: Decided of every operation is what it says.
	Logged bool
}

// Order is a sale as it was read back.
type Order struct {
	ID    holdfast.OrderID
	Buyer holdfast.BuyerID
	Seats []holdfast.SeatIndex
}
