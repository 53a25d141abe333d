package exact

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Plan is all that happens from outside. Everything else follows: the same plan gives the same trace.
type Plan struct {
	Seed   uint64 `json:"seed"`           // that it was drawn from, and of what chance decides besides
	Places int    `json:"places"`         // seats in a row; and half as many places to stand
	Most   int    `json:"most,omitempty"` // that one buyer may have; 0: no limit
	// The event's rules.
	HoldFor   time.Duration `json:"hold_for"`
	PayFor    time.Duration `json:"pay_for"`
	AgainFor  time.Duration `json:"again_for"`
	ManyHolds bool          `json:"many_holds,omitempty"`
	KeepFees  bool          `json:"keep_fees,omitempty"`
	Steps     []Step        `json:"steps"` // in the order of their time
}

// Step is a buyer who comes, or a fault.
type Step struct {
	At     time.Duration `json:"at"`
	Kind   Kind          `json:"kind"`
	Course Course        `json:"course,omitempty"`  // of a buyer
	AtOnce bool          `json:"at_once,omitempty"` // the buyer's method takes the money at the confirmation
	Size   int           `json:"size,omitempty"`    // places of a buyer; how many messages, steps or seconds of a fault
	For    time.Duration `json:"for,omitempty"`     // how long a fault lasts
	Seed   uint64        `json:"seed"`              // of what chance decides about it: taking other steps out of a plan leaves it as it is
}

// Kind says what a step is.
type Kind uint8

// The kinds of steps.
const (
	Buyer Kind = iota
	LeaderDies
	LeaderStepsDown
	LeaderCutOff
	SlowLog
	LostAnswers
	LostRequests
	Doubles
	SlowNetwork
	WorkerDies
	EdgeDies
	BankDown
	BankFailsAfter
	BankFailsBefore
	BankSlow
	BankLimits
	BankTwice
	HintsLate
	HintsTwice
	HintsLost
	WallJump
	Restored
	LastKind = Restored
)

var kindNames = [...]string{"buyer", "leader-dies", "leader-steps-down", "leader-cut-off", "slow-log", "lost-answers", "lost-requests", "doubled-commands",
	"slow-network", "worker-dies", "edge-dies", "bank-down", "bank-fails-after", "bank-fails-before", "bank-slow", "bank-limits", "bank-twice", "hints-late",
	"hints-twice", "hints-lost", "wall-jump", "restored"}

func (k Kind) String() string { return kindNames[k] }

// MarshalText gives the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads it.
func (k *Kind) UnmarshalText(b []byte) error {
	i := slices.Index(kindNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("no step is a %q", b)
	}
	*k = Kind(i)
	return nil
}

// Course is how a visit goes, as far as the buyer decides it.
type Course uint8

// The courses.
const (
	Pays Course = iota
	Leaves
	Releases
	GoneBeforeCreate
	GoneAfterCreate
	NeverPays
	PaysLate
	AtTheBank
	PaysTheOldAttempt
	DeclinedFirst
	CaptureFails
	Refunded
	Disputes
	CancelledAtBank
	lastCourse = CancelledAtBank
)

var courseNames = [...]string{"pays", "leaves", "gives them back", "is gone before the payment is made", "is gone once the payment is made", "never pays",
	"pays when it is late", "waits for the bank's word", "begins anew and pays both", "is declined and tries again", "has a card that cannot be captured",
	"pays and wants the money back", "pays and complains to the bank", "finds the payment cancelled at the bank"}

func (c Course) String() string { return courseNames[c] }

// MarshalText gives the course in words.
func (c Course) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads it.
func (c *Course) UnmarshalText(b []byte) error {
	i := slices.Index(courseNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("nobody's visit goes like %q", b)
	}
	*c = Course(i)
	return nil
}

