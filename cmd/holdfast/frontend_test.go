package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/client/clienttest"
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

// TestAFrontendServesUntilItIsToldToStop: it says where it listens, is ready, and ends well.
func TestAFrontendServesUntilItIsToldToStop(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{Loopback: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	var said words
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"frontend", "run", "--name", "f1", "--listen", "127.0.0.1:0", "--secret-file", secretFile(t, 0o600), "--payments", "none",
			"--endpoints", strings.Join(cluster.Endpoints(), ",")}, &out, &said)
	}()
	var address []string
	for end := time.Now().Add(10 * time.Second); address == nil; time.Sleep(5 * time.Millisecond) {
		if address = regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(said.String()); time.Now().After(end) {
			t.Fatalf("it does not serve: %s", said.String())
		}
	}
	resp, err := http.Get("http://" + address[1] + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("ready: %d", resp.StatusCode)
	}
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("it ended with %d: %s", got, said.String())
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
		"settings that are absent": {[]string{"--secret-file", secretFile(t, 0o600), "--payments", "none", "--settings", "/nowhere"}, exitUsage, "settings"},
	} {
		var out, said bytes.Buffer
		if got := run(t.Context(), append([]string{"frontend", "run", "--name", "f1", "--listen", "127.0.0.1:0"}, c.args...), &out, &said); got != c.code || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: code %d, %s", what, got, said.String())
		}
	}
}
