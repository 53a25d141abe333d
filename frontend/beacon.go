package frontend

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// Members of the cluster talk to no third party, so a beacon's round is brought to the draw by frontends: each that knows a
// source of the event's beacon asks for the round that the draw waits for, and proposes the draw with it. The shard
// verifies the round, and takes it once, however many bring it.

// BeaconSource says where the rounds of a beacon are published. URL or File is set.
type BeaconSource struct {
	Key ed25519.PublicKey // of the beacon's holder: events name their beacon by it
	// URL is the root of the beacon's HTTP API: round 7 is at URL/public/7.
	URL string
	// File has one round a line. Whoever writes it adds to its end.
	File string
}

// publishedRound is a round as a source has it.
type publishedRound struct {
	Round     uint64 `json:"round"`
	Signature string `json:"signature"`
	Previous  string `json:"previous_signature"`
}

const (
	// beaconEvery is how often lines whose draw waits for a round are looked at, and their source asked.
	beaconEvery = time.Second
	// beaconLearn is how often an event's description is read again.
	beaconLearn    = time.Minute
	beaconPatience = 5 * time.Second
	roundBytesMax  = 4 << 10
	roundsMax      = 64 << 20 // bytes of a file
)

var errNoRound = errors.New("the round is not published yet")

func (b *BeaconSource) validate() error {
	u, err := url.Parse(b.URL)
	switch {
	case len(b.Key) != ed25519.PublicKeySize:
		return errors.New("a beacon's key has 64 hex digits")
	case (b.URL == "") == (b.File == ""):
		return errors.New("a beacon has a url or a file")
	case b.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != ""):
		return errors.New("a beacon's url is like https://beacon.example.org")
	}
	return nil
}

// round gives a round as it is published; errNoRound if it is not there yet.
func (b *BeaconSource) round(ctx context.Context, round uint64) (r holdfast.BeaconRound, err error) {
	var text []byte
	if b.File != "" {
		text, err = roundInFile(b.File, round)
	} else {
		text, err = roundByHTTP(ctx, strings.TrimSuffix(b.URL, "/")+"/public/"+strconv.FormatUint(round, 10))
	}
	if err != nil {
		return r, err
	}
	var p publishedRound
	if err := json.Unmarshal(text, &p); err != nil {
		return r, fmt.Errorf("what is published is no round: %w", err)
	}
	signature, e1 := hex.DecodeString(p.Signature)
	previous, e2 := hex.DecodeString(p.Previous)
	if e1 != nil || e2 != nil || len(signature) != len(r.Signature) || len(previous) != len(r.Previous) || p.Round != round {
		return r, errors.New("what is published is another round, or its signatures have not 128 hex digits each")
	}
	r.Round = p.Round
	copy(r.Signature[:], signature)
	copy(r.Previous[:], previous)
	return r, nil
}

func roundByHTTP(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, beaconPatience)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	switch a.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(a.Body, roundBytesMax))
	case http.StatusNotFound, http.StatusTooEarly:
		return nil, errNoRound
	}
	return nil, fmt.Errorf("the beacon answered with status %d", a.StatusCode)
}

func roundInFile(name string, round uint64) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoRound
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, roundsMax))
	lines.Buffer(nil, roundBytesMax)
	for lines.Scan() {
		var p publishedRound
		if json.Unmarshal(lines.Bytes(), &p) == nil && p.Round == round {
			return bytes.Clone(lines.Bytes()), nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return nil, errNoRound
}

// beacons brings rounds to the draws that wait for them.
type beacons struct {
	s       *Server
	lines   map[holdfast.EventID]*beaconLine // of run alone
	brought atomic.Uint64                    // rounds
	failed  atomic.Uint64                    // attempts
}

// beaconLine is an event as far as its beacon goes.
type beaconLine struct {
	ref    client.EventRef
	read   time.Time // its description
	beacon holdfast.Beacon
	source *BeaconSource // nil: none, or this frontend knows none
	done   bool          // nothing is to be brought, or no more
	told   time.Time     // when a failure was logged last
}

// run brings rounds until the server closes.
func (b *beacons) run() {
	tick := time.NewTicker(b.s.cfg.beaconEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.s.ctx.Done():
			return
		case <-tick.C:
		}
		b.learn()
		for _, l := range b.lines {
			if !l.done {
				l.done = b.bring(l)
			}
		}
	}
}

// learn finds the events whose draw is still to come and whose beacon this frontend knows. Descriptions change, so events
// are read again now and then; the beacon of a line that is open does not.
func (b *beacons) learn() {
	events, err := b.s.rooms.known.all(b.s.ctx)
	if err != nil {
		return
	}
	now, lines := time.Now(), map[holdfast.EventID]*beaconLine{}
	for _, e := range events {
		l := b.lines[e.ID]
		if l == nil || now.Sub(l.read) >= beaconLearn {
			ctx, cancel := context.WithTimeout(b.s.ctx, askTimeout)
			event, err := b.s.cfg.Client.Event(ctx, e.EventRef, client.AllowStale())
			cancel()
			if err == nil {
				l = b.lineOf(&event, now)
			}
		}
		if l != nil {
			lines[e.ID] = l
		}
	}
	b.lines = lines
}

func (b *beacons) lineOf(event *client.Event, now time.Time) *beaconLine {
	l := &beaconLine{ref: event.EventRef, beacon: event.Spec.Line.Beacon, read: now}
	for i := range b.s.cfg.Beacons {
		if source := &b.s.cfg.Beacons[i]; l.beacon.Kind == holdfast.BeaconChain && bytes.Equal(source.Key, l.beacon.PublicKey[:]) {
			l.source = source
		}
	}
	l.done = l.source == nil || event.Sale == holdfast.SaleClosed || event.Line != nil && event.Line.State > holdfast.LineFrozen
	return l
}

// bring asks for the round that the draw waits for, and brings it. It reports whether the line needs nothing any more.
func (b *beacons) bring(l *beaconLine) (done bool) {
	ctx, cancel := context.WithTimeout(b.s.ctx, askTimeout)
	defer cancel()
	line, err := b.s.cfg.Client.Line(ctx, l.ref, client.AllowStale())
	if err != nil || line.State < holdfast.LineFrozen {
		return false
	}
	if line.State > holdfast.LineFrozen {
		return true
	}
	round, err := l.source.round(ctx, line.Round)
	switch {
	case errors.Is(err, errNoRound):
		return false
	case err == nil && !draw.ValidRound(&l.beacon, &round):
		err = errors.New("the beacon's holder did not sign what is published")
	}
	if err == nil {
		err = b.s.cfg.Client.Draw(ctx, l.ref, round)
	}
	if err == nil {
		b.brought.Add(1)
		b.s.log.Info("a draw was brought its round", "event", l.ref.Name, "round", round.Round)
		return true
	}
	b.failed.Add(1)
	if now := time.Now(); now.Sub(l.told) > time.Minute && b.s.ctx.Err() == nil {
		l.told = now
		b.s.log.Warn("a draw waits for a round that could not be brought", "event", l.ref.Name, "round", line.Round, "err", err)
	}
	return false
}
