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
	Swap    Kind = 6 // these seats in place of those that the hold Had, or no change
	Extend  Kind = 7 // a later deadline, once
	// What organizers do.
	TakeOff Kind = 8  // block these seats: off sale
	PutBack Kind = 9  // unblock them
	SetSale Kind = 10 // bring the sale into the state Sale
	Put     Kind = 11 // change the event as Change says
	kindEnd Kind = 12
)

var kindNames = [kindEnd]string{"?", "hold", "sell", "release", "read", "pay", "swap", "extend", "block", "unblock", "set_sale", "put"}

func (k Kind) String() string { return kindNames[k] }

// Operation is one call of one client.
type Operation struct {
	Client  int
	Kind    Kind
	Command holdfast.CommandID // zero: of a read
	Hold    holdfast.HoldID
	Buyer   holdfast.BuyerID
	Seats   []holdfast.SeatIndex
	// Best says what a hold or a swap wanted that left the choice to the shard; Seats are then those that it was given, if
	// known. Also are further things that it wanted.
	Best *Best
	Also []Best
	Had  []holdfast.SeatIndex // of a swap: the seats that the hold had before, as its client knew
	// Sale and Put are what an organizer asked for.
	Sale holdfast.SaleState
	Put  *Description
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
	Amount   int64                // of a hold, what it costs as it was told, in minor units; 0: not told
	Stamp    holdfast.Stamp
	// Decided is where the log has the command first, if it was read at the end. A command that is not in it has none.
	Decided holdfast.Stamp
}

// Best is what a hold wanted that named no seats.
type Best struct {
	Count    int
	Section  holdfast.SectionIndex // AnySection: of all
	Tier     holdfast.TierIndex    // AnyTier: of all
	Adjacent bool                  // only units side by side in one block
	General  bool                  // places of a section without seats
	Seats    []holdfast.SeatIndex  `json:",omitempty"` // just these, which are Count; none: any
}

// Description is how an organizer wanted an event to be from then on. It changes nothing when the event is not at the
// version that it was made for.
type Description struct {
	Expect  uint32 // version
	Price   int64
	HoldTTL time.Duration
	Grown   []Block // what it has more than before; units are numbered behind all that there are
}

