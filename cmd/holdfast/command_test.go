package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; read the diff before you commit it")

// TestMain lets the test's own binary be the members that local.go starts.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// shell runs command lines against a cluster in memory.
type shell struct {
	t         *testing.T
	cluster   *clienttest.Cluster
	endpoints string
}

func newShell(t *testing.T) *shell {
	c := clienttest.New(t, clienttest.Config{Loopback: true})
	return &shell{t: t, cluster: c, endpoints: strings.Join(c.Endpoints(), ",")}
}

// run gives the exit code and what was printed. FILE in the arguments stands for a small event file.
func (s *shell) run(args ...string) (code int, out, errs string) {
	s.t.Helper()
	for i := range args {
		if args[i] == "FILE" {
			args[i] = filepath.Join("testdata", "house.yaml")
		}
	}
	var o, e bytes.Buffer
	code = run(s.t.Context(), append([]string{"--endpoints", s.endpoints}, args...), &o, &e)
	return code, o.String(), e.String()
}

// must runs a command line that succeeds.
func (s *shell) must(args ...string) string {
	s.t.Helper()
	code, out, errs := s.run(args...)
	if code != exitOK {
		s.t.Fatalf("holdfast %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// field reads one field of a JSON answer.
func field(t *testing.T, document, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(document), &fields); err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	text, _ := fields[name].(string)
	return text
}

func TestAnEveningAtTheBoxOffice(t *testing.T) {
	s := newShell(t)
	golden(t, "apply", s.must("event", "apply", "-f", "FILE", "-o", "json"))
	golden(t, "apply-again", s.must("event", "apply", "-f", "FILE"))
	golden(t, "open", s.must("event", "open", "house", "-o", "json"))
	hold := s.must("hold", "create", "house", "--buyer", "ada", "--seat", "Stalls/A/2", "--seat", "Stalls/A/3", "--places", "1", "--section", "Floor", "-o", "json")
	golden(t, "hold", hold)
	id := field(t, hold, "hold")
	golden(t, "hold-show", s.must("hold", "show", "house", id))
	golden(t, "event-show", s.must("event", "show", "evt_1", "-o", "json"))
	golden(t, "event-show-table", s.must("event", "show", "house"))
	golden(t, "event-show-yaml", s.must("event", "show", "house", "-o", "yaml"))
	golden(t, "event-list", s.must("event", "list", "-o", "json"))
	golden(t, "event-list-table", s.must("event", "list"))
	golden(t, "release", s.must("hold", "release", "house", id, "--buyer", "ada", "-o", "json"))

	// The box office sells; the command line only shows.
	hold = s.must("hold", "create", "house", "--buyer", "bob", "--best", "2", "--tier", "gold", "-o", "json")
	holdID, err := holdfast.ParseHoldID(field(t, hold, "hold"))
	if err != nil {
		t.Fatal(err)
	}
	c := s.cluster.Client()
	held, err := c.GetHold(t.Context(), client.Named("house"), holdID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sell(t.Context(), client.SellRequest{Event: held.Event, Hold: holdID, As: 3, Amount: held.Amount, Payment: "invoice 7"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "order", s.must("order", "show", "house", holdID.Order().String(), "-o", "json"))
	golden(t, "order-table", s.must("order", "show", "house", holdID.Order().String()))
	golden(t, "pause", s.must("event", "pause", "house"))
	golden(t, "close", s.must("event", "close", "house", "-o", "json"))
}

// lines passes on what is printed, a line at a time.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestAWatchTellsWhatChanges(t *testing.T) {
	s := newShell(t)
	s.must("event", "apply", "-f", "FILE")
	s.must("event", "open", "house")
	ctx, stop := context.WithCancel(t.Context())
	printed, ended := make(lines, 16), make(chan int, 1)
	go func() {
		var errs bytes.Buffer
		ended <- run(ctx, []string{"--endpoints", s.endpoints, "event", "watch", "house", "-o", "json"}, printed, &errs)
	}()
	if first := <-printed; !strings.Contains(first, `"cut":true,"counts":{"capacity":50,"free":50,`) {
		t.Errorf("it begins with %s", first)
	}
	s.must("hold", "create", "house", "--buyer", "ada", "--seat", "Stalls/A/2")
	for line := range printed {
		if strings.Contains(line, `"seats":[{"seat":1,"state":"held"}]`) && strings.Contains(line, `"free":49,"held":1,`) {
			break
		}
	}
	stop()
	for {
		select {
		case <-printed: // signs of life
		case code := <-ended:
			if code != exitOK {
				t.Errorf("interrupting a watch: exit code %d", code)
			}
			return
		}
	}
}

func TestTheClusterIsSeen(t *testing.T) {
	s := newShell(t)
	s.must("event", "apply", "-f", "FILE")
	for _, verb := range []string{"status", "health"} {
		if out := s.must("cluster", verb); !strings.Contains(out, "SHARD") {
			t.Errorf("cluster %s prints no table:\n%s", verb, out)
		}
	}
}

func TestLeadershipIsMoved(t *testing.T) {
	s := newShell(t)
	for _, to := range s.cluster.Endpoints() { // members of this cluster are called by their addresses
		if got := field(t, s.must("cluster", "transfer", "--shard", "1", "--to", to, "-o", "json"), "leader"); got != to || s.cluster.Leader() != to {
			t.Errorf("%s was to lead; the command says %q, and %s leads", to, got, s.cluster.Leader())
		}
	}
}

func TestExitCodesAndErrors(t *testing.T) {
	s := newShell(t)
	s.must("event", "apply", "-f", "FILE")
	const nobody = "hold_00000000000000000000000000000001"
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"no-such-command", []string{"evnt"}, exitUsage},
		{"no-such-verb", []string{"event", "opne", "house"}, exitUsage},
		{"no-such-flag", []string{"event", "list", "--all"}, exitUsage},
		{"missing-argument", []string{"event", "show"}, exitUsage},
		{"missing-flag", []string{"event", "apply"}, exitUsage},
		{"bad-output", []string{"event", "list", "-o", "xml"}, exitUsage},
		{"yaml-of-a-list", []string{"event", "list", "-o", "yaml"}, exitUsage},
		{"nothing-wanted", []string{"hold", "create", "house"}, exitUsage},
		{"no-such-tier", []string{"hold", "create", "house", "--best", "1", "--tier", "glod"}, exitUsage},
		{"no-such-seat", []string{"hold", "create", "house", "--seat", "Stalls/Z/1"}, exitUsage},
		{"bad-id", []string{"hold", "show", "house", "hold_1"}, exitUsage},
		{"no-file", []string{"event", "apply", "-f", "testdata/nothing.yaml"}, exitUsage},
		{"bad-file", []string{"event", "apply", "-f", "testdata/bad.yaml"}, exitUsage},
		{"no-target", []string{"cluster", "transfer", "--shard", "1"}, exitUsage},
		{"no-member", []string{"cluster", "transfer", "--shard", "1", "--to", "n9"}, exitNotFound},
		{"no-event", []string{"event", "show", "nothing"}, exitNotFound},
		{"no-hold", []string{"hold", "show", "house", nobody}, exitNotFound},
		{"no-order", []string{"order", "show", "house", "ord" + strings.TrimPrefix(nobody, "hold")}, exitNotFound},
		{"not-open", []string{"hold", "create", "house", "--best", "2"}, exitConflict},
		{"release-unknown", []string{"hold", "release", "house", nobody, "--buyer", "ada"}, exitNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := s.run(append(c.args, "-o", "json")...)
			if c.name == "bad-output" || c.name == "yaml-of-a-list" {
				code, out, errs = s.run(c.args...)
			}
			if code != c.code || out != "" {
				t.Errorf("exit code %d, want %d; stdout %q", code, c.code, out)
			}
			golden(t, "error-"+c.name, errs)
		})
	}
}

