//go:build linux

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Shop is what stands between buyers and a cluster: two frontends and a payment provider, each a process of its own. It
// is safe for concurrent use.
type Shop struct {
	cluster   *Cluster
	dir       string
	keys      struct{ secret, publishable, webhook string }
	files     []string // flags that name the files of secrets
	addresses []string // of the frontends
	provider  string

	mu        sync.Mutex
	frontends [shopFrontends]*process
	killed    [shopFrontends]bool // by us
	bank      *process
}

const (
	shopFrontends = 2
	// ShopAccount is what the provider calls itself.
	ShopAccount = "acct_sandbox"
)

// shopSettings are limits for a crowd that comes from one address.
const shopSettings = `limits: {frontends: 2, in_flight: 4096, session_per_second: 100, session_burst: 200}
`

// OpenShop starts a shop and waits until it serves. The cluster's Close ends it.
func (c *Cluster) OpenShop() (*Shop, error) {
	s := &Shop{cluster: c, dir: filepath.Join(c.cfg.Dir, "shop")}
	s.keys.secret, s.keys.publishable, s.keys.webhook = "sk_test_"+randomHex(16), "pk_test_"+randomHex(16), "whsec_"+randomHex(16)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	for _, f := range []struct{ flag, name, text string }{
		{"--secret-file", "fleet", randomHex(32)}, {"--payments-key-file", "key", s.keys.secret}, {"--payments-webhook-file", "webhook", s.keys.webhook},
		{"--settings", "settings.yaml", shopSettings},
	} {
		path := filepath.Join(s.dir, f.name)
		if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
			return nil, err
		}
		s.files = append(s.files, f.flag, path)
	}
	for range shopFrontends + 1 {
		l, err := listenLocal()
		if err != nil {
			return nil, err
		}
		s.addresses = append(s.addresses, "http://"+l.Addr().String())
		l.Close()
	}
	s.provider, s.addresses = s.addresses[shopFrontends], s.addresses[:shopFrontends]
	c.mu.Lock()
	c.shop = s
	c.mu.Unlock()
	if err := s.StartBank(); err != nil {
		return nil, err
	}
	return s, s.Await(20 * time.Second)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// Addresses are where the frontends are, Provider where the provider is.
func (s *Shop) Addresses() []string { return s.addresses }
func (s *Shop) Provider() string    { return s.provider }

// Frontends is how many there are.
func (s *Shop) Frontends() int { return shopFrontends }

// StartBank starts the provider unless it runs. Its journal outlives it; its webhooks come late, twice, or never.
func (s *Shop) StartBank() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bank != nil && s.bank.running() {
		return nil
	}
	args := []string{s.cluster.cfg.Binary, "payments", "sandbox", "--listen", strings.TrimPrefix(s.provider, "http://"), "--journal", filepath.Join(s.dir, "journal"),
		"--latency", "5ms", "--webhook-duplicates", "100", "--webhook-lost", "50", "--webhook-spread", "300ms"}
	for _, a := range s.addresses {
		args = append(args, "--webhook", a+"/webhooks/stripe")
	}
	s.bank, err = s.cluster.starter.start(filepath.Join(s.cluster.cfg.Dir, "bank.log"), []string{"HOLDFAST_STRIPE_KEY=" + s.keys.secret,
		"HOLDFAST_STRIPE_PUBLISHABLE_KEY=" + s.keys.publishable, "HOLDFAST_STRIPE_WEBHOOK_SECRET=" + s.keys.webhook}, args...)
	return err
}

// KillBank ends the provider without a word.
func (s *Shop) KillBank() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bank.kill()
}

// StartFrontend starts a frontend unless it runs.
func (s *Shop) StartFrontend(i int) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.frontends[i]; p != nil && p.running() {
		return nil
	}
	name := fmt.Sprintf("f%d", i+1)
	s.killed[i] = false
	s.frontends[i], err = s.cluster.starter.start(filepath.Join(s.cluster.cfg.Dir, name+".log"), nil, append([]string{s.cluster.cfg.Binary, "frontend", "run",
		"--name", name, "--listen", strings.TrimPrefix(s.addresses[i], "http://"), "--endpoints", s.endpoints(), "--payments", "sandbox", "--sandbox", s.provider,
		"--publishable-key", s.keys.publishable, "--trusted-proxies", "127.0.0.0/8", "--log-level", "warn"}, s.files...)...)
	return err
}

func (s *Shop) endpoints() string {
	var all []string
	for i := range s.cluster.members {
		all = append(all, s.cluster.Address(i))
	}
	return strings.Join(all, ",")
}

// KillFrontend ends a frontend without a word.
func (s *Shop) KillFrontend(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed[i] = true
	s.frontends[i].kill()
}

