package directory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// spec describes a small event.
func spec(name string, places uint32) command.EventSpec {
	return command.EventSpec{
		Name: name, Title: "The " + name, Currency: "eur",
		Tiers:    []command.Tier{{Name: "one", PriceMinor: 4900}},
		Sections: []command.Section{{Name: "floor", Places: places}},
	}
}

// driver applies commands one an entry, and remembers the entries.
type driver struct {
	t       testing.TB
	m       *Machine
	entries [][]byte
}

func (d *driver) apply(cmds ...command.Command) []command.Result {
	d.t.Helper()
	var packed []byte
	for _, c := range cmds {
		packed = c.Append(packed)
	}
	entry := command.FinishEntry(append(command.BeginEntry(nil), packed...), 1000, 1_700_000_000_000+int64(len(d.entries)), len(cmds))
	d.entries = append(d.entries, entry)
	out := command.Output{Answer: true}
	d.m.Apply(d.m.Index()+1, entry, &out)
	if len(out.Ends) != len(cmds) {
		d.t.Fatalf("%d results for %d commands", len(out.Ends), len(cmds))
	}
	results, rest := make([]command.Result, len(cmds)), out.Results
	for i := range results {
		var err error
		if rest, err = command.DecodeResult(rest, &results[i]); err != nil {
			d.t.Fatal(err)
		}
	}
	if v := d.m.Check(); len(v) > 0 {
		d.t.Fatalf("after entry %d: %v", d.m.Index(), v)
	}
	return results
}

func (d *driver) assign(s command.EventSpec) command.Result {
	d.t.Helper()
	return d.apply(&command.AssignEvent{Spec: s})[0]
}

func TestEventsSpreadOverTheShardsAndKeepTheirNumbers(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 3})}
	for i, want := range []struct {
		name  string
		event holdfast.EventID
		shard holdfast.ShardID
	}{{"a", 1, 1}, {"b", 2, 2}, {"c", 3, 3}, {"d", 4, 1}, {"b", 2, 2}, {"e", 5, 2}, {"a", 1, 1}} {
		got := d.assign(spec(want.name, 10))
		if got.Outcome != holdfast.OK || got.Event != want.event || got.Shard != want.shard {
			t.Errorf("step %d: %q got %s %s on shard %s, want %s on shard %s", i, want.name, got.Outcome, got.Event, got.Shard, want.event, want.shard)
		}
	}
	if a, ok := d.m.Assignment("c"); !ok || a.Event != 3 || a.Spec.Title != "The c" {
		t.Errorf("by name: %+v, %v", a, ok)
	}
	if a, ok := d.m.ByID(5); !ok || a.Spec.Name != "e" {
		t.Errorf("by number: %+v, %v", a, ok)
	}
	for _, id := range []holdfast.EventID{0, 6} {
		if _, ok := d.m.ByID(id); ok {
			t.Errorf("event %d was never assigned", id)
		}
	}
	if _, ok := d.m.Assignment("nobody"); ok {
		t.Error("a name that was never assigned was found")
	}
}

func TestANameBelongsToOneDescription(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 2})}
	d.assign(spec("a", 10))
	d.assign(spec("b", 10))
	got := d.assign(spec("b", 11))
	if got.Outcome != holdfast.EventConflict || got.Event != 2 || got.Shard != 2 {
		t.Errorf("another description: %s %s on shard %s", got.Outcome, got.Event, got.Shard)
	}
	if a, _ := d.m.Assignment("b"); a.Spec.Units() != 10 {
		t.Error("the description was replaced")
	}
}

func TestAFullDirectoryRefuses(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 1})}
	for i := range holdfast.EventsPerShardMax {
		s := spec(fmt.Sprintf("event-%d", i), 1)
		d.m.add(Assignment{Event: holdfast.EventID(i + 1), Shard: 1, Spec: &s}, len(s.Append(nil)))
	}
	if got := d.assign(spec("one-more", 1)); got.Outcome != holdfast.EventsFull || got.Event != 0 {
		t.Errorf("over the number of events: %s %s", got.Outcome, got.Event)
	}
	if got := d.assign(spec("event-7", 1)); got.Outcome != holdfast.OK || got.Event != 8 {
		t.Errorf("a repeat in a full directory: %s %s", got.Outcome, got.Event)
	}

	heavy := New(Config{Shards: 1})
	heavy.specBytes = SpecsBytesMax
	if got := heavy.assign(spec("one-more", 1)); got.Outcome != holdfast.EventsFull {
		t.Errorf("over the bytes of descriptions: %s", got.Outcome)
	}
}

func TestAMarkIsSeenAtItsEntryOnly(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 1})}
	if d.apply(&command.Mark{}, &command.AssignEvent{Spec: spec("a", 1)}); !d.m.Marked() {
		t.Error("an entry with a mark was not seen as one")
	}
	if d.apply(&command.AssignEvent{Spec: spec("b", 1)}); d.m.Marked() {
		t.Error("an entry without a mark was seen as one")
	}
}

