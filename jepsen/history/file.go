package history

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast"
)

// A history is kept in a file as lines of JSON, in gzip. Every line is an object with one field, which says what the
// line is about:
//
//	{"history": …}  the first line: the form's number, and the head
//	{"op": …}       one operation
//	{"change": …}   one thing that a watcher was told
//	{"sight": …}    one read of the whole house
//	{"visit": …}    one buyer's way through a shop
//	{"poll": …}     one look at a place in the line
//	{"charge": …}   one payment in the provider's books
//	{"refund": …}   what an organizer wanted to be given back
//	{"private": …}  one step about the data of a person
//	{"draw": …}     what is public about the order of a line
//	{"differs": …}  one difference that the system's own comparison of books and orders found
//	{"fault": …}    one thing that was done to the system
//	{"final": …}    the end as it was read back, but for orders
//	{"order": …}    one order of it
//	{"end": N}      the last line: so many lines are before it
//
// Instants and durations are in nanoseconds, instants counted from "began"; ids are in hex. Fields that are zero are
// left out. States are the numbers of holdfast.SeatState, outcomes those of holdfast.Outcome; docs/verification.md
// has them all.
const form = 1

// Suffix is how names of such files end.
const Suffix = ".history.jsonl.gz"

// line is one line of a file.
type line struct {
	History *headLine  `json:"history,omitempty"`
	Op      *opLine    `json:"op,omitempty"`
	Change  *Change    `json:"change,omitempty"`
	Sight   *Sight     `json:"sight,omitempty"`
	Visit   *Visit     `json:"visit,omitempty"`
	Poll    *Poll      `json:"poll,omitempty"`
	Charge  *Charge    `json:"charge,omitempty"`
	Refund  *Refund    `json:"refund,omitempty"`
	Private *Private   `json:"private,omitempty"`
	Draw    *Draw      `json:"draw,omitempty"`
	Differs *string    `json:"differs,omitempty"`
	Fault   *Fault     `json:"fault,omitempty"`
	Final   *finalLine `json:"final,omitempty"`
	Order   *orderLine `json:"order,omitempty"`
	End     *int       `json:"end,omitempty"`
}

type headLine struct {
	Form int `json:"form"`
	Head
}

// opLine is an Operation with its ids in hex and short names, since there are millions.
type opLine struct {
	Client   int                  `json:"client"`
	Kind     string               `json:"kind"`
	Command  id                   `json:"command,omitempty"`
	Hold     id                   `json:"hold,omitempty"`
	Buyer    id                   `json:"buyer,omitempty"`
	Seats    []holdfast.SeatIndex `json:"seats,omitempty"`
	Best     *Best                `json:"best,omitempty"`
	Also     []Best               `json:"also,omitempty"`
	Had      []holdfast.SeatIndex `json:"had,omitempty"`
	Sale     holdfast.SaleState   `json:"sale,omitempty"`
	Put      *Description         `json:"put,omitempty"`
	Attempt  holdfast.Attempt     `json:"attempt,omitempty"`
	Call     time.Duration        `json:"call"`
	Return   time.Duration        `json:"return,omitempty"`
	Outcome  holdfast.Outcome     `json:"outcome,omitempty"`
	Name     string               `json:"name,omitempty"` // of the outcome, for people
	Repeated bool                 `json:"repeated,omitempty"`
	Taken    []holdfast.SeatIndex `json:"taken,omitempty"`
	States   states               `json:"states,omitempty"`
	Deadline holdfast.Clock       `json:"deadline,omitempty"`
	Amount   int64                `json:"amount,omitempty"`
	Stamp    *holdfast.Stamp      `json:"stamp,omitempty"`
	Decided  *holdfast.Stamp      `json:"decided,omitempty"`
}

type finalLine struct {
	Clock    holdfast.Clock    `json:"clock"`
	Seats    states            `json:"seats"`
	Revision holdfast.Revision `json:"revision"`
	Read     holdfast.Stamp    `json:"read"`
	Quiet    bool              `json:"quiet,omitempty"`
	Logged   bool              `json:"logged"`
}