func TestRefusalsCarryWhatHelps(t *testing.T) {
	s := newShell(t)
	s.must("event", "apply", "-f", "FILE")
	s.must("event", "open", "house")
	hold := s.must("hold", "create", "house", "--buyer", "ada", "--seat", "Stalls/A/2", "-o", "json")
	code, _, errs := s.run("hold", "create", "house", "--buyer", "bob", "--seat", "Stalls/A/2", "-o", "json")
	if code != exitConflict {
		t.Errorf("a held seat: exit code %d", code)
	}
	golden(t, "error-held", errs)
	code, _, errs = s.run("hold", "create", "house", "--buyer", "bob", "--seat", "Stalls/A/2")
	if code != exitConflict {
		t.Errorf("a held seat: exit code %d", code)
	}
	golden(t, "error-held-table", errs)
	if code, _, errs = s.run("hold", "release", "house", field(t, hold, "hold"), "--buyer", "bob"); code != exitDenied {
		t.Errorf("somebody else's hold: exit code %d: %s", code, errs)
	}
	if code, _, errs = s.run("hold", "create", "house", "--buyer", "bob", "--seat", "Stalls/B/1"); code != exitDenied {
		t.Errorf("a sponsor's seat: exit code %d: %s", code, errs)
	}
	if out := s.must("hold", "create", "house", "--buyer", "bob", "--seat", "Stalls/B/1", "--allocation", "sponsor"); !strings.Contains(out, "row B, seat 1") {
		t.Errorf("a sponsor's seat from the sponsor's allocation: %s", out)
	}
}