// PauseFrontend stops a frontend where it is, or lets it go on.
func (s *Shop) PauseFrontend(i int, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	signal := syscall.SIGCONT
	if paused {
		signal = syscall.SIGSTOP
	}
	_ = s.frontends[i].signal(signal) // an error is that it has ended
}

// close ends all processes.
func (s *Shop) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range append([]*process{s.bank}, s.frontends[:]...) {
		if p != nil {
			p.kill()
		}
	}
}

// Await waits until everything serves. A frontend that has ended by itself is noted, and started again, as an operator's
// supervisor would.
func (s *Shop) Await(patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(askEvery) {
		err := s.get(s.provider+"/sandbox/methods", nil)
		for i, address := range s.addresses {
			s.mind(i)
			if err == nil {
				err = s.StartFrontend(i)
			}
			if err == nil {
				err = s.get(address+"/readyz", nil)
			}
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// mind notes when a frontend has ended though nobody killed it.
func (s *Shop) mind(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.frontends[i]
	if p == nil || p.running() || s.killed[i] {
		return
	}
	s.killed[i] = true // once
	name := fmt.Sprintf("f%d", i+1)
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	s.cluster.exits = append(s.cluster.exits, Exit{At: time.Now(), Who: name, How: fmt.Sprint(p.err), Last: tail(filepath.Join(s.cluster.cfg.Dir, name+".log"), 12)})
}

// BankFault is one of the provider's faults, as docs/reference/sandbox.md has them.
type BankFault struct {
	Do      string `json:"do"`
	Op      string `json:"op,omitempty"`
	AfterMs int64  `json:"after_ms,omitempty"`
}

// Misbehave gives the provider other faults; none: it behaves. One that does not run has no answer at all, and none of
// its faults when it comes back.
func (s *Shop) Misbehave(faults ...BankFault) error {
	body, err := json.Marshal(map[string]any{"faults": append([]BankFault{}, faults...)})
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(askEvery) { // it may be starting
		err := s.call(http.MethodPut, s.provider+"/sandbox/faults", bytes.NewReader(body), nil)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		s.mu.Lock()
		gone := !s.bank.running()
		s.mu.Unlock()
		if gone {
			return nil
		}
	}
}

// Charge is a payment in the provider's books.
type Charge struct {
	Payment  string `json:"payment"`
	Key      string `json:"key"`
	Status   string `json:"status"`
	Amount   int64  `json:"amount"`
	Captured int64  `json:"captured"`
	Refunded int64  `json:"refunded"`
}

// Books are all payments that the provider knows.
func (s *Shop) Books() (charges []Charge, err error) {
	var books struct {
		Payments []Charge `json:"payments"`
	}
	err = s.get(s.provider+"/sandbox/books", &books)
	return books.Payments, err
}

// Act does by hand what a bank or a buyer does with a payment at the provider: see docs/reference/sandbox.md. What the
// provider refuses was done before, by a call whose answer was lost.
func (s *Shop) Act(payment, act string) error {
	err := s.call(http.MethodPost, s.provider+"/sandbox/payments/"+payment+"/"+act, strings.NewReader("{}"), nil)
	var no *refused
	if errors.As(err, &no) && no.status < http.StatusInternalServerError {
		return nil
	}
	return err
}

// refused is an answer of the provider that is not 200.
type refused struct {
	status int
	text   string
}

func (r *refused) Error() string { return r.text }

func (s *Shop) get(url string, into any) error { return s.call(http.MethodGet, url, nil, into) }

func (s *Shop) call(method, url string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	q.SetBasicAuth(s.keys.secret, "")
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return &refused{r.StatusCode, fmt.Sprintf("%s %s: %s: %.300s", method, url, r.Status, text)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// Reconcile compares the provider's books of an event with the cluster's by the program's own command, and gives the
// differences that it prints.
func (s *Shop) Reconcile(ctx context.Context, event string) (differences []string, err error) {
	cmd := exec.CommandContext(ctx, s.cluster.cfg.Binary, "payments", "reconcile", event, "--payments", "sandbox", "--sandbox", s.provider,
		"--endpoints", s.endpoints(), "--timeout", "30s", "-o", "json")
	cmd.Env = append(os.Environ(), "HOLDFAST_STRIPE_KEY="+s.keys.secret, "HOLDFAST_STRIPE_WEBHOOK_SECRET="+s.keys.webhook)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, failed := cmd.Output()
	var report struct {
		Differences []json.RawMessage `json:"differences"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("payments reconcile: %w: %s", errors.Join(failed, err), stderr.String())
	}
	for _, d := range report.Differences {
		differences = append(differences, string(d))
	}
	return differences, nil
}
