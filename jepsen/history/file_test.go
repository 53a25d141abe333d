package history

import (
	"bytes"
	"compress/gzip"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

// everything is a history with every field set.
func everything() *History {
	stamp := holdfast.Stamp{Shard: 1, Term: 2, Index: 3, Slot: 4, Clock: 5}
	states, seats := []holdfast.SeatState{holdfast.Sold, holdfast.Free}, []holdfast.SeatIndex{0, 9}
	return &History{
		Head: Head{Workload: "w", Seed: 7, Began: time.Unix(1_700_000_000, 0).UTC(), Length: time.Second, House: House{{First: 1, Count: 2, Section: 3, Tier: 4, General: true}},
			HoldTTL: 1, PayWindow: 2, CoolDown: 3, SeatsPerBuyer: 4, ManyHolds: true, Waited: true, Extension: 5, Price: 6},
		Operations: []Operation{
			{Client: 1, Kind: Hold, Command: holdfast.CommandID{1}, Hold: holdfast.HoldID{1}, Buyer: holdfast.BuyerID{2}, Seats: seats, Call: 1, Return: 2,
				Best: &Best{Count: 2, Section: holdfast.AnySection, Tier: 1, Adjacent: true}, Outcome: holdfast.OK, Repeated: true, Deadline: 8, Stamp: stamp, Decided: stamp},
			{Client: 2, Kind: Read, Seats: seats, Call: 3, Return: 4, Outcome: holdfast.OK, States: states, Stamp: stamp},
			{Client: 3, Kind: Pay, Command: holdfast.CommandID{3}, Hold: holdfast.HoldID{1}, Attempt: 1, Call: 5}, // unknown
			{Client: 4, Kind: Hold, Seats: seats, Call: 5, Return: 6, Outcome: holdfast.SeatSold, Taken: seats[:1], Stamp: stamp},
			{Client: 5, Kind: Swap, Command: holdfast.CommandID{5}, Hold: holdfast.HoldID{1}, Buyer: holdfast.BuyerID{2}, Had: seats, Call: 7, Return: 8, Outcome: holdfast.NotEnough,
				Best: &Best{Count: 1, Seats: seats[:1]}, Also: []Best{{Count: 3, Section: 1, General: true}}, Amount: 9, Stamp: stamp},
			{Client: 6, Kind: SetSale, Command: holdfast.CommandID{6}, Sale: holdfast.SalePaused, Call: 9, Return: 10, Outcome: holdfast.OK, Stamp: stamp},
			{Client: 6, Kind: Put, Command: holdfast.CommandID{7}, Put: &Description{Expect: 1, Price: 2, HoldTTL: 3, Grown: House{{First: 3, Count: 1}}}, Call: 11, Return: 12,
				Outcome: holdfast.OK, Stamp: stamp},
		},
		Changes:  []Change{{Watcher: 1, At: 2, Anew: true, Revision: 3, Cut: true, Seats: seats, States: states}},
		Sights:   []Sight{{Client: 1, Call: 2, Return: 3, Stale: true, Revision: 4, Stamp: stamp, States: states}},
		Visits:   []Visit{{Number: 1, Place: 2, Key: "ee", Hold: holdfast.HoldID{5}, Seats: seats, Sold: true, Amount: 9, Paid: true, Told: "sold", Began: 1, Ended: 2}},
		Polls:    []Poll{{Visit: 1, Call: 2, Return: 3, Place: 4, Position: 5, State: "waiting"}},
		Charges:  []Charge{{Payment: "pi", Event: 6, Hold: holdfast.HoldID{5}, Attempt: 1, Status: "succeeded", Captured: 9, Refunded: 1}},
		Refunds:  []Refund{{Order: holdfast.OrderID{5}, Seats: seats, Back: true, Call: 1, Return: 2, Told: ToldOK}},
		Privates: []Private{{Client: 1, What: ForgetKey, Hold: holdfast.HoldID{5}, Key: "ab", Value: "cd", Call: 1, Return: 2, Told: ToldOK, Member: "n1", Confirmed: []string{"n2"}, Members: 3}},
		Draw:     &Draw{Event: 6, Told: "aa", Commitment: "aa", Secret: "bb", Chain: "cc", Seed: "dd", Cohort: 3},
		Faults:   []Fault{{Names: []string{"kill", "pause"}, From: 1, Healed: 2, Until: 3, Single: true, Destroys: true}},
		Final: Final{Clock: 1, Read: stamp, Seats: states, Revision: 5, Quiet: true, Logged: true,
			Orders: []Order{{ID: holdfast.OrderID{5}, Buyer: holdfast.BuyerID{2}, Seats: seats, Amount: 9, Captured: 9, Refunded: 1}}},
		Differences: []string{"d"},
	}
}

func TestAHistorySurvivesItsFile(t *testing.T) {
	want, path := everything(), filepath.Join(t.TempDir(), "h"+Suffix)
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it came back as\n%+v\nand was\n%+v", got, want)
	}
}

// A run that is killed while it saves must not leave something that looks like a whole history.
func TestHalfAFileIsRefused(t *testing.T) {
	var file bytes.Buffer
	if err := everything().Write(&file); err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSpace(string(text)), "\n")
	for left := range lines {
		var half bytes.Buffer
		w := gzip.NewWriter(&half)
		io.WriteString(w, strings.Join(append(append([]string{}, lines[:left]...), lines[left+1:]...), ""))
		w.Close()
		if _, err := Decode(&half); err == nil {
			t.Errorf("without line %d it is believed", left+1)
		}
	}
}

func TestTheEDNHasEveryCallAndItsEnd(t *testing.T) {
	var out strings.Builder
	if err := everything().EDN(&out); err != nil {
		t.Fatal(err)
	}
	for want, n := range map[string]int{":type :invoke": 7, ":type :ok": 4, ":type :fail": 2, ":process :nemesis": 2, ":f :hold": 4, ":outcome 41": 1} {
		if got := strings.Count(out.String(), want); got != n {
			t.Errorf("%s %d times, want %d:\n%s", want, got, n, out.String())
		}
	}
	if got := strings.Count(out.String(), ":type :info"); got != 3 { // the unknown one, and the fault
		t.Errorf(":info %d times", got)
	}
}
