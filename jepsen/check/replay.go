package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Replay runs the commands through the model of a house, in the order and at the instants that the log has, and
// compares every answer with the model's: outcome, seats that were taken, deadline. It takes linear time, and judges
// what the search cannot: that a hold takes all of its seats or none, and that it lapses at its deadline and not
// before. That clients were told what is in the log is checked too; that the log agrees with real time is Order's.
func Replay(rules model.Rules, operations []history.Operation, final history.Final) (found []Violation) {
	return replay(rules, nil, operations, nil, final)
}

// replay is Replay in a house of which it is known how the seats lie, with reads of the whole house besides.
func replay(rules model.Rules, blocks []model.Block, operations []history.Operation, sights []history.Sight, final history.Final) (found []Violation) {
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
	slices.SortStableFunc(sights, func(a, b history.Sight) int { return cmp.Compare(a.Stamp.Index, b.Stamp.Index) })
	units := len(final.Seats)
	if len(blocks) > 0 { // it may have grown since
		units = 0
		for _, b := range blocks {
			units += b.Count
		}
	}
	house := model.NewHouse(rules, units)
	house.Lay(blocks)
	for _, o := range run {
		for ; len(sights) > 0 && sights[0].Stamp.Index < indexOf(o); sights = sights[1:] {
			found = append(found, replaySight(house, &sights[0])...)
		}
		if o.Kind == history.Read {
			found = append(found, replayRead(house, o)...)
			continue
		}
		found = append(found, replayCommand(house, o)...)
	}
	for i := range sights {
		found = append(found, replaySight(house, &sights[i])...)
	}
	if want := house.States(final.Clock); !slices.Equal(want, final.Seats) {
		found = append(found, Violation{"replay", "at the end " + unlike(final.Seats, want)})
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

// unlike says where two houses differ first.
func unlike(got, want []holdfast.SeatState) string {
	n := 0
	first := -1
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			if n++; first < 0 {
				first = i
			}
		}
	}
	if first < 0 || first >= len(got) {
		return fmt.Sprintf("there are %d seats, the model has %d", len(got), len(want))
	}
	return fmt.Sprintf("%d seats are not as the model says: seat %d, the first of them, is %s and should be %s", n, first, got[first], want[first])
}

// replaySight judges a read of the whole house, strict or stale: either is of the entry that it names.
func replaySight(house *model.House, s *history.Sight) []Violation {
	if want := house.States(s.Stamp.Clock); !slices.Equal(want, s.States) {
		return []Violation{{"replay", fmt.Sprintf("in a read of client %d at index %d (stale: %v) %s", s.Client, s.Stamp.Index, s.Stale, unlike(s.States, want))}}
	}
	return nil
}

// indexOf is where an operation is in the log.
func indexOf(o *history.Operation) uint64 {
	if o.Kind == history.Read {
		return o.Stamp.Index
	}
	return o.Decided.Index
}

func replayCommand(house *model.House, o *history.Operation) (found []Violation) {
	if o.Best != nil && o.Unknown() && o.Seats == nil {
		return nil // it was looked for at the end, and there is no such hold or it has what it had: it was refused
	}
	want := house.Do(o.Decided.Clock, commandOf(o))
	differs := func(what string, got, want any) {
		found = append(found, Violation{"replay", fmt.Sprintf("%s at index %d was told %s %v, the model says %v", name(o), o.Decided.Index, what, got, want)})
	}
	if o.Unknown() {
		return nil
	}
	if want.Wrong != "" {
		differs("seats", o.Seats, want.Wrong)
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
	if want.Amount != 0 && o.Amount != want.Amount {
		differs("amount", o.Amount, want.Amount)
	}
	return found
}

// commandOf is an operation as the model knows it.
func commandOf(o *history.Operation) model.Command {
	c := model.Command{
		Kind: model.Kind(o.Kind.String()), Hold: o.Hold, Buyer: o.Buyer, Seats: o.Seats, Best: (*model.Best)(o.Best), Attempt: o.Attempt,
		Sale: o.Sale, ValidUntil: o.Command.ValidUntil(),
	}
	for _, b := range o.Also {
		c.Also = append(c.Also, model.Best(b))
	}
	if o.Put != nil {
		c.Put = model.Description{Expect: o.Put.Expect, Price: o.Put.Price, HoldTTL: o.Put.HoldTTL}
		for _, b := range o.Put.Grown {
			c.Put.Grown = append(c.Put.Grown, model.Block(b))
		}
	}
	return c
}

func replayRead(house *model.House, o *history.Operation) (found []Violation) {
	states := house.Look(o.Stamp.Clock, o.Seats)
	for i, s := range o.Seats {
		if o.States[i] != states[i] {
			found = append(found, Violation{"replay", fmt.Sprintf("a read of client %d at index %d was told that seat %d is %s, the model says %s",
				o.Client, o.Stamp.Index, s, o.States[i], states[i])})
		}
	}
	return found
}

// name says which operation it is.
func name(o *history.Operation) string {
	if o.Hold == (holdfast.HoldID{}) {
		return fmt.Sprintf("a %s of client %d", o.Kind, o.Client)
	}
	return fmt.Sprintf("the %s of client %d about %s", o.Kind, o.Client, o.Hold)
}
