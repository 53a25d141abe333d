package draw_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/record.json anew; a page that was written for the old one does not read it")

const event holdfast.EventID = 7

func key(n int) holdfast.PlaceKey { return sha256.Sum256(fmt.Appendf(nil, "key %d", n)) }

func keys(from, n int) (keys []holdfast.PlaceKey) {
	for i := range n {
		keys = append(keys, key(from+i))
	}
	return keys
}

func leaves(keys []holdfast.PlaceKey) (leaves []draw.Hash) {
	for _, k := range keys {
		leaves = append(leaves, draw.Leaf(event, k))
	}
	return leaves
}

// TestHashesAreWhatTheDocumentationSays works them out from bytes that are put together by hand.
func TestHashesAreWhatTheDocumentationSays(t *testing.T) {
	k, k2 := key(1), key(2)
	sum := func(parts ...[]byte) draw.Hash { return sha256.Sum256(bytes.Join(parts, nil)) }
	leaf, leaf2 := sum([]byte{0, 0, 0, 0, 7}, k[:]), sum([]byte{0, 0, 0, 0, 7}, k2[:])
	if draw.Leaf(event, k) != leaf {
		t.Error("a leaf is another hash")
	}
	root := sum([]byte{1}, leaf[:], leaf2[:])
	if draw.Root([]draw.Hash{leaf, leaf2}) != root || draw.Root([]draw.Hash{leaf}) != leaf {
		t.Error("a root is another hash")
	}
	start := sum([]byte{2, 0, 0, 0, 7})
	chain := sum([]byte{3}, start[:], []byte{0, 0, 1, 0}, []byte{0, 0, 0, 2}, root[:])
	if draw.Start(event) != start || draw.Extend(start, &draw.Header{Base: 256, Count: 2, Root: root}) != chain {
		t.Error("a chain is another hash")
	}
	secret := holdfast.LineSecret{9, 31: 8}
	if draw.Commitment(event, secret) != sum([]byte{4, 0, 0, 0, 7}, secret[:]) {
		t.Error("a commitment is another hash")
	}
	round := holdfast.BeaconRound{Round: 3, Signature: [64]byte{1}}
	mac := hmac.New(sha256.New, secret[:])
	mac.Write(slices.Concat(chain[:], []byte{0, 0, 2, 0}, round.Signature[:]))
	seed := draw.Hash(mac.Sum(nil))
	if draw.Seed(secret, chain, 512, &round) != seed {
		t.Error("a seed is another hash")
	}
	mac = hmac.New(sha256.New, seed[:])
	mac.Write(k[:])
	lot := new(big.Int).SetBytes(mac.Sum(nil)[:8])
	want := lot.Rsh(lot.Mul(lot, big.NewInt(512)), 64).Uint64()
	if got := draw.Position(seed, 512, 3, k); uint64(got) != want {
		t.Errorf("position %d, want %d", got, want)
	}
	if got := draw.Position(seed, 512, 512, k); got != 512 {
		t.Errorf("who came after the cut-off stands at %d, not at the own number", got)
	}
}

// TestEveryPathLeadsToTheRoot for trees of every size up to 70 and of the largest, and to no other.
func TestEveryPathLeadsToTheRoot(t *testing.T) {
	sizes := []int{holdfast.EnterPlacesMax - 1, holdfast.EnterPlacesMax}
	for n := 1; n <= 70; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		all := leaves(keys(0, n))
		root := draw.Root(all)
		step := max(1, n/40)
		for i := 0; i < n; i += step {
			path := draw.Path(all, i)
			if len(path) > holdfast.PathMax {
				t.Fatalf("a path of %d hashes", len(path))
			}
			if !draw.Includes(root, uint32(n), uint32(i), all[i], path) {
				t.Fatalf("leaf %d of %d is not found", i, n)
			}
			for _, wrong := range []struct {
				count, index int
				leaf         draw.Hash
				path         []draw.Hash
			}{
				{n, (i + 1) % n, all[i], path}, {n, i, draw.Leaf(event+1, key(i)), path}, {n, i, all[i], append(slices.Clone(path), root)},
				{n, n, all[i], path}, {n, i, root, nil},
			} {
				if n > 1 && draw.Includes(root, uint32(wrong.count), uint32(wrong.index), wrong.leaf, wrong.path) {
					t.Fatalf("leaf %d of %d: %+v was believed", i, n, wrong)
				}
			}
			for at := range path {
				bent := slices.Clone(path)
				bent[at][0] ^= 1
				if draw.Includes(root, uint32(n), uint32(i), all[i], bent) || draw.Includes(root, uint32(n), uint32(i), all[i], path[:at]) {
					t.Fatalf("leaf %d of %d with a wrong path was believed", i, n)
				}
			}
		}
	}
}

