package frontend

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// chain is a beacon of its own, which publishes a round when it is told to.
type chain struct {
	key       ed25519.PrivateKey
	published atomic.Uint64 // the last round
	forged    atomic.Bool   // whether somebody else signs
	asked     atomic.Uint64
}

func newChain() *chain { return &chain{key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} }

func (c *chain) public() ed25519.PublicKey { return c.key.Public().(ed25519.PublicKey) }

func (c *chain) text(round uint64) []byte {
	r := holdfast.BeaconRound{Round: round, Previous: [64]byte{byte(round)}}
	message := draw.Signed(round, &r.Previous)
	key := c.key
	if c.forged.Load() {
		key = ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	}
	text, _ := json.Marshal(publishedRound{Round: round, Signature: hex.EncodeToString(ed25519.Sign(key, message[:])), Previous: hex.EncodeToString(r.Previous[:])})
	return text
}

func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	round, err := strconv.ParseUint(strings.TrimPrefix(r.URL.Path, "/chain/public/"), 10, 64)
	if err != nil || round > c.published.Load() {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(c.text(round))
}

// TestAFrontendBringsTheBeaconsRound: a draw that waits for a public round is made with it as soon as it is published, by
// HTTP or in a file, and with no other; the record shows it.
func TestAFrontendBringsTheBeaconsRound(t *testing.T) {
	for _, by := range []string{"http", "file"} {
		t.Run(by, func(t *testing.T) {
			c := newChain()
			web := httptest.NewServer(c)
			defer web.Close()
			source := BeaconSource{Key: c.public(), URL: web.URL + "/chain/"}
			file := filepath.Join(t.TempDir(), "rounds")
			if by == "file" {
				source.URL, source.File = "", file
			}
			spec := hall("evening")
			genesis := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
			spec.Line = command.LineRules{Enabled: true, Beacon: holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte(c.public()), GenesisMs: genesis, PeriodMs: 30_000}}
			g := newGround(t, spec)
			bring := func(cfg *Config) { cfg.Beacons, cfg.beaconEvery = []BeaconSource{source}, 5*time.Millisecond }
			s, other := g.serve(bring), g.serve(bring)
			newBrowser(t).join(s)
			newBrowser(t).join(other)
			if err := g.client.SetLine(t.Context(), g.event, command.LineFreeze, 0); err != nil {
				t.Fatal(err)
			}
			line, err := g.client.Line(t.Context(), g.event)
			if err != nil || line.State != holdfast.LineFrozen || line.Round == 0 {
				t.Fatalf("%+v, %v", line, err)
			}
			publish := func() {
				c.published.Store(line.Round)
				if by == "file" {
					text := append(append(c.text(line.Round-1), '\n'), append(c.text(line.Round), '\n')...)
					if err := os.WriteFile(file, text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			// Nothing is published yet; then what somebody else has signed. Neither makes a draw.
			if by == "http" {
				until(t, "the source was asked", func() bool { return c.asked.Load() > 2 })
			}
			c.forged.Store(true)
			publish()
			until(t, "the forged round is noticed", func() bool { return s.beacons.failed.Load() > 0 && other.beacons.failed.Load() > 0 })
			if line, err = g.client.Line(t.Context(), g.event); err != nil || line.State != holdfast.LineFrozen {
				t.Fatalf("a forged round made it %s, %v", line.State, err)
			}
			c.forged.Store(false)
			publish()
			s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
			record, err := g.client.DrawRecord(t.Context(), g.event)
			if err != nil || record.Round == nil || record.Round.Round != line.Round || record.Fallback || record.Cohort != 2 {
				t.Fatalf("%+v, %v", record, err)
			}
			if err := draw.Verify(record); err != nil {
				t.Error(err)
			}
			if n := s.beacons.brought.Load() + other.beacons.brought.Load(); n == 0 {
				t.Error("nobody brought it")
			}
		})
	}
}

func TestASourceThatIsNoneIsRefused(t *testing.T) {
	c := newChain()
	for what, b := range map[string]BeaconSource{
		"no key":               {URL: "https://beacon.example.org"},
		"nowhere":              {Key: c.public()},
		"both":                 {Key: c.public(), URL: "https://beacon.example.org", File: "rounds"},
		"no address":           {Key: c.public(), URL: "beacon.example.org"},
		"an address that asks": {Key: c.public(), URL: "https://beacon.example.org/?x=1"},
	} {
		if b.validate() == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
