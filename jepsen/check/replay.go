package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Replay runs the commands through the model of a house, in the order and at the instants that the log has, and
// compares every answer with the model's: outcome, seats that were taken, deadline. It takes linear time, and judges
// what the search cannot: that a hold takes all of its seats or none, and that it lapses at its deadline and not
// before. That clients were told what is in the log is checked too; that the log agrees with real time is Order's.
func Replay(rules model.Rules, operations []history.Operation, final history.Final) (found []Violation) {
	var run []*history.Operation
	for i := range operations {
		switch o := &operations[i]; {
		case o.Decided.Index != 0 || o.Kind == history.Read && !o.Unknown():
			run = append(run, o)
		case !o.Unknown():
			found = append(found, Violation{"log", fmt.Sprintf("%s was answered %s at index %d and is not in the log", name(o), o.Outcome, o.Stamp.Index)})
		}
	}
	slices.SortFunc(run, inLog)
	house := model.NewHouse(rules, len(final.Seats))
	for _, o := range run {
		if o.Kind == history.Read {
			found = append(found, replayRead(house, o)...)
			continue
		}
		found = append(found, replayCommand(house, o)...)
	}
	if want := house.States(final.Clock); !slices.Equal(want, final.Seats) {
		found = append(found, Violation{"replay", fmt.Sprintf("the seats are %v at the end, and by the log should be %v", final.Seats, want)})
	}
	return found
}

// inLog orders operations as the log has them. A read comes behind all commands of the entry that it was told.
func inLog(a, b *history.Operation) int {
	place := func(o *history.Operation) (index uint64, slot uint32) {
		if o.Kind == history.Read {
			return o.Stamp.Index, math.MaxUint32
		}
		return o.Decided.Index, o.Decided.Slot
	}
	aIndex, aSlot := place(a)
	bIndex, bSlot := place(b)
	return cmp.Or(cmp.Compare(aIndex, bIndex), cmp.Compare(aSlot, bSlot))
}

func replayCommand(house *model.House, o *history.Operation) (found []Violation) {
	want := house.Do(o.Decided.Clock, model.Command{
		Kind: model.Kind(o.Kind.String()), Hold: o.Hold, Buyer: o.Buyer, Seats: o.Seats, Attempt: o.Attempt, ValidUntil: o.Command.ValidUntil(),
	})
	differs := func(what string, got, want any) {
		found = append(found, Violation{"replay", fmt.Sprintf("%s at index %d was told %s %v, the model says %v", name(o), o.Decided.Index, what, got, want)})
	}
	if o.Unknown() {
		return nil
	}
	if o.Outcome != want.Outcome {
		differs("outcome", o.Outcome, want.Outcome)
	}
	if o.Repeated { // all else was told as it was later
		return found
	}
	if o.Stamp != o.Decided {
		found = append(found, Violation{"log", fmt.Sprintf("%s was told %+v, the log has it at %+v", name(o), o.Stamp, o.Decided)})
	}
	if !sameSeats(o.Taken, want.Taken) {
		differs("taken", o.Taken, want.Taken)
	}
	if want.Deadline != 0 && o.Deadline != want.Deadline {
		differs("deadline", o.Deadline, want.Deadline)
	}
	return found
}

func replayRead(house *model.House, o *history.Operation) (found []Violation) {
	states := house.States(o.Stamp.Clock)
	for i, s := range o.Seats {
		if o.States[i] != states[s] {
			found = append(found, Violation{"replay", fmt.Sprintf("a read of client %d at index %d was told that seat %d is %s, the model says %s",
				o.Client, o.Stamp.Index, s, o.States[i], states[s])})
		}
	}
	return found
}

// name says which operation it is.
func name(o *history.Operation) string {
	return fmt.Sprintf("the %s of client %d about %.17s", o.Kind, o.Client, o.Hold)
}