// TestANodeIsNoLeaf: nobody can take two people's place by calling the hash above them a leaf.
func TestANodeIsNoLeaf(t *testing.T) {
	all := leaves(keys(0, 4))
	above := draw.Root(all[:2])
	if draw.Root([]draw.Hash{above, draw.Root(all[2:])}) != draw.Root(all) {
		t.Fatal("the tree is not what it was")
	}
	for n := range uint32(5) {
		for i := range uint32(2) {
			if n != 2 && draw.Includes(draw.Root(all), n, i, above, []draw.Hash{draw.Root(all[2:])}) {
				t.Errorf("a node is taken for leaf %d of %d", i, n)
			}
		}
	}
}

// TestPositionsAreUniform throws what many keys draw, under fixed seeds, into bins, and compares with chance: with 63
// degrees of freedom chi-square is over 103.4 once in a thousand times.
func TestPositionsAreUniform(t *testing.T) {
	const cohort, people, bins = 50_000, 20_000, 64
	for s := range 12 {
		seed := sha256.Sum256(fmt.Appendf(nil, "seed %d", s))
		var count [bins]float64
		for i := range people {
			p := draw.Position(seed, cohort, holdfast.PlaceNumber(i), key(i))
			if p >= cohort {
				t.Fatalf("position %d of %d", p, cohort)
			}
			count[uint64(p)*bins/cohort]++
		}
		chi, mean := 0.0, float64(people)/bins
		for _, n := range count {
			chi += (n - mean) * (n - mean) / mean
		}
		if chi > 103.4 {
			t.Errorf("seed %d: chi-square %.1f", s, chi)
		}
	}
}

// TestArrivalDoesNotHelp: those who came first among the cohort stand as far ahead as those who came last.
func TestArrivalDoesNotHelp(t *testing.T) {
	const cohort, seeds = 2_000, 100
	first, last := 0.0, 0.0
	for s := range seeds {
		seed := sha256.Sum256(fmt.Appendf(nil, "seed %d", s))
		for i := range 100 {
			first += float64(draw.Position(seed, cohort, holdfast.PlaceNumber(i), key(i)))
			last += float64(draw.Position(seed, cohort, holdfast.PlaceNumber(cohort-1-i), key(cohort-1-i)))
		}
	}
	// 10,000 draws each of a uniform position: the mean has a deviation of 0.29 % of the cohort, the difference of 0.41 %.
	if diff := (first - last) / (100 * seeds) / cohort; diff > 0.0165 || diff < -0.0165 {
		t.Errorf("the first stand %.2f %% of the line behind the last", 100*diff)
	}
}

