package fsm_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The rules as stories: one file of testdata for each. A file is a list of blocks. A block is the commands of one
// entry, one a line, then dashes, then what the machine answered, what changed, and how many units are in each state
// now. Lines that begin with # are comments.
//
//	h1 = hold ann A1 A2                  the command's id is called h1, and so is the hold that it makes
//	h1 = hold ann A1 A2                  the same line again is the same command again; another line reuses the id
//	h1 for 5s = hold ann A1              its validity ends 5 s from now; 30 s if nothing is said
//	hold ann sponsor: A1 and best 2 in stalls of vip adjacent and general 3 floor
//	swap ann h1 A3 A4
//	extend ann h1, release ann h1
//	pay ann h1 #1 5000eur                begins the first attempt to pay
//	sell h1 paid #1 5000eur pi_1, sell h1 free 0eur, sell h1 invoiced 5000eur ref
//	put 0                                the description follows, indented; 0 is the version that is expected
//	open, pause, close, block A1, unblock A1, mark
//	evt_2 hold ann A1                    any command of another event than evt_1
//	step 100ms                           on the first line: by how much the entry moves the clock; 0 if nothing is said
//
// These stand alone in their block:
//
//	wait 5s                              entries without commands, half a second each
//	show                                 draws the house: . free, h held, p paying, S sold, # blocked
//	restart                              saves the machine and goes on with one that was restored
//
// Whatever a story does is done to the plain model as well, which must answer the same.
var rewrite = flag.Bool("rewrite", false, "write what the machine answers into testdata/*.txt; read the diff before you believe it")

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newStory(t, fsm.Config{Shard: 1}).tell(string(source))
			if got == string(source) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s tells another story now; see the difference with -rewrite:\n%s", file, firstDifference(string(source), got))
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			around := func(lines []string) string {
				return strings.Join(lines[min(max(i-3, 0), len(lines)):min(i+3, len(lines))], "\n\t")
			}
			return fmt.Sprintf("line %d\n got\n\t%s\nwant\n\t%s", i+1, around(g), around(w))
		}
	}
	return ""
}

// story is a file that is being told.
type story struct {
	t       *testing.T
	cfg     fsm.Config
	machine *fsm.Machine
	model   *model
	serial  uint64
	ids     map[string]holdfast.CommandID
	names   map[holdfast.CommandID]string
	buyers  []string
	wallMs  int64
	tickets map[string]ticket
}

func newStory(t *testing.T, cfg fsm.Config) *story {
	return &story{t: t, cfg: cfg, machine: fsm.New(cfg), model: newModel(cfg),
		ids: map[string]holdfast.CommandID{}, names: map[holdfast.CommandID]string{},
		wallMs: storyBegins, tickets: map[string]ticket{}}
}

// tell gives the file with the answers of now.
func (s *story) tell(source string) string {
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(source), "\n\n") {
		asked, _, found := strings.Cut(block, "\n----")
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		out.WriteString(asked + "\n")
		if lines := meaningful(asked); found || len(lines) > 0 {
			out.WriteString("----\n" + s.block(lines))
		}
	}
	return out.String()
}