// Story tells the step in a line.
func (s Step) Story(number int) string {
	at := fmt.Sprintf("%7.3fs  ", s.At.Seconds())
	lasts := fmt.Sprintf(" for %.1fs", s.For.Seconds())
	switch s.Kind {
	case Buyer:
		method := "by card"
		if s.AtOnce {
			method = "by a method that takes the money at once"
		}
		return fmt.Sprintf("%sbuyer %d wants %d, %s, and %s", at, number, s.Size, method, s.Course)
	case LeaderDies:
		return at + "the leader's process dies"
	case LeaderStepsDown:
		return at + "the leader steps down"
	case LeaderCutOff:
		return at + "the leader is cut off" + lasts
	case SlowLog:
		return at + fmt.Sprintf("entries take up to %.1fs to be committed", float64(s.Size)/1000) + lasts
	case LostAnswers:
		return at + fmt.Sprintf("%d of 100 answers get lost", s.Size) + lasts
	case LostRequests:
		return at + fmt.Sprintf("%d of 100 requests get lost", s.Size) + lasts
	case Doubles:
		return at + fmt.Sprintf("%d of 100 commands come twice, the second up to 40 s later,", s.Size) + lasts
	case SlowNetwork:
		return at + fmt.Sprintf("messages take up to %d ms", s.Size) + lasts
	case WorkerDies:
		return at + fmt.Sprintf("a settlement worker dies at its step %d from now, and is started again after %.1fs", s.Size, s.For.Seconds())
	case EdgeDies:
		return at + "a frontend dies with all that it was about to do"
	case BankDown:
		return at + "the bank does not answer" + lasts
	case BankFailsAfter:
		return at + "the bank does what it is asked and answers 500" + lasts
	case BankFailsBefore:
		return at + "the bank answers 500" + lasts
	case BankSlow:
		return at + fmt.Sprintf("the bank takes up to %d s", s.Size) + lasts
	case BankLimits:
		return at + "the bank refuses for too many requests" + lasts
	case BankTwice:
		return at + "every request to the bank comes twice" + lasts
	case HintsLate:
		return at + fmt.Sprintf("webhooks come up to %d s late", s.Size) + lasts
	case HintsTwice:
		return at + "webhooks come twice" + lasts
	case HintsLost:
		return at + "webhooks about payments are lost for good" + lasts
	case WallJump:
		return at + fmt.Sprintf("a member's wall clock jumps by %d s", s.Size)
	default:
		return at + "the machine is restored from a snapshot"
	}
}

// Story tells the plan in lines.
func (p Plan) Story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "a row of %d seats and places to stand; holds last %v, payments %v, unpaid orders %v\n", p.Places, p.HoldFor, p.PayFor, p.AgainFor)
	for i, s := range p.Steps {
		fmt.Fprintln(&b, s.Story(i+1))
	}
	return b.String()
}

// Draw draws a plan of so many steps in a span of time.
func Draw(seed uint64, steps int, span time.Duration) Plan {
	dice := rand.New(rand.NewPCG(seed, 0))
	p := Plan{Seed: seed, Places: 2 + dice.IntN(8), Most: []int{0, 0, 3, 4}[dice.IntN(4)], ManyHolds: dice.IntN(2) == 0, KeepFees: dice.IntN(2) == 0,
		HoldFor: seconds(dice, 6, 20), PayFor: seconds(dice, 8, 25), AgainFor: seconds(dice, 10, 30)}
	for i := range steps {
		s := Step{Seed: dice.Uint64(), At: time.Duration(i) * span / time.Duration(steps)}
		s.At += time.Duration(dice.Int64N(int64(span/time.Duration(steps)) + 1)).Truncate(time.Millisecond)
		if dice.IntN(5) < 3 {
			s.Course, s.AtOnce, s.Size = Course(dice.IntN(int(lastCourse)+1)), dice.IntN(3) == 0, 1+dice.IntN(3)
		} else {
			drawFault(dice, &s)
		}
		p.Steps = append(p.Steps, s)
	}
	return p
}

func drawFault(dice *rand.Rand, s *Step) {
	s.Kind = Kind(1 + dice.IntN(int(LastKind)))
	s.For = seconds(dice, 1, 20)
	switch s.Kind {
	case SlowLog:
		s.Size, s.For = 100+dice.IntN(3000), seconds(dice, 1, 6)
	case LostAnswers, LostRequests, Doubles:
		s.Size = 10 + dice.IntN(91)
	case SlowNetwork:
		s.Size = 20 + dice.IntN(1500)
	case WorkerDies:
		s.Size, s.For = 1+dice.IntN(12), seconds(dice, 1, 15)
	case LeaderCutOff:
		s.For = seconds(dice, 0, 2)
	case BankSlow, HintsLate:
		s.Size = 1 + dice.IntN(30)
	case WallJump:
		s.Size = []int{-3600, -30, -1, 1, 20, 600}[dice.IntN(6)]
	}
}

func seconds(dice *rand.Rand, from, to int) time.Duration {
	return time.Duration(from*1000+dice.IntN((to-from)*1000+1)) * time.Millisecond
}
