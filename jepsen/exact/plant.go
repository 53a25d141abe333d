package exact

// Plant is a deliberate fault, in what is played here around the product's code. Each must be caught: a check that has never caught
// anything proves nothing.
type Plant uint8

// The planted faults.
const (
	Nothing       Plant = iota
	FreshID             // a frontend asks again about an unknown outcome under a new id
	UnknownIsNo         // a client says "not attempted" when nobody knows
	EarlyAnswer         // a leader answers before a majority has the entry
	WallClock           // steps are measured on the wall clock
	NoBeginning         // a new leader goes on from its last reign's time
	NoFence             // an entry keeps its step in another term
	StaleSnapshot       // a member is restored from an older snapshot
	ForgottenVoid       // a cancelling is acknowledged and not made
	RefundAnew          // every try of a refund is another one to the bank
	EarlyCapture        // money is taken as soon as it is seen
	LateHint            // a webhook is taken for done before what follows from it is
	lastPlant     = LateHint
)

var plantNames = [...]string{"nothing", "a retry with a fresh id", "unknown told as not attempted", "an answer before the majority has it",
	"a hold clock on the wall", "a reign that counts what was before it", "a step that counts in another term", "a restore from an older snapshot",
	"a void that is forgotten", "a refund that is another one each time", "a capture before the sale",
	"a webhook that is answered before it is followed"}

func (p Plant) String() string { return plantNames[p] }

// Plants lists every planted fault.
func Plants() (all []Plant) {
	for p := Nothing + 1; p <= lastPlant; p++ {
		all = append(all, p)
	}
	return all
}