func meaningful(block string) (lines []string) {
	for line := range strings.Lines(block) {
		if line = strings.TrimRight(line, " \n"); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (s *story) block(lines []string) string {
	switch verb, rest, _ := strings.Cut(lines[0], " "); verb {
	case "wait":
		return s.wait(duration(s.t, rest))
	case "step":
		return s.entry(duration(s.t, rest), lines[1:])
	case "show":
		return s.show()
	case "at":
		s.wallMs = storyBegins + duration(s.t, rest).Milliseconds()
		return s.entry(0, nil)
	case "line":
		return s.showLine()
	case "place":
		return s.showPlace(rest)
	case "record":
		return s.showRecord()
	case "restart":
		return s.restart()
	}
	return s.entry(0, lines)
}

// entry applies the commands of the lines, and prints what came of them.
func (s *story) entry(step time.Duration, lines []string) string {
	var told strings.Builder
	for _, a := range s.apply(step, lines) {
		told.WriteString(a.label + s.result(a.command.Head().Event, &a.result) + "\n")
	}
	told.WriteString(s.changes(s.machine.Changes()))
	return told.String()
}

// answer is a command with its result.
type answer struct {
	label   string
	command command.Command
	result  command.Result
}

// apply applies the commands of the lines to machine and model.
func (s *story) apply(step time.Duration, lines []string) (answers []answer) {
	b := command.BeginEntry(nil)
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && strings.HasPrefix(lines[n], " ") {
			n++
		}
		label, c := s.parse(lines[0], lines[1:n])
		answers, lines = append(answers, answer{label: label, command: c}), lines[n:]
		b = c.Append(b)
	}
	out := command.Output{Answer: true}
	s.machine.Apply(s.machine.Index()+1, command.FinishEntry(b, uint32(step/time.Microsecond), s.wallMs, len(answers)), &out)
	s.model.begin(s.machine.Index(), uint32(step/time.Microsecond), s.wallMs)
	rest := out.Results
	for i := range answers {
		a := &answers[i]
		var err error
		if rest, err = command.DecodeResult(rest, &a.result); err != nil {
			s.t.Fatal(err)
		}
		if want := s.model.decide(a.command); !sameResult(a.result, want) {
			s.t.Errorf("%s:\nmachine %s\n  model %s", sayCommand(a.command), say(&a.result), say(&want))
		}
	}
	s.model.finish()
	for _, v := range s.machine.Check() {
		s.t.Errorf("%s", v)
	}
	return answers
}

func sameResult(a, b command.Result) bool {
	for _, r := range []*command.Result{&a, &b} {
		r.Seats, r.Taken, r.Near = slices.Concat(r.Seats), slices.Concat(r.Taken), slices.Concat(r.Near) // nil when empty
	}
	return reflect.DeepEqual(a, b)
}

func (s *story) wait(d time.Duration) string {
	var told strings.Builder
	for ; d > 0; d -= holdfast.StepMax {
		told.WriteString(s.entry(min(d, holdfast.StepMax), nil))
	}
	return fmt.Sprintf("%sit is %s\n", told.String(), at(s.machine.Clock()))
}

func (s *story) restart() string {
	var b bytes.Buffer
	cut := s.machine.Cut()
	defer cut.Release()
	if _, err := cut.WriteTo(&b); err != nil {
		s.t.Fatal(err)
	}
	var err error
	if s.machine, err = fsm.Restore(s.cfg, &b); err != nil {
		s.t.Fatal(err)
	}
	if digest(s.machine) != cut.Digest() {
		s.t.Error("what was restored differs from what was saved")
	}
	return ""
}

// at prints an instant of the hold clock.
func at(c holdfast.Clock) string { return (time.Duration(c) * time.Microsecond).String() }

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// result prints a result: the outcome, and those facts that are there.
func (s *story) result(event holdfast.EventID, r *command.Result) string {
	b := strings.Builder{}
	b.WriteString(r.Outcome.String())
	if r.Repeated {
		b.WriteString(", told again")
	}
	if name := s.names[holdfast.CommandID(r.Hold)]; name != "" {
		b.WriteString(", " + name)
	}
	for _, seats := range []struct {
		what string
		list []holdfast.SeatIndex
	}{{"", r.Seats}, {"taken", r.Taken}, {"near", r.Near}} {
		if len(seats.list) > 0 {
			b.WriteString(", " + strings.TrimSpace(seats.what+" "+s.seats(event, seats.list)))
		}
	}
	if r.Amount.Currency != "" {
		fmt.Fprintf(&b, ", %d%s", r.Amount.AmountMinor, r.Amount.Currency)
	}
	if r.Attempt != 0 {
		fmt.Fprintf(&b, ", attempt #%d", r.Attempt)
	}
	if r.Deadline != 0 {
		fmt.Fprintf(&b, ", until %s", at(r.Deadline))
	}
	if r.RetryAfterMs != 0 {
		fmt.Fprintf(&b, ", again in %d ms", r.RetryAfterMs)
	}
	if r.Allowance != 0 {
		fmt.Fprintf(&b, ", %d more allowed", r.Allowance)
	}
	if r.Place != 0 || r.Position != 0 || r.Served != 0 || r.Session != 0 {
		fmt.Fprintf(&b, ", place %d at %d, served %d", r.Place, r.Position, r.Served)
	}
	if r.Session != 0 {
		fmt.Fprintf(&b, ", until %s", at(r.Session))
	}
	if r.Version != 0 {
		fmt.Fprintf(&b, ", %s of shard %s at version %d", r.Event, r.Shard, r.Version)
	}
	return b.String()
}

// changes prints what an entry changed: for each event, units that came into the same state on one line; then how
// many units are in which state.
func (s *story) changes(changes []fsm.Change) string {
	var b strings.Builder
	for len(changes) > 0 {
		first, n := changes[0], 1
		for n < len(changes) && changes[n].Event == first.Event && first.Seat != fsm.NoSeat && changes[n].Seat != fsm.NoSeat && changes[n].State == first.State {
			n++
		}
		fmt.Fprintf(&b, "  %s @%d ", first.Event, changes[n-1].Revision)
		if first.Seat == fsm.NoSeat {
			fmt.Fprintf(&b, "is %s\n", first.Sale)
		} else {
			var units []holdfast.SeatIndex
			for _, c := range changes[:n] {
				units = append(units, c.Seat)
			}
			fmt.Fprintf(&b, "%s %s\n", s.seats(first.Event, units), first.State)
		}
		if changes = changes[n:]; len(changes) == 0 || changes[0].Event != first.Event {
			view, _ := s.machine.Event(first.Event)
			fmt.Fprintf(&b, "  %s has %s\n", first.Event, counts(view.Total))
		}
	}
	return b.String()
}

func counts(c fsm.Counts) string {
	var parts []string
	for state, n := range c {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, holdfast.SeatState(state)))
		}
	}
	return strings.Join(parts, ", ")
}

