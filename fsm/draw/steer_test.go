package draw_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// TestEveryTestThatThePageNamesIsThere reads docs/draw.md, which argues by them.
func TestEveryTestThatThePageNamesIsThere(t *testing.T) {
	page, err := os.ReadFile("../../docs/draw.md")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, pattern := range []string{"*_test.go", "../*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source = append(source, text...)
		}
	}
	names := regexp.MustCompile(`Test[A-Z]\w+`).FindAll(page, -1)
	if len(names) < 12 {
		t.Errorf("the page names %d tests", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(source, append([]byte("func "), append(name, '(')...)) {
			t.Errorf("%s is named and not there", name)
		}
	}
}

// What somebody can do who wants to stand ahead: docs/draw.md names each test.

// lastJoiner gives the header chain of a cohort of 1,000 whose last member joins with a key.
func lastJoiner(k holdfast.PlaceKey) draw.Hash {
	chain := draw.Start(event)
	first := draw.Header{Count: 999, Root: draw.Hash{1}}
	last := draw.Header{Base: 999, Count: 1, Root: draw.Leaf(event, k)}
	return draw.Extend(draw.Extend(chain, &first), &last)
}

// TestWithoutABeaconWhoKnowsTheSecretAndJoinsLastStandsFirst: what the record's limits say of a draw from the secret
// alone is so.
func TestWithoutABeaconWhoKnowsTheSecretAndJoinsLastStandsFirst(t *testing.T) {
	secret := holdfast.LineSecret{7}
	best := holdfast.Position(1000)
	for try := range 5000 {
		k := key(try)
		if p := draw.Position(draw.Seed(secret, lastJoiner(k), 1000, nil), 1000, 999, k); p < best {
			best = p
		}
	}
	if best > 2 {
		t.Errorf("with 5,000 keys to choose from the best stands at %d of 1,000", best)
	}
}

// TestWithABeaconTheSameGainsNothing: a key that is chosen before the round is known stands anywhere when it is.
func TestWithABeaconTheSameGainsNothing(t *testing.T) {
	secret, guess := holdfast.LineSecret{7}, signed(100)
	sum := 0
	const rounds = 60
	for round := range uint64(rounds) {
		var best holdfast.PlaceKey
		at := holdfast.Position(1000)
		for try := range 200 { // chosen to stand ahead if the round were another
			k := key(int(round)*1000 + try)
			if p := draw.Position(draw.Seed(secret, lastJoiner(k), 1000, guess), 1000, 999, k); p < at {
				best, at = k, p
			}
		}
		sum += int(draw.Position(draw.Seed(secret, lastJoiner(best), 1000, signed(200+round)), 1000, 999, best))
	}
	// The mean of 60 uniform positions has a deviation of 37: five of them either way.
	if mean := sum / rounds; mean < 310 || mean > 690 {
		t.Errorf("keys that were chosen beforehand stand at %d of 1,000 on average", mean)
	}
}

// TestWithoutTheSecretNoKeyIsBetter: whatever pattern keys have, they stand anywhere.
func TestWithoutTheSecretNoKeyIsBetter(t *testing.T) {
	seed := sha256.Sum256([]byte("nobody knows"))
	for name, make := range map[string]func(i int) holdfast.PlaceKey{
		"counted":     func(i int) holdfast.PlaceKey { return holdfast.PlaceKey{30: byte(i >> 8), 31: byte(i)} },
		"almost zero": func(i int) holdfast.PlaceKey { return holdfast.PlaceKey{0: byte(i), 1: byte(i >> 8)} },
		"hashed":      key,
	} {
		sum := 0
		for i := range 4000 {
			sum += int(draw.Position(seed, 10_000, holdfast.PlaceNumber(i), make(i)))
		}
		if mean := sum / 4000; mean < 4770 || mean > 5230 { // five deviations of 46
			t.Errorf("keys that are %s stand at %d of 10,000 on average", name, mean)
		}
	}
}

// TestADroppedVisitorHasTheProof: who was told a place that is not in the record can show it.
func TestADroppedVisitorHasTheProof(t *testing.T) {
	r, people, paths := drawn(t, []int{3, 4}, false)
	honest := *r
	for name, drop := range map[string]func(r *draw.Record){
		"the block was left out": func(r *draw.Record) { r.Headers = r.Headers[:1] },
		"another took the place": func(r *draw.Record) {
			block := leaves(keys(3, 4))
			block[2] = draw.Leaf(event, key(1000))
			r.Headers[1].Root = draw.Root(block)
		},
	} {
		forged := honest
		forged.Headers = append([]draw.Header{}, honest.Headers...)
		drop(&forged)
		// The operator works out everything else anew, so that the record is sound in itself.
		forged.Chain, forged.Cohort = draw.Start(event), 0
		for i := range forged.Headers {
			forged.Chain = draw.Extend(forged.Chain, &forged.Headers[i])
			forged.Cohort += forged.Headers[i].Count
		}
		forged.Seed = draw.Seed(holdfast.LineSecret(forged.Secret), forged.Chain, forged.Cohort, nil)
		if err := draw.Verify(&forged); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := draw.VerifyPlace(&forged, people[5].Number, people[5].Key, paths[5]); err == nil {
			t.Errorf("%s, and the path that was given out still leads there", name)
		}
		if forged.Chain == honest.Chain {
			t.Errorf("%s: the chain that was told after the freeze is the same", name)
		}
	}
}

// TestOneKeyIsOneTicket: joining again with the same key draws the same again.
func TestOneKeyIsOneTicket(t *testing.T) {
	for s := range 50 {
		seed := sha256.Sum256(fmt.Appendf(nil, "seed %d", s))
		if a, b := draw.Position(seed, 5000, 3, key(1)), draw.Position(seed, 5000, 4000, key(1)); a != b {
			t.Fatalf("one key stands at %d and at %d", a, b)
		}
	}
}
