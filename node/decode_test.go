package node

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
)

// What comes from other nodes and from files is decoded without trust.

func TestAPreambleComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z0-9.-]{0,80}`)
		want := preamble{purpose(rapid.Byte().Draw(t, "purpose")), holdfast.ShardID(rapid.Uint32().Draw(t, "shard")), name.Draw(t, "target"), name.Draw(t, "source")}
		r := bytes.NewReader(append(want.append(nil), "what follows"...))
		got, err := readPreamble(r)
		if rest, _ := io.ReadAll(r); err != nil || got != want || string(rest) != "what follows" {
			t.Fatalf("%+v came back as %+v, %v, and %q is left", want, got, err, rest)
		}
	})
}

func FuzzPreamble(f *testing.F) {
	f.Add(preamble{purpose: purposeRaft, shard: 3, target: "n1-00000001", source: "n2-00000002"}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPreamble(bytes.NewReader(b))
		if err == nil && !bytes.HasPrefix(b, p.append(nil)) {
			t.Errorf("%q was read as %+v", b, p)
		}
	})
}

func FuzzHello(f *testing.F) {
	var b bytes.Buffer
	answerHello(&duplex{Reader: bytes.NewReader([]byte{0}), Writer: &b}, func() Hello { return Hello{ID: "n1-00000001", Peers: []string{"a:1"}} })
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		askHello(&duplex{Reader: bytes.NewReader(b), Writer: io.Discard})
	})
}

type duplex struct {
	io.Reader
	io.Writer
}

func TestAHelloComesBack(t *testing.T) {
	want := Hello{ID: "n1-00000001", Name: "n1", Cluster: "hf-1", Address: "a:1", ClientAddress: "a:2", Version: "1", Shards: 2, Expect: 3, Peers: []string{"a:1", "b:1"}, WallMicros: 1}
	var b bytes.Buffer
	if err := answerHello(&duplex{Reader: bytes.NewReader([]byte{0}), Writer: &b}, func() Hello { return want }); err != nil {
		t.Fatal(err)
	}
	if got, err := askHello(&duplex{Reader: &b, Writer: io.Discard}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v came back as %+v, %v", want, got, err)
	}
}

// FuzzSegment: whatever is in a file, what is read from it has the right checksums.
func FuzzSegment(f *testing.F) {
	b := segmentHead{Shard: 1, Shards: 2, Before: 5, Chain: 7}.append(nil)
	b, chain := record{Index: 6, Term: 1, Entry: []byte("one")}.append(b, 7)
	b, _ = record{Index: 9, Term: 2, Entry: []byte("two")}.append(b, chain)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := newSegmentReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		again := r.head.append(nil)
		chain := r.head.Chain
		for {
			rec, err := r.next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, errTorn) {
					t.Errorf("got %v", err)
				}
				break
			}
			again, chain = rec.append(again, chain)
		}
		if !bytes.HasPrefix(b, again) || int64(len(again)) != r.end {
			t.Errorf("%q was read as %q, to %d", b, again, r.end)
		}
	})
}

func FuzzLesson(f *testing.F) {
	var b bytes.Buffer
	key := holdfast.PersonKey{Event: 1, Hold: holdfast.HoldID{1}, Salt: [8]byte{2}, Wrapped: [64]byte{3}}
	if err := writeLesson(&b, lesson{forgotten: []holdfast.HoldID{{4}}, keys: []holdfast.PersonKey{key}, next: 7, more: true}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := readLesson(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeLesson(&again, l); err != nil {
			t.Fatal(err)
		}
		same, err := readLesson(&again)
		if err != nil || !reflect.DeepEqual(same, l) {
			t.Errorf("%+v came back as %+v, %v", l, same, err)
		}
	})
}

// FuzzKeyFile: whatever is in a file of keys, what is read from it has the right checksums, and it is whole or refused.
func FuzzKeyFile(f *testing.F) {
	b := []byte(keyMagic)
	for i, start := range []int{magicBytes, magicBytes, magicBytes + 2*keyRecordBytes} { // a write of two, and one of one
		at := len(b)
		b = sealRecord(appendKey(b, &holdfast.PersonKey{Event: 1, Hold: holdfast.HoldID{byte(i) + 1}}), at, start)
	}
	f.Add(b)
	f.Add(b[:len(b)-5])
	f.Fuzz(func(t *testing.T, b []byte) {
		again, start := []byte(keyMagic), magicBytes
		whole, err := splitRecords("keys", b, keyMagic, keyRecordBytes, func(record []byte) {
			at, k := len(again), readKey(record)
			if alone := sealRecord(appendKey(nil, &k), 0, at); bytes.Equal(alone, record) {
				start = at
			}
			again = sealRecord(appendKey(again, &k), at, start)
		})
		if err == nil && whole > 0 && !bytes.Equal(b[:whole], again) {
			t.Errorf("%d bytes of %q were read as %q", whole, b, again)
		}
	})
}