// TestTiesGoByNumber: an order is total. Of two with one key, who came first stands ahead.
func TestTiesGoByNumber(t *testing.T) {
	seed := sha256.Sum256([]byte("seed"))
	const cohort = 300
	var all []draw.Place
	for i := range cohort {
		all = append(all, draw.Place{Number: holdfast.PlaceNumber(i), Key: key(i)})
	}
	for i := range 20 { // after the cut-off
		all = append(all, draw.Place{Number: cohort + holdfast.PlaceNumber(i), Key: key(1000 + i)})
	}
	twice := draw.Place{Number: 250, Key: key(10)}
	all[250] = twice
	compare := func(a, b draw.Place) int {
		switch {
		case draw.Before(seed, cohort, a, b):
			return -1
		case draw.Before(seed, cohort, b, a):
			return 1
		}
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(all), compare)
	at := func(number holdfast.PlaceNumber) int {
		return slices.IndexFunc(sorted, func(p draw.Place) bool { return p.Number == number })
	}
	if at(250) != at(10)+1 {
		t.Errorf("two places with one key stand at %d and %d", at(10), at(250))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if again := slices.SortedFunc(slices.Values(all), compare); !slices.Equal(again, sorted) {
		t.Error("the order depends on where one starts from")
	}
	ties := 0
	for i := 1; i < len(sorted); i++ {
		a, b := draw.Position(seed, cohort, sorted[i-1].Number, sorted[i-1].Key), draw.Position(seed, cohort, sorted[i].Number, sorted[i].Key)
		if a > b {
			t.Fatalf("position %d stands before position %d", a, b)
		}
		if a == b {
			ties++
		}
	}
	if ties < cohort/4 { // chance alone puts a third of them on a position that is taken
		t.Errorf("%d ties among %d", ties, cohort)
	}
	if sorted[len(sorted)-1].Number != cohort+19 {
		t.Error("who came last after the cut-off does not stand last")
	}
}

// drawn makes a line, draws it, and gives its record with everybody's key and path.
func drawn(t testing.TB, sizes []int, beacon bool) (*draw.Record, []draw.Place, [][]draw.Hash) {
	t.Helper()
	secret := holdfast.LineSecret(sha256.Sum256([]byte("secret")))
	r := &draw.Record{Format: draw.Format, Event: event, Commitment: draw.Commitment(event, secret), OpenedMs: 1000, DrawMs: 5000, FrozenMs: 5100, Drawn: true, DrawnMs: 9000,
		Secret: draw.Revealed(secret), Chain: draw.Start(event)}
	var people []draw.Place
	var paths [][]draw.Hash
	for _, n := range sizes {
		block := leaves(keys(len(people), n))
		h := draw.Header{Base: holdfast.PlaceNumber(len(people)), Count: uint32(n), Root: draw.Root(block)}
		r.Headers, r.Chain = append(r.Headers, h), draw.Extend(r.Chain, &h)
		for i := range n {
			people = append(people, draw.Place{Number: holdfast.PlaceNumber(len(people)), Key: key(len(people))})
			paths = append(paths, draw.Path(block, i))
		}
	}
	r.Cohort = uint32(len(people))
	if beacon {
		r.Beacon, r.FallbackMs = chainOf(t), 600
		r.Round = signed(draw.RoundFor(&r.Beacon, r.FrozenMs))
		r.DrawnMs = r.Beacon.RoundTimeMs(r.Round.Round)
	}
	r.Seed = draw.Seed(secret, r.Chain, r.Cohort, r.Round)
	return r, people, paths
}

var beaconKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))

func chainOf(testing.TB) holdfast.Beacon {
	return holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte(beaconKey.Public().(ed25519.PublicKey)), GenesisMs: 500, PeriodMs: 1000}
}

func signed(round uint64) *holdfast.BeaconRound {
	r := &holdfast.BeaconRound{Round: round, Previous: [64]byte{byte(round)}}
	message := draw.Signed(round, &r.Previous)
	r.Signature = [64]byte(ed25519.Sign(beaconKey, message[:]))
	return r
}

func TestADrawIsVerifiedFromItsRecordAlone(t *testing.T) {
	for _, beacon := range []bool{false, true} {
		r, people, paths := drawn(t, []int{3, 1, 17, 1000}, beacon)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back draw.Record
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(&back, r) {
			t.Fatalf("read back as %+v: %v", back, err)
		}
		if err := draw.Verify(&back); err != nil {
			t.Fatal(err)
		}
		for i, p := range people {
			got, err := draw.VerifyPlace(&back, p.Number, p.Key, paths[i])
			if want := draw.Position(r.Seed, r.Cohort, p.Number, p.Key); err != nil || got != want {
				t.Fatalf("place %d stands at %d, not at %d: %v", i, want, got, err)
			}
		}
		for i, p := range people[:20] {
			if _, err := draw.VerifyPlace(&back, p.Number+1, p.Key, paths[i]); err == nil {
				t.Errorf("place %d was found under another number", i)
			}
			if _, err := draw.VerifyPlace(&back, p.Number, key(1_000_000), paths[i]); err == nil {
				t.Errorf("place %d was found with another's key", i)
			}
		}
		if _, err := draw.VerifyPlace(&back, holdfast.PlaceNumber(len(people)), people[0].Key, nil); err == nil {
			t.Error("a place that nobody has was found")
		}
	}
}

