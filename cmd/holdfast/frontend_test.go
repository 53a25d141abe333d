package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm"
)

// words is an output that is read while it is written.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func secretFile(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet")
	if err := os.WriteFile(path, []byte(strings.Repeat("ab", 32)+"\n"), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a frontend that runs as a command.
type running struct {
	t       *testing.T
	address string
	said    *words
	stop    func() (code int)
}

// startFrontend runs a frontend until the end of the test, or until it is stopped.
func startFrontend(t *testing.T, endpoints string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &running{t: t, said: &words{}}
	var out bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"frontend", "run", "--name", "f1", "--listen", "127.0.0.1:0", "--secret-file", secretFile(t, 0o600), "--endpoints", endpoints}, args...), &out, f.said)
	}()
	f.stop = sync.OnceValue(func() int {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		return <-code
	})
	t.Cleanup(func() { f.stop() })
	f.until("it serves", func() bool {
		address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(f.said.String())
		if address != nil {
			f.address = "http://" + address[1]
		}
		return address != nil
	})
	return f
}

func (f *running) until(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("waited in vain until %s: %s", what, f.said.String())
		}
	}
}

// get gives the status of an answer.
func (f *running) get(path string) int {
	f.t.Helper()
	status, _ := f.read(path)
	return status
}

func (f *running) read(path string) (status int, body string) {
	f.t.Helper()
	resp, err := http.Get(f.address + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestAFrontendServesUntilItIsToldToStop: it says where it listens, is ready, and ends well.
func TestAFrontendServesUntilItIsToldToStop(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{Loopback: true})
	f := startFrontend(t, strings.Join(cluster.Endpoints(), ","), "--payments", "none")
	if got := f.get("/readyz"); got != http.StatusOK {
		t.Errorf("ready: %d", got)
	}
	if got := f.stop(); got != exitOK {
		t.Errorf("it ended with %d: %s", got, f.said.String())
	}
}

// TestAFrontendWaitsForItsProviderAndLeavesNothingOwed: a provider that is down keeps nobody from the line and the map;
// when it is back what is owed is carried out. Mails and webhooks that nobody configured are done too, without one, so that
// they do not pile up in the shard.
func TestAFrontendWaitsForItsProviderAndLeavesNothingOwed(t *testing.T) {
	s := newTill(t)
	s.buy("ada", "Stalls/A/2")
	owed := func() (n int) {
		s.cluster.Advance(250 * time.Millisecond)
		s.cluster.Machine(s.event.Shard, func(m *fsm.Machine) { n = len(m.Effects(1, 100)) })
		return n
	}
	if owed() != 1 {
		t.Fatal("a capture is not owed")
	}
	var up atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.bank.Handler().ServeHTTP(w, r)
	}))
	defer web.Close()
	t.Setenv(stripeWebhookEnv, "whsec_0123456789abcdef")
	f := startFrontend(t, s.endpoints, "--payments", "sandbox", "--sandbox", web.URL, "--publishable-key", "pk_test_x")
	if f.get("/readyz") != http.StatusOK || f.get("/api/v1/events/paid") != http.StatusOK || f.get("/metrics") != http.StatusOK {
		t.Error("it does not serve without the provider")
	}
	if !strings.Contains(f.said.String(), "payment provider does not answer") || !strings.Contains(f.said.String(), "no mail goes out") {
		t.Errorf("it does not say what is missing: %s", f.said.String())
	}
	if owed() != 1 {
		t.Error("something was done without the provider")
	}
	up.Store(true)
	f.until("nothing is owed", func() bool { return owed() == 0 })
	_, counters := f.read("/metrics")
	for _, kind := range []string{"capture", "receipt", "notify"} {
		if !strings.Contains(counters, `holdfast_settlement_effects_total{end="acknowledged",kind="`+kind+`"} 1`) {
			t.Errorf("no %s was carried out", kind)
		}
	}
	if got := f.stop(); got != exitOK {
		t.Errorf("it ended with %d: %s", got, f.said.String())
	}
}

func TestAFrontendIsRefusedByWhatIsWrong(t *testing.T) {
	for what, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no secret":                {nil, exitUsage, "--secret-file"},
		"a secret open to others":  {[]string{"--secret-file", secretFile(t, 0o644), "--payments", "none"}, exitUsage, "chmod 600"},
		"nobody moves the money":   {[]string{"--secret-file", secretFile(t, 0o600)}, exitUsage, "--payments"},
		"a network that is none":   {[]string{"--secret-file", secretFile(t, 0o600), "--payments", "none", "--trusted-proxies", "10.0.0"}, exitUsage, "10.0.0"},
		"half a certificate":       {[]string{"--secret-file", secretFile(t, 0o600), "--payments", "none", "--tls-cert", "x"}, exitUsage, "--tls-key"},
		"a way for mails":          {[]string{"--secret-file", secretFile(t, 0o600), "--payments", "none", "--mail", "pigeon"}, exitUsage, "pigeon"},
		"mails through nothing":    {[]string{"--secret-file", secretFile(t, 0o600), "--payments", "none", "--mail", "smtp"}, exitUsage, "--mail-config"},
		"settings that are absent": {[]string{"--secret-file", secretFile(t, 0o600), "--payments", "none", "--settings", "/nowhere"}, exitUsage, "settings"},
	} {
		var out, said bytes.Buffer
		if got := run(t.Context(), append([]string{"frontend", "run", "--name", "f1", "--listen", "127.0.0.1:0"}, c.args...), &out, &said); got != c.code || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: code %d, %s", what, got, said.String())
		}
	}
}