// seats prints units by their names: A1 is the seat with number 1 in row A, floor.1 the first place of floor.
func (s *story) seats(event holdfast.EventID, units []holdfast.SeatIndex) string {
	var names []string
	for _, u := range units {
		names = append(names, s.seat(event, u))
	}
	return strings.Join(names, " ")
}

func (s *story) seat(event holdfast.EventID, u holdfast.SeatIndex) string {
	e := s.model.events[event]
	if e == nil || int(u) >= len(e.units) {
		return fmt.Sprint("?", u)
	}
	section := e.spec.Sections[e.units[u].section]
	if section.General() {
		return fmt.Sprintf("%s.%d", section.Name, e.units[u].position+1)
	}
	row := section.Rows[e.units[u].row]
	return fmt.Sprintf("%s%d", row.Label, int(row.First)+e.units[u].position)
}

// unit finds a unit by its name. One that is nowhere gets a number beyond the last.
func (s *story) unit(event holdfast.EventID, name string) holdfast.SeatIndex {
	e := s.model.events[event]
	if e == nil {
		return 0
	}
	for u := range holdfast.SeatIndex(len(e.units)) {
		if s.seat(event, u) == name {
			return u
		}
	}
	return holdfast.SeatIndex(len(e.units))
}

// show draws the house of evt_1.
func (s *story) show() string {
	e, cut := s.model.events[1], s.machine.Cut()
	defer cut.Release()
	states, _, _ := cut.Seats(1)
	var b strings.Builder
	for i, section := range e.spec.Sections {
		rows := max(len(section.Rows), 1)
		for r := range rows {
			label := section.Name
			if !section.General() {
				label += " " + section.Rows[r].Label
			}
			fmt.Fprintf(&b, "  %-10s", label)
			for _, u := range e.row(i, r) {
				b.WriteByte(".hpS#"[states[u]])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// id gives the id that a label stands for; one of its own without a label.
func (s *story) id(label string, valid time.Duration) holdfast.CommandID {
	if id, ok := s.ids[label]; ok && label != "" {
		return id
	}
	s.serial++
	var random [10]byte
	binary.BigEndian.PutUint64(random[2:], s.serial)
	id := holdfast.NewCommandID(s.machine.Clock().Add(valid), random)
	if label != "" {
		s.ids[label], s.names[id] = id, label
	}
	return id
}

func (s *story) buyer(name string) holdfast.BuyerID {
	if t, ok := s.tickets[name]; ok {
		return t.key.Buyer()
	}
	at := slices.Index(s.buyers, name)
	if at < 0 {
		at = len(s.buyers)
		s.buyers = append(s.buyers, name)
	}
	return buyerNo(at + 1)
}

func number(t *testing.T, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
