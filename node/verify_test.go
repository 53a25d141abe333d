package node

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// counter is a machine that is broken as soon as it has executed a certain command, without noticing.
type counter struct {
	index, commands, breaksAt uint64
}

func (c *counter) Apply(index uint64, entry []byte, _ *command.Output) {
	e, err := command.OpenEntry(entry)
	if err != nil {
		panic(err)
	}
	c.index, c.commands = index, c.commands+uint64(e.Count)
}

func (c *counter) violations() []string {
	if c.commands >= c.breaksAt {
		return []string{"I1 one owner: two of them"}
	}
	return nil
}

func (c *counter) Index() uint64         { return c.index }
func (c *counter) Clock() holdfast.Clock { return 0 }
func (c *counter) digest() [32]byte      { return [32]byte{} }
func (c *counter) sold() uint64          { return 0 }

func (c *counter) snapshot() []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, c.index), c.commands)
}

// TestVerifyFindsTheFirstBrokenSlot, wherever between two checks it is.
func TestVerifyFindsTheFirstBrokenSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 30).Draw(t, "commands of entries")
		total := 0
		for _, n := range sizes {
			total += n
		}
		if total == 0 {
			t.Skip("no command")
		}
		breaksAt := rapid.IntRange(1, total).Draw(t, "breaks at")
		checkAfter := rapid.IntRange(0, len(sizes)-1).Draw(t, "a check after")
		v := &verifier{restore: func(snapshot []byte) (replica, error) {
			c := &counter{breaksAt: uint64(breaksAt)}
			if snapshot != nil {
				c.index, c.commands = binary.LittleEndian.Uint64(snapshot), binary.LittleEndian.Uint64(snapshot[8:])
			}
			return c, nil
		}}
		if err := v.begin(nil); err != nil {
			t.Fatal(err)
		}
		var err error
		wantIndex, wantSlot, before := uint64(0), 0, 0
		for i, n := range sizes {
			if before < breaksAt && before+n >= breaksAt {
				wantIndex, wantSlot = uint64(i+1), breaksAt-before-1
			}
			before += n
			mark := command.Mark{}
			b := command.BeginEntry(nil)
			for range n {
				b = mark.Append(b)
			}
			err = errors.Join(err, v.apply(record{Index: uint64(i + 1), Entry: command.FinishEntry(b, 0, 0, n)}))
			if i == checkAfter && err == nil {
				err = v.check()
			}
		}
		if err == nil {
			err = v.finish()
		}
		var broken *VerifyError
		if !errors.As(err, &broken) || broken.Index != wantIndex || broken.Slot != wantSlot || !slices.Equal(broken.Broken, []string{"I1 one owner: two of them"}) {
			t.Fatalf("got %v, want entry %d, slot %d", err, wantIndex, wantSlot)
		}
	})
}

// A shard on which nothing happens writes an empty entry a few times a second, for months.
func TestVerifyKeepsNoMoreThanWhatIsBetweenTwoChecks(t *testing.T) {
	v := &verifier{restore: func([]byte) (replica, error) { return &counter{breaksAt: 1}, nil }}
	if err := v.begin(nil); err != nil {
		t.Fatal(err)
	}
	empty := command.FinishEntry(command.BeginEntry(nil), 0, 0, 0)
	for i := range uint64(checkEvery) {
		if err := v.apply(record{Index: i + 1, Entry: empty}); err != nil {
			t.Fatal(err)
		}
	}
	if v.report.Checks != 2 || len(v.since) != 0 {
		t.Errorf("after %d empty entries: %d checks, %d entries kept", checkEvery, v.report.Checks, len(v.since))
	}
}