// Units is how many units a hold wanted.
func (o *Operation) Units() (n int) {
	if o.Best == nil {
		return len(o.Seats)
	}
	n = o.Best.Count
	for i := range o.Also {
		n += o.Also[i].Count
	}
	return n
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

// History is everything that is known of one event of a run.
type History struct {
	Head
	Operations []Operation
	Changes    []Change
	Sights     []Sight
	Visits     []Visit
	Polls      []Poll
	Charges    []Charge
	Refunds    []Refund
	Privates   []Private
	Draw       *Draw // nil: there was none
	Faults     []Fault
	Final      Final
	// Differences are what the system's own comparison of the provider's books with its orders found at the end; it is
	// believed when it finds something.
	Differences []string
}

// Head says what a history is about.
type Head struct {
	Workload string
	Seed     uint64
	Began    time.Time     // 0 of all instants
	Length   time.Duration // of the load
	House    House
	// What the shard was told to hold buyers and holds to.
	HoldTTL, PayWindow, CoolDown time.Duration // 0: nothing lapses while the run lasts
	Extension                    time.Duration `json:",omitempty"` // of a hold, once
	Price                        int64         `json:",omitempty"` // of every unit; 0: prices are not checked
	SeatsPerBuyer                int           // 0: no limit
	ManyHolds                    bool          // of one buyer at a time
	Waited                       bool          // before the end was read, until the shop should have been quiet
}

// House is how units lie: blocks of neighbours, which are rows, or sections without seats.
type House []Block

// Block is units with consecutive numbers.
type Block struct {
	First   holdfast.SeatIndex
	Count   int
	Section holdfast.SectionIndex
	Tier    holdfast.TierIndex
	General bool // places, of which none lies beside another
}

// Units is how many the house has.
func (h House) Units() (n int) {
	for _, b := range h {
		n += b.Count
	}
	return n
}

// Change is what a watcher was told once.
type Change struct {
	Watcher  int
	At       time.Duration
	Anew     bool              // the first of a watch that began with nothing
	Revision holdfast.Revision // after it
	// Cut: States is every unit, and what the watcher knew is to be forgotten. Else Seats have become States.
	Cut    bool
	Seats  []holdfast.SeatIndex
	States []holdfast.SeatState
}

// Sight is a read of the whole house.
type Sight struct {
	Client       int
	Call, Return time.Duration
	Stale        bool // it may be of the past
	Revision     holdfast.Revision
	Stamp        holdfast.Stamp
	States       []holdfast.SeatState
}

// Visit is one buyer's way through a shop: what he was told, by the frontends.
type Visit struct {
	Number  int
	Place   int64  // in the line; -1: was told none
	Key     string // under which he is in it, in hex
	Hold    holdfast.HoldID
	Seats   []holdfast.SeatIndex // that he was told he holds
	Sold    bool                 // that he was told he has bought
	Amount  int64                // that he was told to pay
	Paid    bool                 // he has given his card for it
	Told    string               // the last word, of a frontend
	Began   time.Duration
	Ended   time.Duration
	Refused []string // what should not have been
}

// Draw is what is public about the order of a line. All hashes are in hex.
type Draw struct {
	Event      holdfast.EventID
	Told       string // the commitment, as it was told before anybody had joined
	Commitment string // as it stands in the record
	Secret     string
	Chain      string // over all who take part
	Seed       string
	Cohort     uint32 // how many take part: the first places
	Beacon     string `json:",omitempty"` // the signature of the beacon's round that it was made from; empty: of none
}

// Poll is one look at a place in the line.
type Poll struct {
	Visit        int
	Call, Return time.Duration
	Place        int64
	Position     int64 // -1: not told
	State        string
}

// Charge is a payment in the provider's books.
type Charge struct {
	Payment  string
	Event    holdfast.EventID
	Hold     holdfast.HoldID // that it is for
	Attempt  int
	Status   string
	Captured int64
	Refunded int64
}

// Fault is what was done to the system meanwhile.
type Fault struct {
	Names  []string
	From   time.Duration
	Healed time.Duration
	Until  time.Duration // when the next began, or the load ended
	Single bool          // it struck one member
	// Destroys: what a member had may be lost with it.
	Destroys bool `json:",omitempty"`
}

// Refund is what an organizer wanted to be given back of an order.
type Refund struct {
	Order        holdfast.OrderID
	Seats        []holdfast.SeatIndex // whose tickets end
	Back         bool                 // the seats go on sale again
	Call, Return time.Duration
	Told         string // ok, refused; empty: nobody knows
}

// Private is one step about the data of a person, which may be forgotten.
type Private struct {
	Client int
	What   string // put, get and forget a key; ask one member for it; write and read what the shard keeps
	Hold   holdfast.HoldID
	Key    string        // which of the hold's keys, in hex
	Value  string        // that was put or written, or was told; empty: nothing
	Call   time.Duration // and when there was an answer; 0: there was none
	Return time.Duration
	Told   string // ok, none, forgotten
	Member string // that was asked, of ask
	// Of forget: who has confirmed, of how many.
	Confirmed []string
	Members   int
}

// What is done with private data, and told.
const (
	PutKey, GetKey, AskKey, ForgetKey = "put", "get", "ask", "forget"
	WriteBlob, ReadBlob               = "write", "read"

	ToldOK, ToldNone, ToldForgotten, ToldRefused = "ok", "none", "forgotten", "refused"
)

// Final is the end of a test, read back after all faults are healed.
type Final struct {
	Clock    holdfast.Clock // at which it was read
	Read     holdfast.Stamp // and where in the log
	Seats    []holdfast.SeatState
	Orders   []Order
	Revision holdfast.Revision // of the event then
	Quiet    bool              // nothing was in anybody's hands or owed any more when it was read
	// Logged says that the log was read too: Decided of every operation is what it says.
	Logged bool
}

// Order is a sale as it was read back.
type Order struct {
	ID    holdfast.OrderID
	Buyer holdfast.BuyerID
	Seats []holdfast.SeatIndex
	// Of a sale through a shop: what it cost, and what was captured for it and given back, in the orders' own books.
	Amount, Captured, Refunded int64
}

// Count is how many operations are in it, of clients and of watchers.
func (h *History) Count() int {
	return len(h.Operations) + len(h.Sights) + len(h.Changes) + len(h.Visits) + len(h.Polls) + len(h.Privates)
}