type orderLine struct {
	ID       id                   `json:"id"`
	Buyer    id                   `json:"buyer"`
	Seats    []holdfast.SeatIndex `json:"seats"`
	Amount   int64                `json:"amount,omitempty"`
	Captured int64                `json:"captured,omitempty"`
	Refunded int64                `json:"refunded,omitempty"`
}

// id is sixteen bytes in hex; all zero is nothing.
type id string

func idOf(b [16]byte) id {
	if b == [16]byte{} {
		return ""
	}
	return id(hex.EncodeToString(b[:]))
}

func (s id) bytes() (b [16]byte, err error) {
	if s == "" {
		return b, nil
	}
	if n, err := hex.Decode(b[:], []byte(s)); err != nil || n != len(b) || len(s) != 2*len(b) {
		return b, fmt.Errorf("%q is not an id of 16 bytes in hex", s)
	}
	return b, nil
}

// states are seat states as numbers; a slice of bytes would become base64.
type states []holdfast.SeatState

func (s states) MarshalJSON() ([]byte, error) {
	numbers := make([]int, len(s))
	for i, one := range s {
		numbers[i] = int(one)
	}
	return json.Marshal(numbers)
}

func (s *states) UnmarshalJSON(b []byte) error {
	var numbers []int
	if err := json.Unmarshal(b, &numbers); err != nil {
		return err
	}
	*s = make(states, len(numbers))
	for i, n := range numbers {
		(*s)[i] = holdfast.SeatState(n)
	}
	return nil
}