// TestForgedRecordsAreRefused changes one thing at a time. Each row is a way to steer a draw afterwards; the record
// names what is wrong.
func TestForgedRecordsAreRefused(t *testing.T) {
	other := holdfast.LineSecret{1}
	for name, c := range map[string]struct {
		field string
		forge func(r *draw.Record)
	}{
		"another format": {"format", func(r *draw.Record) { r.Format++ }},
		"another event":  {"chain", func(r *draw.Record) { r.Event++ }},
		"another secret": {"secret", func(r *draw.Record) { r.Secret = draw.Revealed(other) }},
		"another secret, seed worked out": {"secret", func(r *draw.Record) {
			r.Secret = draw.Revealed(other)
			r.Seed = draw.Seed(other, r.Chain, r.Cohort, r.Round)
		}},
		"another seed":                     {"seed", func(r *draw.Record) { r.Seed[0]++ }},
		"a header left out":                {"cohort", func(r *draw.Record) { r.Headers = r.Headers[:2] }},
		"a header left out, fewer people":  {"chain", func(r *draw.Record) { r.Headers, r.Cohort = r.Headers[:2], 4 }},
		"a header added":                   {"chain", func(r *draw.Record) { r.Headers = append(r.Headers, draw.Header{Base: 21, Count: 1}); r.Cohort++ }},
		"two headers in another order":     {"headers", func(r *draw.Record) { r.Headers[0], r.Headers[2] = r.Headers[2], r.Headers[0] }},
		"the same, numbers mended":         {"chain", func(r *draw.Record) { r.Headers[0].Root, r.Headers[2].Root = r.Headers[2].Root, r.Headers[0].Root }},
		"another person in a header":       {"chain", func(r *draw.Record) { r.Headers[1].Root = draw.Leaf(event, key(99)) }},
		"a header larger than may be":      {"headers", func(r *draw.Record) { r.Headers[2].Count = holdfast.EnterPlacesMax + 1 }},
		"a header of nobody":               {"headers", func(r *draw.Record) { r.Headers[1].Count = 0 }},
		"another number of people":         {"cohort", func(r *draw.Record) { r.Cohort++ }},
		"frozen before the cut-off":        {"frozen_ms", func(r *draw.Record) { r.FrozenMs = r.DrawMs - 1 }},
		"not frozen":                       {"frozen_ms", func(r *draw.Record) { r.FrozenMs = 0 }},
		"frozen before it was opened":      {"frozen_ms", func(r *draw.Record) { r.OpenedMs = r.FrozenMs + 1 }},
		"drawn before it was frozen":       {"drawn_ms", func(r *draw.Record) { r.DrawnMs = r.FrozenMs - 1 }},
		"not drawn":                        {"drawn", func(r *draw.Record) { r.Drawn = false }},
		"no round":                         {"round", func(r *draw.Record) { r.Round = nil }},
		"a round of another chain":         {"round", func(r *draw.Record) { r.Beacon.PublicKey[0]++ }},
		"an older round":                   {"round", func(r *draw.Record) { r.Round = signed(r.Round.Round - 1) }},
		"a later round":                    {"round", func(r *draw.Record) { r.Round = signed(r.Round.Round + 1) }},
		"a round that nobody signed":       {"round", func(r *draw.Record) { r.Round.Signature[5]++ }},
		"a round after another":            {"round", func(r *draw.Record) { r.Round.Previous[5]++ }},
		"done without too early":           {"fallback", func(r *draw.Record) { r.Round, r.Fallback = nil, true }},
		"done without, and with":           {"fallback", func(r *draw.Record) { r.Fallback = true }},
		"a beacon of no kind":              {"beacon", func(r *draw.Record) { r.Beacon.Kind = 9 }},
		"a round where none was promised":  {"round", func(r *draw.Record) { r.Beacon = holdfast.Beacon{} }},
		"a frozen time that allows an old": {"round", func(r *draw.Record) { r.FrozenMs += 1000; r.DrawnMs += 9000 }},
	} {
		r, _, _ := drawn(t, []int{3, 1, 17}, true)
		if err := draw.Verify(r); err != nil {
			t.Fatal(err)
		}
		c.forge(r)
		var f *draw.Fault
		if err := draw.Verify(r); !errors.As(err, &f) || f.Field != c.field {
			t.Errorf("%s: %v, want field %s", name, err, c.field)
		}
	}
}

// TestAMissingRoundIsDoneWithoutAndTheRecordSaysSo.
func TestAMissingRoundIsDoneWithoutAndTheRecordSaysSo(t *testing.T) {
	r, _, _ := drawn(t, []int{3}, true)
	round := r.Round.Round
	r.Round, r.Fallback = nil, true
	r.DrawnMs = r.Beacon.RoundTimeMs(round) + int64(r.FallbackMs)
	r.Seed = draw.Seed(holdfast.LineSecret(r.Secret), r.Chain, r.Cohort, nil)
	if err := draw.Verify(r); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(r)
	if !bytes.Contains(text, []byte(`"fallback":true`)) {
		t.Errorf("%s does not say that the round is missing", text)
	}
	r.DrawnMs--
	if draw.Verify(r) == nil {
		t.Error("a millisecond earlier it was done without too")
	}
}

