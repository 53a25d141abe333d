package history

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
)

// EDN writes the operations as a history of Jepsen's: one map a line, an :invoke and then an :ok, a :fail (the shard
// decided no) or an :info (nobody knows), in order of time; faults are operations of the :nemesis.
func (h *History) EDN(to io.Writer) error {
	var events []ednEvent
	for i := range h.Operations {
		events = append(events, ednOf(i, &h.Operations[i])...)
	}
	for _, f := range h.Faults {
		what := ":" + strings.Join(f.Names, "+")
		events = append(events, ednEvent{f.From, ":nemesis", "info", what, ":start"}, ednEvent{f.Healed, ":nemesis", "info", what, ":stop"})
	}
	slices.SortStableFunc(events, func(a, b ednEvent) int { return cmp.Compare(a.at, b.at) })
	out := bufio.NewWriter(to)
	for i, e := range events {
		fmt.Fprintf(out, "{:index %d, :time %d, :process %s, :type :%s, :f %s, :value %s}\n", i, int64(e.at), e.process, e.kind, e.f, e.value)
	}
	return out.Flush()
}

type ednEvent struct {
	at                      time.Duration
	process, kind, f, value string
}

// ednOf gives the two events of an operation. One that is unknown ends when nothing more can be known: Jepsen has its
// process end with it, so every operation has a process of its own.
func ednOf(number int, o *Operation) []ednEvent {
	process, f := fmt.Sprint(number), ":"+o.Kind.String()
	value := func(more string) string {
		return fmt.Sprintf("{:client %d, :hold %q, :buyer %q, :seats %s%s%s}", o.Client, idOf(o.Hold), idOf(o.Buyer), ednSeats(o.Seats), ednAsked(o), more)
	}
	invoke := ednEvent{o.Call, process, "invoke", f, value("")}
	if o.Unknown() {
		return []ednEvent{invoke, {o.Call, process, "info", f, value("")}}
	}
	kind := "ok"
	if o.Outcome != holdfast.OK {
		kind = "fail"
	}
	more := fmt.Sprintf(", :outcome %d, :text %q, :index %d, :slot %d", o.Outcome, o.Outcome.String(), o.Stamp.Index, o.Stamp.Slot)
	if o.Kind == Read {
		var states []string
		for _, s := range o.States {
			states = append(states, ":"+s.String())
		}
		more += ", :states [" + strings.Join(states, " ") + "]"
	}
	return []ednEvent{invoke, {o.Return, process, kind, f, value(more)}}
}

// ednAsked is what only some kinds of operations ask for.
func ednAsked(o *Operation) (asked string) {
	if o.Best != nil {
		var wants []string
		for _, b := range append([]Best{*o.Best}, o.Also...) {
			wants = append(wants, fmt.Sprintf("{:count %d, :section %d, :tier %d, :adjacent %v, :general %v, :seats %s}", b.Count, b.Section, b.Tier, b.Adjacent, b.General, ednSeats(b.Seats)))
		}
		asked += ", :wants [" + strings.Join(wants, " ") + "]"
	}
	switch o.Kind {
	case Swap:
		asked += ", :had " + ednSeats(o.Had)
	case Pay, Sell:
		asked += fmt.Sprintf(", :attempt %d", o.Attempt)
	case SetSale:
		asked += ", :sale :" + o.Sale.String()
	case Put:
		asked += fmt.Sprintf(", :version %d, :price %d", o.Put.Expect, o.Put.Price)
	}
	return asked
}

func ednSeats(seats []holdfast.SeatIndex) string {
	return strings.ReplaceAll(fmt.Sprint(seats), ",", "")
}
