package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// snapshot gives a machine's snapshot, and looks that its digest is the one that Digest says.
func snapshot(t testing.TB, m *Machine) []byte {
	t.Helper()
	c := m.Cut()
	defer c.Release()
	var b bytes.Buffer
	n, err := c.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes of %d written: %v", n, b.Len(), err)
	}
	if c.Digest() != sha256.Sum256(b.Bytes()) {
		t.Fatal("the digest is not that of the snapshot")
	}
	return b.Bytes()
}

func restored(t testing.TB, b []byte) *Machine {
	t.Helper()
	m, err := Restore(Config{Shard: 3}, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// muddle makes commands that hit one another in every state that there is: few buyers, few seats, all kinds.
type muddle struct {
	*rand.Rand
	holds []holdfast.HoldID
	seats int
}

func (r *muddle) hold() holdfast.HoldID {
	if len(r.holds) == 0 {
		return holdfast.HoldID{1}
	}
	return r.holds[max(0, len(r.holds)-1-r.IntN(12))]
}

func (r *muddle) command(s *shard) command.Command {
	anyone := buyerNo(byte(r.IntN(40)))
	wants := []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(r.IntN(r.seats))}}}
	if r.IntN(2) == 0 {
		wants = []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: byte(1 + r.IntN(4))}}
	}
	hold := r.hold()
	v, _ := s.m.Hold(hold)
	buyer := v.Buyer
	switch r.IntN(20) {
	case 0:
		return &command.Swap{Buyer: buyer, Hold: hold, Wants: wants}
	case 1:
		return &command.Extend{Buyer: buyer, Hold: hold}
	case 2:
		return &command.Release{Buyer: buyer, Hold: hold}
	case 3, 4:
		return &command.BeginPayment{Buyer: buyer, Hold: hold, Attempt: v.Attempt + 1, Amount: eur(v.Amount.AmountMinor)}
	case 5, 6:
		return &command.Sell{Hold: hold, As: command.SalePaid, Attempt: max(v.Attempt, 1), Amount: eur(v.Amount.AmountMinor), Payment: hold.String()}
	case 7:
		return &command.Sell{Hold: hold, As: command.SaleInvoiced, Amount: eur(v.Amount.AmountMinor)}
	case 8:
		return &command.Block{Unblock: r.IntN(2) == 0, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(r.IntN(r.seats))}}
	case 9:
		spec := hall()
		spec.Tiers[0].PriceMinor = int64(r.IntN(3)) * 1000
		spec.Sections[2].Places += uint32(s.index)
		view, _ := s.m.Event(theEvent)
		return &command.PutEvent{Expect: view.Version, Spec: spec}
	default:
		id := s.newID(uint64(r.IntN(60_000)))
		r.holds = append(r.holds, holdfast.HoldID(id))
		return &command.Hold{Header: command.Header{ID: id}, Buyer: anyone, Wants: wants}
	}
}

// entry makes the next entry of a shard and of the others alike, and wants the same results of all.
func (r *muddle) entry(s *shard, others ...*shard) {
	s.Helper()
	var cmds []command.Command
	for range r.IntN(6) {
		cmds = append(cmds, r.command(s))
	}
	step := []uint32{0, 3, 500, 500}[r.IntN(4)]
	s.entry(step, cmds...)
	for _, o := range others {
		o.entry(step, cmds...)
		if !bytes.Equal(o.out.Results, s.out.Results) {
			s.Fatalf("entry %d has other results after a restore", s.index)
		}
	}
}

// aMuddledSale has been through so many entries.
func aMuddledSale(t testing.TB, seed uint64, entries int) (*shard, *muddle) {
	s := newSale(t, func(spec *command.EventSpec) {
		spec.Rules = command.Rules{HoldTTLMs: 8000, PayWindowMs: 5000, CoolDownMs: 3000}
	})
	r := &muddle{Rand: rand.New(rand.NewPCG(seed, 1)), seats: 60}
	other := hall()
	other.Name = "empty"
	s.must(holdfast.OK, &command.PutEvent{Header: command.Header{Event: 3}, Spec: other})
	for range entries {
		r.entry(s)
	}
	return s, r
}

