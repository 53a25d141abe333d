package directory

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// epoch is the wall clock of a driver's first entry.
const epoch = 1_700_000_000_000

func frontendKey(n byte, from, to int64) holdfast.FrontendKey {
	return holdfast.FrontendKey{Frontend: "front-" + string('a'+rune(n%26)), Public: [32]byte{n, 1}, NotBeforeMs: epoch + from, NotAfterMs: epoch + to}
}

func (d *driver) putKey(k holdfast.FrontendKey) holdfast.Outcome {
	d.t.Helper()
	return d.apply(&command.PutKey{Key: k})[0].Outcome
}

func TestAKeyIsKnownUntilItExpires(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 1})}
	first, next := frontendKey(1, 0, 5), frontendKey(2, 2, 1_000_000)
	for _, k := range []holdfast.FrontendKey{next, first, first} { // a repeat changes nothing
		if o := d.putKey(k); o != holdfast.OK {
			t.Fatal(o)
		}
	}
	if keys := d.m.Keys(); len(keys) != 2 || keys[0] != first || keys[1] != next {
		t.Errorf("the two overlap, and these are known: %+v", keys)
	}
	for range 5 { // each entry is a millisecond later
		d.apply()
	}
	if o := d.putKey(next); o != holdfast.OK || len(d.m.Keys()) != 1 || d.m.Keys()[0] != next {
		t.Errorf("%s, and these are known after the first has expired: %+v", o, d.m.Keys())
	}
	next.NotAfterMs = d.m.WallMs() // taken back
	if o := d.putKey(next); o != holdfast.OK || len(d.m.Keys()) != 0 {
		t.Errorf("%s, and a key that was taken back is known: %+v", o, d.m.Keys())
	}
}

func TestThereAreSoManyKeysAndNotMore(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 1})}
	for i := range holdfast.KeysMax {
		if o := d.putKey(frontendKey(byte(i), 0, 1_000_000+int64(i))); o != holdfast.OK {
			t.Fatalf("key %d: %s", i, o)
		}
	}
	if o := d.putKey(frontendKey(200, 0, 1_000_000)); o != holdfast.KeysFull || len(d.m.Keys()) != holdfast.KeysMax {
		t.Errorf("one too many: %s", o)
	}
	longer := frontendKey(7, 0, 2_000_000)
	if o := d.putKey(longer); o != holdfast.OK {
		t.Errorf("a key that is there gets a longer life: %s", o)
	}
	longer.NotAfterMs = epoch + 1
	d.putKey(longer)
	if o := d.putKey(frontendKey(200, 0, 1_000_000)); o != holdfast.OK {
		t.Errorf("when one was taken back: %s", o)
	}
}

func TestKeysAreInTheSnapshot(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 1})}
	d.assign(spec("a", 1))
	empty := d.m.Cut()
	d.putKey(frontendKey(3, 0, 1_000_000))
	d.putKey(frontendKey(1, 0, 1_000_000))
	var b bytes.Buffer
	if _, err := d.m.Cut().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(Config{Shards: 1}, bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := restored.Keys(), d.m.Keys(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] || restored.Cut().Digest() != d.m.Cut().Digest() {
		t.Errorf("restored %+v, want %+v", got, want)
	}
	if len(empty.keys) != 0 || empty.Digest() == d.m.Cut().Digest() {
		t.Error("a cut changed while the machine went on, or keys are not in the digest")
	}
}

// A snapshot of the version that knew no keys.
func TestASnapshotWithoutKeysIsRead(t *testing.T) {
	d := driver{t: t, m: New(Config{Shards: 1})}
	d.assign(spec("a", 1))
	var b bytes.Buffer
	if _, err := d.m.Cut().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	old := b.Bytes()[:b.Len()-8] // without the number of keys and the checksum
	binary.LittleEndian.PutUint32(old[4:], 1)
	old = binary.LittleEndian.AppendUint32(old, crc32.Checksum(old, castagnoli))
	m, err := Restore(Config{Shards: 1}, bytes.NewReader(old))
	if err != nil || len(m.Keys()) != 0 || len(m.Assignments()) != 1 {
		t.Errorf("format 1: %v, %+v", err, m)
	}
}

func TestCheckSeesBrokenKeys(t *testing.T) {
	for name, damage := range map[string]func(*Machine){
		"order":    func(m *Machine) { m.keys[0], m.keys[1] = m.keys[1], m.keys[0] },
		"life":     func(m *Machine) { m.keys[0].NotAfterMs = 0 },
		"nobody's": func(m *Machine) { m.keys[1].Frontend = "" },
		"too many": func(m *Machine) { m.keys = append(m.keys, make([]holdfast.FrontendKey, holdfast.KeysMax)...) },
	} {
		d := driver{t: t, m: New(Config{Shards: 1})}
		d.putKey(frontendKey(1, 0, 1_000_000))
		d.putKey(frontendKey(2, 0, 1_000_000))
		if damage(d.m); len(d.m.Check()) == 0 {
			t.Errorf("damage to the keys' %s was not seen", name)
		}
	}
}