func TestApplyStopsAtWhatIsImpossible(t *testing.T) {
	good := command.FinishEntry(command.BeginEntry(nil), 0, 0, 0)
	hold := &command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{1}}}}
	for name, c := range map[string]struct {
		index uint64
		entry []byte
	}{
		"an entry twice":        {5, good},
		"a damaged entry":       {6, append(slices.Clone(good[:len(good)-1]), good[len(good)-1]^1)},
		"a shard's command":     {6, command.FinishEntry(hold.Append(command.BeginEntry(nil)), 0, 0, 1)},
		"fewer than its count":  {6, command.FinishEntry(command.BeginEntry(nil), 0, 0, 1)},
		"more than its count":   {6, command.FinishEntry((&command.Mark{}).Append(command.BeginEntry(nil)), 0, 0, 0)},
		"an assignment cut off": {6, command.FinishEntry(append(command.BeginEntry(nil), 0xFF, 0xFF, 1, 0, 0, 0, 64), 0, 0, 1)},
	} {
		m := New(Config{Shards: 1})
		m.Apply(5, good, &command.Output{})
		func() {
			defer func() {
				if _, ok := recover().(*AssertionError); !ok {
					t.Errorf("%s did not stop the machine", name)
				}
			}()
			m.Apply(c.index, c.entry, &command.Output{})
		}()
	}
}

func TestASnapshotIsTheState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := driver{t: t, m: New(Config{Shards: rapid.IntRange(1, 4).Draw(rt, "shards")})}
		step := func(entries int) {
			for range entries {
				var cmds []command.Command
				for range rapid.IntRange(0, 3).Draw(rt, "commands") {
					name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}).Draw(rt, "name")
					cmds = append(cmds, &command.AssignEvent{Spec: spec(name, rapid.Uint32Range(1, 2).Draw(rt, "places"))})
				}
				d.apply(cmds...)
			}
		}
		step(rapid.IntRange(0, 6).Draw(rt, "before"))
		cut, snapshot := d.m.Cut(), bytes.Buffer{}
		step(2) // a cut does not change while the machine goes on
		n, err := cut.WriteTo(&snapshot)
		if err != nil || n != int64(snapshot.Len()) {
			rt.Fatalf("wrote %d of %d: %v", n, snapshot.Len(), err)
		}
		restored, err := Restore(Config{Shards: d.m.shards}, bytes.NewReader(snapshot.Bytes()))
		if err != nil {
			rt.Fatal(err)
		}
		if v := restored.Check(); len(v) > 0 {
			rt.Fatal(v)
		}
		if restored.Cut().Digest() != cut.Digest() || restored.Index() != cut.Index() || restored.Clock() != cut.Clock() {
			rt.Fatal("the restored machine is not the one that was saved")
		}
		for i, entry := range d.entries[restored.Index():] {
			restored.Apply(cut.Index()+uint64(i)+1, entry, &command.Output{})
		}
		if restored.Cut().Digest() != d.m.Cut().Digest() || restored.WallMs() != d.m.WallMs() {
			rt.Fatal("a replica that began with the snapshot differs from one that applied every entry")
		}
	})
}

func TestRestoreRefusesWhatIsNotWhole(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 2})}
	d.assign(spec("a", 1))
	d.assign(spec("b", 1))
	var whole bytes.Buffer
	if _, err := d.m.Cut().WriteTo(&whole); err != nil {
		t.Fatal(err)
	}
	restore := func(b []byte, shards int) error {
		_, err := Restore(Config{Shards: shards}, bytes.NewReader(b))
		return err
	}
	if err := restore(whole.Bytes(), 2); err != nil {
		t.Fatal(err)
	}
	for i := range whole.Len() {
		flipped := slices.Clone(whole.Bytes())
		flipped[i] ^= 0x10
		if restore(flipped, 2) == nil {
			t.Errorf("a flipped bit in byte %d was not noticed", i)
		}
		if restore(whole.Bytes()[:i], 2) == nil {
			t.Errorf("the first %d bytes were taken for the whole", i)
		}
	}
	if restore(append(whole.Bytes(), 0), 2) == nil {
		t.Error("a byte after the end was not noticed")
	}
	if restore(whole.Bytes(), 3) == nil {
		t.Error("a snapshot of two shards was restored into three")
	}
	newer := slices.Clone(whole.Bytes())
	newer[4] = snapshotFormat + 1
	var e *holdfast.Error
	if err := restore(newer, 2); !errors.As(err, &e) || !strings.Contains(e.Message, "upgrade") {
		t.Errorf("a newer format: %v", err)
	}
}

func TestCheckSeesWhatIsBroken(t *testing.T) {
	for name, damage := range map[string]func(*Machine){
		"number":      func(m *Machine) { m.assigned[1].Event = 7 },
		"owner":       func(m *Machine) { m.assigned[1].Shard = 9 },
		"name twice":  func(m *Machine) { m.assigned[1].Spec = m.assigned[0].Spec },
		"index":       func(m *Machine) { m.byName["a"] = 2 },
		"stray name":  func(m *Machine) { m.byName["z"] = 1 },
		"counter":     func(m *Machine) { m.events[0]++ },
		"bytes":       func(m *Machine) { m.specBytes++ },
		"description": func(m *Machine) { m.assigned[0].Spec.Currency = "Euro" },
	} {
		d := driver{t: t, m: New(Config{Shards: 2})}
		d.assign(spec("a", 1))
		d.assign(spec("b", 1))
		if damage(d.m); len(d.m.Check()) == 0 {
			t.Errorf("damage to the %s was not seen", name)
		}
	}
}
