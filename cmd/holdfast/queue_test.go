package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// withLine applies an event whose line is looked after by hand, and opens its sale.
func (s *shell) withLine() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "house.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "line.yaml")
	if err := os.WriteFile(file, append(text, "line: {ceiling: 50}\n"...), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.must("event", "apply", "-f", file)
	s.must("event", "open", "house")
}

func (s *shell) join(names ...string) {
	s.t.Helper()
	var leaves []draw.Hash
	for _, name := range names {
		leaves = append(leaves, draw.Leaf(1, sha256.Sum256([]byte(name))))
	}
	if _, _, err := s.cluster.Client().Enter(s.t.Context(), client.EnterRequest{Event: client.Named("house"), Count: len(names), Root: draw.Root(leaves)}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) lineNow(args ...string) (o lineOut) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.must(append(args, "-o", "json")...)), &o); err != nil {
		s.t.Fatal(err)
	}
	return o
}

func TestALineIsLookedAfter(t *testing.T) {
	s := newShell(t)
	s.withLine()
	if o := s.lineNow("queue", "show", "house"); o.State != "closed" || o.Commitment != "" || o.Ceiling != 50 || o.Units.Free != 46 {
		t.Errorf("before it is opened: %+v", o)
	}
	if o := s.lineNow("queue", "open", "house"); o.State != "open" || len(o.Commitment) != 64 || o.Seed != "" {
		t.Errorf("open: %+v", o)
	}
	s.join("ann", "bob", "cid")
	if o := s.lineNow("queue", "freeze", "house"); o.State != "frozen" || o.Cohort != 3 {
		t.Errorf("frozen: %+v", o)
	}
	if o := s.lineNow("queue", "draw", "house"); o.State != "drawn" || len(o.Seed) != 64 || o.Counts["waiting"] != 3 {
		t.Errorf("drawn: %+v", o)
	}
	if o := s.lineNow("queue", "rate", "house", "7"); o.Rate != 7 {
		t.Errorf("with a rate: %+v", o)
	}
	if o := s.lineNow("queue", "ceiling", "house", "9"); o.Ceiling != 9 {
		t.Errorf("with a ceiling: %+v", o)
	}
	if o := s.lineNow("queue", "pause", "house"); !o.Paused {
		t.Errorf("paused: %+v", o)
	}
	if o := s.lineNow("queue", "resume", "house"); o.Paused {
		t.Errorf("resumed: %+v", o)
	}
	s.cluster.Advance(time.Second) // the rate gives something when time passes
	s.cluster.Admit(client.EventRef{ID: 1, Shard: 1}, 2)
	table := s.must("queue", "show", "house")
	for _, want := range []string{"line drawn", "3 places", "2 called", "INSIDE", "waiting", "commitment"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if o := s.lineNow("queue", "close", "house"); o.State != "over" {
		t.Errorf("closed: %+v", o)
	}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"queue", "resume", "house"}, exitConflict},
		{[]string{"queue", "show", "nothing"}, exitNotFound},
		{[]string{"queue", "rate", "house", "many"}, exitUsage},
		{[]string{"queue", "opne", "house"}, exitUsage},
	} {
		if code, _, errs := s.run(c.args...); code != c.code {
			t.Errorf("%v ends with %d, want %d: %s", c.args, code, c.code, errs)
		}
	}
}

func TestADrawIsVerifiedWithTheClusterAndWithout(t *testing.T) {
	s := newShell(t)
	s.withLine()
	s.must("queue", "open", "house")
	s.join("ann", "bob", "cid")
	s.join("dan")
	file := filepath.Join(t.TempDir(), "draw.json")
	if code, _, _ := s.run("queue", "verify-draw", "house"); code != exitUnhealthy {
		t.Errorf("a draw that has not been made ends with %d, want %d", code, exitUnhealthy)
	}
	s.must("queue", "draw", "house")
	var verified verifiedOut
	if err := json.Unmarshal([]byte(s.must("queue", "verify-draw", "house", "-o", "json")), &verified); err != nil || !verified.Holds || verified.Cohort != 4 || verified.Headers != 2 {
		t.Errorf("%+v, %v", verified, err)
	}
	s.must("queue", "record", "house", "--file", file)
	if out := s.must("queue", "record", "house"); !strings.Contains(out, `"headers"`) {
		t.Errorf("the record: %s", out)
	}

	alone := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"--endpoints", "127.0.0.1:1", "--timeout", "1s"}, args...), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, out := alone("queue", "verify-draw", file); code != exitOK || !strings.Contains(out, "the draw holds") {
		t.Errorf("without a cluster it ends with %d: %s", code, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*draw.Record){
		"the seed":           func(r *draw.Record) { r.Seed[0] ^= 1 },
		"the secret":         func(r *draw.Record) { r.Secret[0] ^= 1 },
		"somebody is left":   func(r *draw.Record) { r.Headers = r.Headers[:1] },
		"the order of joins": func(r *draw.Record) { r.Headers[0], r.Headers[1] = r.Headers[1], r.Headers[0] },
		"one more took part": func(r *draw.Record) { r.Cohort++ },
	} {
		var record draw.Record
		if err := json.Unmarshal(text, &record); err != nil {
			t.Fatal(err)
		}
		change(&record)
		forged := filepath.Join(t.TempDir(), "forged.json")
		b, err := json.Marshal(&record)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(forged, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if code, out := alone("queue", "verify-draw", forged); code != exitUnhealthy || !strings.Contains(out, "BROKEN") {
			t.Errorf("%s was changed, and it ends with %d: %s", what, code, out)
		}
	}
	if code, out := alone("queue", "verify-draw", "queue_test.go"); code != exitUsage {
		t.Errorf("a file that is no record ends with %d: %s", code, out)
	}
	if code, _, _ := s.run("queue", "verify-draw", "nothing"); code != exitNotFound {
		t.Errorf("neither a file nor an event ends with %d", code)
	}
	if _, err := holdfast.ParseEventID(verified.Event); err != nil {
		t.Error(err)
	}
}
