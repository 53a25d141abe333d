package command_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestEntriesSurviveTheRoundTrip(t *testing.T) {
	var buffer []byte
	rapid.Check(t, func(t *rapid.T) {
		want := command.Entry{StepMicros: rapid.Uint32().Draw(t, "step"), WallMs: rapid.Int64().Draw(t, "wall")}
		cmds := rapid.SliceOfN(rapid.Custom(anyCommand), 0, 4).Draw(t, "commands")
		buffer = command.BeginEntry(buffer)
		for _, c := range cmds {
			buffer = c.Append(buffer)
			want.Commands = c.Append(want.Commands)
		}
		want.Count = len(cmds)
		buffer = command.FinishEntry(buffer, want.StepMicros, want.WallMs, want.Count)
		if len(buffer) != len(want.Commands)+command.EntryOverheadBytes {
			t.Fatalf("%d bytes around %d", len(buffer), len(want.Commands))
		}
		got, err := command.OpenEntry(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if got.StepMicros != want.StepMicros || got.WallMs != want.WallMs || got.Count != want.Count || !bytes.Equal(got.Commands, want.Commands) {
			t.Fatalf("opened %+v, finished %+v", got, want)
		}
	})
}

// TestAnyDamageToAnEntryIsSeen flips every bit of an entry, and cuts it everywhere.
func TestAnyDamageToAnEntryIsSeen(t *testing.T) {
	b := command.BeginEntry(nil)
	b = (&command.SetSale{State: holdfast.SaleOpen}).Append(b)
	b = command.FinishEntry(b, 1000, 2000, 1)
	if _, err := command.OpenEntry(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := command.OpenEntry(b); fieldOf(err) != "entry" {
				t.Errorf("bit %d of byte %d flipped: %v", bit, i, err)
			}
			b[i] ^= 1 << bit
		}
		if _, err := command.OpenEntry(b[:i]); fieldOf(err) != "entry" {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

// TestEntriesOfTheFutureAreRefused although their checksum is right: a replica stops rather than guess.
func TestEntriesOfTheFutureAreRefused(t *testing.T) {
	reseal := func(change func(b []byte)) []byte {
		b := command.BeginEntry(nil)
		b = command.FinishEntry(b, 0, 0, 0)
		b = b[:len(b)-4]
		change(b)
		return seal(b)
	}
	for name, b := range map[string][]byte{
		"format":        reseal(func(b []byte) { b[0] = 2 }),
		"format zero":   reseal(func(b []byte) { b[0] = 0 }),
		"reserved byte": reseal(func(b []byte) { b[2] = 1 }),
		"count":         reseal(func(b []byte) { b[18] = 2 }),
	} {
		if _, err := command.OpenEntry(b); fieldOf(err) != "entry" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := command.OpenEntry(reseal(func(b []byte) { b[18] = 1 })); err != nil {
		t.Errorf("the largest count is refused: %v", err)
	}
}

func TestTheEntryIsPinned(t *testing.T) {
	b := command.FinishEntry(command.BeginEntry(nil), 0x01020304, 5, 6)
	if got := hex.EncodeToString(b[:len(b)-4]); got != "01000000"+"04030201"+"0500000000000000"+"06000000" {
		t.Errorf("the header changed: %s", got)
	}
	if got := hex.EncodeToString(b[len(b)-4:]); got != hex.EncodeToString(seal(b[:len(b)-4])[len(b)-4:]) {
		t.Errorf("the checksum is not CRC-32C of all before it: %s", got)
	}
	if command.StepMax != 500_000 {
		t.Errorf("StepMax is %d µs", command.StepMax)
	}
	if got := command.Fingerprint([]byte("123456789")); got != 0xE3069283 { // the check value that catalogues of CRCs give for CRC-32C
		t.Errorf("fingerprints changed: %#x", got)
	}
}
