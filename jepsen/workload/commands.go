package workload

import "github.com/holdfast-db/holdfast/fsm/command"

// Sent says who sends commands of each kind while faults strike. A kind that is new belongs here: a test fails for one that
// is not, and for one that the table in docs/verification.md does not tell of.
var Sent = map[command.Kind]string{
	command.KindHold:         "seats",
	command.KindSwap:         "swaps",
	command.KindExtend:       "swaps",
	command.KindRelease:      "seats",
	command.KindBeginPayment: "seats",
	command.KindSell:         "seats",

	command.KindPutEvent: "organizer",
	command.KindSetSale:  "organizer",
	command.KindBlock:    "organizer",

	command.KindOpenLine:     "line",
	command.KindEnter:        "line",
	command.KindDraw:         "line",
	command.KindRedeem:       "line",
	command.KindAdmit:        "line", // the shard's leader does
	command.KindLeaveLine:    "line",
	command.KindSetLine:      "desk",
	command.KindJoinReturns:  "desk",
	command.KindLeaveReturns: "desk",

	command.KindAttachPayment: "checkout", // frontends and their workers do, as these six
	command.KindFailPayment:   "checkout",
	command.KindAckEffect:     "checkout",
	command.KindStrayMoney:    "checkout",
	command.KindPutPerson:     "persons",
	command.KindForgetPerson:  "persons",
	command.KindRefund:        "desk",
	command.KindDispute:       "desk",
	command.KindRetryEffect:   "desk",

	command.KindMark:        Runner, // after every round
	command.KindAssignEvent: "seats",
	command.KindPutKey:      "checkout",

	command.KindSetIncarnation: "", // only a restored shard takes it for more than a word; no command restores one yet
}

// Runner stands for who sends a command that is nobody's in the crowd.
const Runner = "(the run itself)"