// Save writes a history to a file, whole or not at all.
func (h *History) Save(path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(h.Write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Write writes a history.
func (h *History) Write(to io.Writer) error {
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriter(zip)
	encode, lines := json.NewEncoder(buffer), 0
	put := func(l line) {
		if err == nil {
			err = encode.Encode(l)
			lines++
		}
	}
	put(line{History: &headLine{form, h.Head}})
	for i := range h.Operations {
		put(line{Op: opOf(&h.Operations[i])})
	}
	for i := range h.Changes {
		put(line{Change: &h.Changes[i]})
	}
	for i := range h.Sights {
		put(line{Sight: &h.Sights[i]})
	}
	for i := range h.Visits {
		put(line{Visit: &h.Visits[i]})
	}
	for i := range h.Polls {
		put(line{Poll: &h.Polls[i]})
	}
	for i := range h.Charges {
		put(line{Charge: &h.Charges[i]})
	}
	for i := range h.Refunds {
		put(line{Refund: &h.Refunds[i]})
	}
	for i := range h.Privates {
		put(line{Private: &h.Privates[i]})
	}
	if h.Draw != nil {
		put(line{Draw: h.Draw})
	}
	for i := range h.Differences {
		put(line{Differs: &h.Differences[i]})
	}
	for i := range h.Faults {
		put(line{Fault: &h.Faults[i]})
	}
	put(line{Final: &finalLine{h.Final.Clock, h.Final.Seats, h.Final.Revision, h.Final.Read, h.Final.Quiet, h.Final.Logged}})
	for _, o := range h.Final.Orders {
		put(line{Order: &orderLine{idOf(o.ID), idOf(o.Buyer), o.Seats, o.Amount, o.Captured, o.Refunded}})
	}
	put(line{End: &lines})
	return errors.Join(err, buffer.Flush(), zip.Close())
}

func opOf(o *Operation) *opLine {
	l := &opLine{
		Client: o.Client, Kind: o.Kind.String(), Command: idOf(o.Command), Hold: idOf(o.Hold), Buyer: idOf(o.Buyer), Seats: o.Seats, Best: o.Best, Also: o.Also, Had: o.Had, Sale: o.Sale, Put: o.Put,
		Attempt: o.Attempt, Call: o.Call, Return: o.Return, Outcome: o.Outcome, Repeated: o.Repeated, Taken: o.Taken, States: o.States, Deadline: o.Deadline, Amount: o.Amount,
	}
	if !o.Unknown() {
		l.Name, l.Stamp = o.Outcome.String(), &o.Stamp
	}
	if o.Decided.Index != 0 {
		l.Decided = &o.Decided
	}
	return l
}

func (l *opLine) operation() (o Operation, err error) {
	var command, hold, buyer [16]byte
	for _, one := range []struct {
		from id
		to   *[16]byte
	}{{l.Command, &command}, {l.Hold, &hold}, {l.Buyer, &buyer}} {
		if *one.to, err = one.from.bytes(); err != nil {
			return o, err
		}
	}
	o = Operation{
		Client: l.Client, Command: command, Hold: hold, Buyer: buyer, Seats: l.Seats, Best: l.Best, Also: l.Also, Had: l.Had, Sale: l.Sale, Put: l.Put,
		Attempt: l.Attempt, Call: l.Call, Return: l.Return,
		Outcome: l.Outcome, Repeated: l.Repeated, Taken: l.Taken, States: l.States, Deadline: l.Deadline, Amount: l.Amount,
	}
	if l.Stamp != nil {
		o.Stamp = *l.Stamp
	}
	if l.Decided != nil {
		o.Decided = *l.Decided
	}
	for o.Kind = Hold; o.Kind.String() != l.Kind; o.Kind++ {
		if o.Kind == kindEnd-1 {
			return o, fmt.Errorf("%q is not a kind of operation", l.Kind)
		}
	}
	return o, nil
}

// Load reads a history from a file.
func Load(path string) (*History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Decode reads what Write wrote.
func Decode(from io.Reader) (*History, error) {
	zip, err := gzip.NewReader(bufio.NewReader(from))
	if err != nil {
		return nil, err
	}
	h, decode := &History{}, json.NewDecoder(zip)
	for n := 0; ; n++ {
		var l line
		if err := decode.Decode(&l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if l.End != nil {
			if *l.End != n {
				return nil, fmt.Errorf("%d lines, and the last says %d", n, *l.End)
			}
			return h, nil
		}
		if err := h.take(n, &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
}

// take adds what one line says.
func (h *History) take(n int, l *line) error {
	switch {
	case (n == 0) != (l.History != nil):
		return errors.New("the first line, and no other, says what the history is about")
	case l.History != nil && l.History.Form != form:
		return fmt.Errorf("form %d, this program reads %d", l.History.Form, form)
	case l.History != nil:
		h.Head = l.History.Head
	case l.Op != nil:
		o, err := l.Op.operation()
		h.Operations = append(h.Operations, o)
		return err
	case l.Change != nil:
		h.Changes = append(h.Changes, *l.Change)
	case l.Sight != nil:
		h.Sights = append(h.Sights, *l.Sight)
	case l.Visit != nil:
		h.Visits = append(h.Visits, *l.Visit)
	case l.Poll != nil:
		h.Polls = append(h.Polls, *l.Poll)
	case l.Charge != nil:
		h.Charges = append(h.Charges, *l.Charge)
	case l.Refund != nil:
		h.Refunds = append(h.Refunds, *l.Refund)
	case l.Private != nil:
		h.Privates = append(h.Privates, *l.Private)
	case l.Draw != nil:
		h.Draw = l.Draw
	case l.Differs != nil:
		h.Differences = append(h.Differences, *l.Differs)
	case l.Fault != nil:
		h.Faults = append(h.Faults, *l.Fault)
	case l.Final != nil:
		f := l.Final
		h.Final = Final{Clock: f.Clock, Seats: f.Seats, Revision: f.Revision, Read: f.Read, Quiet: f.Quiet, Logged: f.Logged, Orders: h.Final.Orders}
	case l.Order != nil:
		order, err := l.Order.ID.bytes()
		if err != nil {
			return err
		}
		buyer, err := l.Order.Buyer.bytes()
		h.Final.Orders = append(h.Final.Orders, Order{ID: order, Buyer: buyer, Seats: l.Order.Seats, Amount: l.Order.Amount, Captured: l.Order.Captured, Refunded: l.Order.Refunded})
		return err
	default:
		return errors.New("it is about nothing known")
	}
	return nil
}