// TestARestoredMachineGoesOnAlike lets a machine, one that was restored from it early, and one restored from that
// one late go through the same entries. They must answer the same and have the same snapshot all the way.
func TestARestoredMachineGoesOnAlike(t *testing.T) {
	var all Stats
	ended, free := 0, 0
	for seed := range uint64(6) {
		s, r := aMuddledSale(t, seed, 200)
		early := &shard{TB: t, m: restored(t, snapshot(t, s.m)), index: s.index, ids: s.ids}
		for range 60 {
			r.entry(s, early)
		}
		late := &shard{TB: t, m: restored(t, snapshot(t, early.m)), index: s.index, ids: s.ids}
		for range 60 {
			r.entry(s, early, late)
			want := snapshot(t, s.m)
			if !bytes.Equal(snapshot(t, early.m), want) || !bytes.Equal(snapshot(t, late.m), want) {
				t.Fatalf("seed %d: after entry %d the machines write different snapshots", seed, s.index)
			}
		}
		stats := s.m.Stats()
		all.Holds, all.Orders, all.Remembered = all.Holds+stats.Holds, all.Orders+stats.Orders, all.Remembered+stats.Remembered
		ended, free = ended+s.m.state.ended.len(), free+int(s.m.state.holds.free+s.m.state.buyers.free)
	}
	if all.Holds == 0 || all.Orders == 0 || all.Remembered == 0 || ended == 0 || free == 0 {
		t.Errorf("too little came about to compare: %+v, %d ended, free slots %d", all, ended, free)
	}
}

func TestAnEmptyMachineIsRestored(t *testing.T) {
	b := snapshot(t, New(Config{Shard: 3, OutcomesMax: 77}))
	m := restored(t, b)
	if !bytes.Equal(snapshot(t, m), b) {
		t.Error("the snapshot is another after a restore")
	}
	if m.Stats().RememberedMax != 77 {
		t.Errorf("room for %d outcomes; the snapshot's 77 is what replicas decide by", m.Stats().RememberedMax)
	}
	s := &shard{TB: t, m: m}
	s.must(holdfast.OK, &command.PutEvent{Spec: hall()})
}

// TestARingThatTurnedIsRestored fills what only a long life fills: the ring of ended holds, and outcomes of many spans.
func TestARingThatTurnedIsRestored(t *testing.T) {
	s := newSale(t)
	for i := range uint32(endedMax + 1000) {
		s.m.state.ended.add(scrambledID(i), holdfast.HoldLapsed)
	}
	for i := range 70_000 {
		s.m.state.memory.add(s.newID(uint64(i%60_000)), uint32(i), holdfast.SeatHeld)
	}
	b := snapshot(t, s.m)
	twin := &shard{TB: t, m: restored(t, b), index: s.index, ids: s.ids}
	if !bytes.Equal(snapshot(t, twin.m), b) {
		t.Fatal("the snapshot is another after a restore")
	}
	for i := range uint32(10) {
		id := scrambledID(endedMax + 1000 + i)
		s.m.state.ended.add(id, holdfast.HoldReleased)
		twin.m.state.ended.add(id, holdfast.HoldReleased)
	}
	s.wait(1000)
	twin.wait(1000)
	if !bytes.Equal(snapshot(t, twin.m), snapshot(t, s.m)) {
		t.Error("a turned ring goes on otherwise after a restore")
	}
}

// TestACutIsWrittenWhileTheMachineGoesOn is for the race detector, and for the bytes.
func TestACutIsWrittenWhileTheMachineGoesOn(t *testing.T) {
	s, r := aMuddledSale(t, 9, 100)
	var readers sync.WaitGroup
	defer readers.Wait()
	for range 30 {
		want := sha256.Sum256(snapshot(t, s.m))
		c := s.m.Cut()
		readers.Go(func() {
			defer c.Release()
			for range 3 {
				if c.Digest() != want {
					t.Error("a cut changed under its reader")
				}
			}
			c.Seats(theEvent)
			for range c.Orders(theEvent) {
			}
		})
		for range 5 {
			r.entry(s)
		}
	}
}

// TestEveryDamageIsSeen flips, cuts off, repeats and leaves out whatever there is in a snapshot.
func TestEveryDamageIsSeen(t *testing.T) {
	s, _ := aMuddledSale(t, 4, 25)
	whole := snapshot(t, s.m)
	refused := func(what string, b []byte) {
		t.Helper()
		m, err := Restore(Config{Shard: 3}, bytes.NewReader(b))
		if m != nil || !errors.Is(err, holdfast.Invalid) {
			t.Fatalf("%s: machine %v, error %v", what, m != nil, err)
		}
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << (i % 8)
		refused("a flipped bit", bad)
		refused("an end cut off", whole[:i])
	}
	refused("a byte more", append(bytes.Clone(whole), 0))
	frames := framesOf(whole)
	for i := range frames {
		refused("a frame left out", join(frames[:i], frames[i+1:]))
		refused("a frame twice", join(frames[:i+1], frames[i:]))
		if i > 0 {
			refused("frames in another order", join(frames[:i-1], frames[i:i+1], frames[i-1:i], frames[i+1:]))
		}
	}
}

// framesOf cuts a snapshot into its head and its frames.
func framesOf(b []byte) (frames [][]byte) {
	head := len(snapshotMagic) + 4
	frames, b = append(frames, b[:head]), b[head:]
	for len(b) > 0 {
		n := frameHeadBytes + int(binary.LittleEndian.Uint32(b[1:])) + frameSumBytes
		frames, b = append(frames, b[:n]), b[n:]
	}
	return frames
}