func TestNobodyAnswers(t *testing.T) {
	for _, args := range [][]string{{"cluster", "status"}, {"cluster", "health"}, {"cluster", "verify"}, {"event", "list"}} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(args, "--endpoints", "127.0.0.1:1", "--timeout", "300ms"), &out, &errs)
		if code != exitUnavailable {
			t.Errorf("holdfast %s: exit code %d: %s", strings.Join(args, " "), code, errs.String())
		}
	}
}

// TestEveryKindAndOutcomeHasItsCode walks all of them, so that a new one is thought about.
func TestEveryKindAndOutcomeHasItsCode(t *testing.T) {
	for _, k := range holdfast.Kinds() {
		if code, ok := kindCodes[k]; !ok || exitCode(&holdfast.Error{Kind: k}) != code {
			t.Errorf("%s has no exit code", k)
		}
	}
	for _, o := range holdfast.Outcomes() {
		code := exitCode(&client.Refusal{Outcome: o})
		if want, special := outcomeCodes[o]; special && code != want || !special && code != exitConflict {
			t.Errorf("%s: exit code %d", o.String(), code)
		}
	}
	for err, want := range map[error]int{
		nil: exitOK, errors.New("x"): exitFailure, &usageError{}: exitUsage, &checkFailed{}: exitUnhealthy,
		context.Canceled: exitInterrupted, &holdfast.Error{Kind: 200}: exitFailure,
		&holdfast.Error{Kind: holdfast.Unknown, Err: context.Canceled}: exitUnavailable, // what may have happened is said first
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}

// TestVerifyTellsOfEveryArchive: of one that is damaged too, and the exit code says that something was found.
func TestVerifyTellsOfEveryArchive(t *testing.T) {
	dir := t.TempDir()
	for _, shard := range []string{"shard-1", "shard-2"} {
		archive := filepath.Join(dir, shard, "archive")
		if err := errors.Join(os.MkdirAll(archive, 0o755), os.WriteFile(filepath.Join(archive, "00000000000000000000.seg"), []byte("no"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{formatTable, formatJSON} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"verify", dir, "-o", format}, &out, &errs); code != exitUnhealthy || strings.Count(out.String(), "not a whole record") != 2 {
			t.Errorf("exit code %d, %s%s", code, out.String(), errs.String())
		}
	}
}

// volatile is what differs from run to run.
var volatile = regexp.MustCompile(`(hold|ord|cmd)_[0-9a-f]{32}|127\.0\.0\.1:\d+`)

// golden compares with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = volatile.ReplaceAllStringFunc(got, func(s string) string {
		if prefix, _, ok := strings.Cut(s, "_"); ok {
			return prefix + "_…"
		}
		return "127.0.0.1:…"
	})
	path := filepath.Join("testdata", name+".golden")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s: %v\ngot:\n%s\nwant:\n%s", path, err, got, want)
	}
}