// TestTheRoundComesAfterTheFreeze for freezes at all instants around a round.
func TestTheRoundComesAfterTheFreeze(t *testing.T) {
	b := chainOf(t)
	for ms := int64(0); ms < 5000; ms++ {
		round := draw.RoundFor(&b, ms)
		if at := b.RoundTimeMs(round); at <= ms || at > max(ms+int64(b.PeriodMs), b.GenesisMs) {
			t.Fatalf("frozen at %d, drawn from round %d, which comes at %d", ms, round, at)
		}
	}
	b.Round = 100
	if draw.RoundFor(&b, 600) != 100 || draw.RoundFor(&b, b.RoundTimeMs(100)) != 101 {
		t.Error("the round that was promised is used unless it came before the freeze")
	}
	if draw.RoundFor(&holdfast.Beacon{}, 600) != 0 {
		t.Error("there is no round without a beacon")
	}
}

// TestARecordBeforeTheDrawTellsNoSecret whatever is in it.
func TestARecordBeforeTheDrawTellsNoSecret(t *testing.T) {
	r, _, _ := drawn(t, []int{2}, false)
	r.Drawn = false
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{hex.EncodeToString(r.Secret[:]), hex.EncodeToString(r.Seed[:])} {
		if bytes.Contains(text, []byte(hidden)) {
			t.Errorf("%s tells %s", text, hidden)
		}
	}
}

// TestTheJSONFormIsPinned: pages that recompute a draw read this.
func TestTheJSONFormIsPinned(t *testing.T) {
	r, people, paths := drawn(t, []int{3, 2}, true)
	type vector struct {
		Number   holdfast.PlaceNumber `json:"number"`
		Key      string               `json:"key"`
		Path     []string             `json:"path"`
		Position holdfast.Position    `json:"position"`
	}
	file := struct {
		Record *draw.Record `json:"record"`
		Places []vector     `json:"places"`
	}{Record: r}
	for i, p := range people {
		v := vector{Number: p.Number, Key: hex.EncodeToString(p.Key[:]), Position: draw.Position(r.Seed, r.Cohort, p.Number, p.Key), Path: []string{}}
		for _, h := range paths[i] {
			v.Path = append(v.Path, hex.EncodeToString(h[:]))
		}
		file.Places = append(file.Places, v)
	}
	got, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	name := filepath.Join("testdata", "record.json")
	if *rewrite {
		if err := errors.Join(os.MkdirAll("testdata", 0o777), os.WriteFile(name, got, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the form changed (%v):\n%s", err, got)
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	r, _, _ := drawn(t, []int{3}, true)
	good, _ := json.Marshal(r)
	for name, change := range map[string][2]string{
		"not JSON": {"{", "["}, "a short hash": {`"chain":"`, `"chain":"00`}, "no hex": {`"seed":"`, `"seed":"xx`},
		"an unknown beacon": {`"kind":"chain"`, `"kind":"bls"`}, "a short root": {`"root":"`, `"root":"00`}, "a long key": {`"public_key":"`, `"public_key":"00`},
		"a round cut off": {`"signature":"`, `"signature":"00`},
	} {
		bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		var back draw.Record
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := json.Unmarshal(bad, &back); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func FuzzRecord(f *testing.F) {
	r, _, _ := drawn(f, []int{3, 1}, true)
	good, _ := json.Marshal(r)
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r draw.Record
		if json.Unmarshal(b, &r) != nil || draw.Verify(&r) != nil {
			return
		}
		again, err := json.Marshal(&r)
		var back draw.Record
		if err != nil || json.Unmarshal(again, &back) != nil || draw.Verify(&back) != nil {
			t.Fatalf("%s proves something, and written again it does not", b)
		}
	})
}

// FuzzIncludes: whatever path leads to a root is the path of that leaf.
func FuzzIncludes(f *testing.F) {
	f.Add(uint8(5), uint8(2), []byte{1})
	f.Fuzz(func(t *testing.T, n, i uint8, bend []byte) {
		if n == 0 || i >= n {
			return
		}
		all := leaves(keys(0, int(n)))
		path := draw.Path(all, int(i))
		changed := false
		for at, b := range bend {
			if at/32 < len(path) {
				path[at/32][at%32] ^= b
				changed = changed || b != 0
			}
		}
		if draw.Includes(draw.Root(all), uint32(n), uint32(i), all[i], path) == changed {
			t.Fatalf("leaf %d of %d with a path that was bent: %t", i, n, changed)
		}
	})
}

func BenchmarkIncludes(b *testing.B) {
	all := leaves(keys(0, 1000))
	root, path := draw.Root(all), draw.Path(all, 500)
	for b.Loop() {
		if !draw.Includes(root, 1000, 500, all[500], path) {
			b.Fatal("not found")
		}
	}
}