func join(parts ...[][]byte) (b []byte) {
	for _, frames := range parts {
		b = append(b, bytes.Join(frames, nil)...)
	}
	return b
}

func TestRestoreSaysWhatIsWrong(t *testing.T) {
	s := newSale(t)
	whole := snapshot(t, s.m)
	newer := bytes.Clone(whole)
	newer[len(snapshotMagic)]++
	for _, c := range []struct {
		name, says string
		shard      holdfast.ShardID
		b          []byte
	}{
		{"a newer format", "upgrade this node", 3, newer},
		{"something else", "not a snapshot", 3, []byte("PK\x03\x04 and then much more, as archives have")},
		{"nothing", "not a snapshot", 3, nil},
		{"another shard's", "of shard 3, and not of 4", 4, whole},
		{"half of one", "cut off", 3, whole[:len(whole)/2]},
	} {
		_, err := Restore(Config{Shard: c.shard}, bytes.NewReader(c.b))
		if message := fmt.Sprint(err); !errors.Is(err, holdfast.Invalid) || !strings.Contains(message, c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	broken := errors.New("the disk is gone")
	if _, err := Restore(Config{Shard: 3}, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader's error: %v", err)
	}
	if m, err := Restore(Config{Shard: 3}, iotest.OneByteReader(bytes.NewReader(whole))); err != nil || m.Index() != s.index {
		t.Errorf("read a byte at a time: %v", err)
	}
	if m, err := Restore(Config{Shard: 3}, iotest.DataErrReader(bytes.NewReader(whole))); err != nil || m.Index() != s.index {
		t.Errorf("read with the end told early: %v", err)
	}
}

type fullDisk struct{ left int }

var errDiskFull = errors.New("disk full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if n := min(len(b), d.left); n < len(b) {
		d.left = 0
		return n, errDiskFull
	}
	d.left -= len(b)
	return len(b), nil
}

func TestWriteToTellsItsWritersError(t *testing.T) {
	s, _ := aMuddledSale(t, 4, 20)
	c := s.m.Cut()
	for left := range len(snapshot(t, s.m)) {
		if n, err := c.WriteTo(&fullDisk{left}); !errors.Is(err, errDiskFull) || n != int64(left) {
			t.Fatalf("with room for %d bytes: %d, %v", left, n, err)
		}
	}
	c.Release()
	if !panics(func() { c.Digest() }) {
		t.Error("a cut was read after its release")
	}
}

// TestFormatOneStaysReadable restores a snapshot of the format before lines and payments, which was kept. When it cannot
// be read any more, members that upgrade lose their state: that is what format numbers are for. What was kept is the
// sale below, as that version wrote it; its orders are paid ones.
func TestFormatOneStaysReadable(t *testing.T) {
	kept, err := os.ReadFile(filepath.Join("testdata", "format-1.snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := aMuddledSale(t, 1, 120)
	m := restored(t, kept)
	if !bytes.Equal(snapshot(t, m), snapshot(t, s.m)) {
		t.Error("what was kept is read as another state")
	}
	for _, v := range m.Check() {
		t.Error(v)
	}
	paid := 0
	for _, o := range m.state.orders.all() {
		if o.State == holdfast.OrderPaid {
			paid++
		}
	}
	if paid == 0 {
		t.Error("no order of the old format is paid")
	}
}

// withSums gives a snapshot whose payload was tampered with the checksums that it should have.
func withSums(frames [][]byte) []byte {
	whole, sum, bytes := frames[0], uint32(0), uint64(0)
	for i, f := range frames[1:] {
		if f[0] == partEnd && i == len(frames)-2 && len(f) == frameHeadBytes+12+frameSumBytes {
			binary.LittleEndian.PutUint64(f[frameHeadBytes:], bytes)
			binary.LittleEndian.PutUint32(f[frameHeadBytes+8:], sum)
		}
		payload := f[:len(f)-frameSumBytes]
		binary.LittleEndian.PutUint32(f[len(payload):], crc32.Checksum(payload, castagnoli))
		sum, bytes = crc32.Update(sum, castagnoli, f), bytes+uint64(len(f))
		whole = append(whole[:len(whole):len(whole)], f...)
	}
	return whole
}

// FuzzRestore reads anything. What is restored must be written again as it was read.
func FuzzRestore(f *testing.F) {
	s, _ := aMuddledSale(f, 4, 40)
	f.Add(snapshot(f, s.m))
	f.Add(snapshot(f, New(Config{Shard: 3})))
	f.Fuzz(func(t *testing.T, b []byte) { tryToRestore(t, b) })
}

// FuzzRestoreWithRightSums changes a sound state under checksums that are right. Such a state may be refused, or
// believed; then it may stop at an assertion, but must not run into anything else.
func FuzzRestoreWithRightSums(f *testing.F) {
	s, _ := aMuddledSale(f, 4, 40)
	fuzzSums(f, snapshot(f, s.m))
}

// FuzzRestoreMoneyWithRightSums does the same to a state full of payments.
func FuzzRestoreMoneyWithRightSums(f *testing.F) {
	s := aMoneyMuddle(f, 4, 60)
	fuzzSums(f, snapshot(f, s.m))
}

func fuzzSums(f *testing.F, whole []byte) {
	f.Add(uint32(len(whole)/2), []byte{7})
	f.Add(uint32(100), []byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, at uint32, xor []byte) {
		b := bytes.Clone(whole)
		head := len(snapshotMagic) + 4
		for i, x := range xor {
			b[head+(int(at)+i)%(len(b)-head)] ^= x
		}
		// Frames are cut where they were: a change of their lengths is FuzzRestore's.
		at32 := head
		var frames [][]byte
		for i, f := range framesOf(whole) {
			if i > 0 {
				copy(b[at32+1:at32+frameHeadBytes], whole[at32+1:])
				frames = append(frames, b[at32:at32+len(f)])
				at32 += len(f)
			} else {
				frames = append(frames, b[:head])
			}
		}
		tryToRestore(t, withSums(frames))
	})
}

func tryToRestore(t *testing.T, b []byte) {
	m, err := Restore(Config{Shard: 3}, bytes.NewReader(b))
	if err != nil {
		return
	}
	if again := snapshot(t, m); !bytes.Equal(again, b) && b[len(snapshotMagic)] == snapshotFormat {
		t.Fatalf("%s\nwas read, and is written as\n%s", hex.EncodeToString(b), hex.EncodeToString(again))
	}
	onlyAssertions(t, func() { m.Check() })
	onlyAssertions(t, func() {
		s := &shard{TB: nil, m: m, index: m.Index(), ids: 1 << 40}
		r := &muddle{Rand: rand.New(rand.NewPCG(1, 1)), seats: 60}
		money := &moneyMuddle{Rand: r.Rand}
		for _, h := range m.state.holds.all() {
			r.holds = append(r.holds, h.ID)
		}
		money.holds = r.holds
		for range 40 {
			pack := command.BeginEntry(nil)
			cmd := r.command(s)
			if money.IntN(2) == 0 {
				cmd = money.command(s)
			}
			cmd.Head().ID, cmd.Head().Event = s.newID(1000), theEvent
			s.index++
			m.Apply(s.index, command.FinishEntry(cmd.Append(pack), 500_000, 0, 1), &s.out)
		}
	})
}

func onlyAssertions(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		switch e := recover().(type) {
		case nil, *AssertionError:
		default:
			t.Errorf("neither sound nor stopped: %v", e)
			panic(e)
		}
	}()
	f()
}

// BenchmarkSnapshot cuts, writes and restores a million seats, half of them in as many holds, with as many outcomes.
//
//	go test ./fsm -run '^$' -bench Snapshot -benchtime 3x
func BenchmarkSnapshot(b *testing.B) {
	const seats, holds, row, packed = 1_000_000, 500_000, 1000, 2000
	spec := hall()
	spec.Allocations, spec.Sections = nil, []command.Section{{Name: "all"}}
	for r := range seats / row {
		spec.Sections[0].Rows = append(spec.Sections[0].Rows, command.Row{Label: holdfast.ShardID(r).String(), First: 1, Seats: row, Tier: holdfast.AnyTier})
	}
	s := newShard(b)
	s.must(holdfast.OK, &command.PutEvent{Spec: spec})
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleOpen})
	for n := 0; n < holds; {
		entry := command.BeginEntry(nil)
		for range packed {
			c := command.Hold{Header: command.Header{ID: s.newID(30_000), Event: theEvent},
				Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(n * 2)}}}}
			binary.BigEndian.PutUint32(c.Buyer[:], uint32(n))
			entry = c.Append(entry)
			n++
		}
		s.index++
		s.m.Apply(s.index, command.FinishEntry(entry, 10_000, 0, packed), &command.Output{})
	}
	whole := snapshot(b, s.m)
	b.Run("cut", func(b *testing.B) {
		for range b.N {
			s.m.Cut().Release()
		}
	})
	c := s.m.Cut()
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(whole)))
		for range b.N {
			c.WriteTo(io.Discard)
		}
	})
	b.Run("digest", func(b *testing.B) {
		b.SetBytes(int64(len(whole)))
		for range b.N {
			c.Digest()
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(len(whole)))
		for range b.N {
			restored(b, whole)
		}
	})
}
