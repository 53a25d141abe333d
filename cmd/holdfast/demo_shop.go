package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// shop is what stands between a crowd and a local cluster: frontends, each a process of its own, and the payment
// provider, a sandbox in this process.
type shop struct {
	frontends []*localMember
	addresses []string // of the frontends, as http://127.0.0.1:20001
	provider  string   // address of the sandbox

	bank   *sandbox.Server
	stop   context.CancelFunc
	served chan error // one: how the sandbox ended
	client *stripe.Client
}

const (
	shopFrontends = 2
	shopAccount   = "acct_demo"
	// A merchant who expects a rush has the provider's limits raised.
	shopReadsPerSecond, shopWritesPerSecond = 4000, 4000
)

// shopSettings are limits for a crowd of thousands that comes through one proxy: this process.
const shopSettings = `theme: {name: Harbour Arena}
limits: {frontends: 2, in_flight: 4096, session_per_second: 20, session_burst: 60}
`

// bankOf is how the demonstration's bank behaves: late answers come while the buyer waits, and webhooks come twice, late
// and out of order.
func bankOf(seed uint64) sandbox.Config {
	return sandbox.Config{Seed: seed, Account: shopAccount, ReadsPerSecond: shopReadsPerSecond, WritesPerSecond: shopWritesPerSecond,
		Latency: sandbox.Latency{Base: 5 * time.Millisecond, Mean: 20 * time.Millisecond, Max: time.Second}, LateAfter: 2 * time.Second,
		RefundAfter: time.Second, Webhooks: sandbox.Webhooks{Spread: 300 * time.Millisecond, DuplicatesPerMille: 50, LostPerMille: 20}}
}

// startShop starts the sandbox and the frontends of a cluster, with their files in dir, and waits until they show the event.
// mailConfig says how mails go; empty: none goes.
func startShop(ctx context.Context, dir string, cluster *localCluster, event string, bank sandbox.Config, mailConfig string) (s *shop, err error) {
	ports, err := freePorts(shopFrontends)
	if err != nil {
		return nil, err
	}
	s = &shop{stop: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	keys := shopKeys{secret: "sk_test_" + randomHex(), publishable: "pk_test_" + randomHex(), webhook: "whsec_" + randomHex()}
	for i := range ports {
		s.addresses = append(s.addresses, "http://"+loopback(ports[i]))
		bank.Endpoints = append(bank.Endpoints, sandbox.Endpoint{URL: s.addresses[i] + "/webhooks/stripe", Secret: payment.Hide(keys.webhook)})
	}
	if err := s.openBank(bank, keys); err != nil {
		return s, err
	}
	files, err := keys.write(filepath.Join(dir, "shop"))
	if err != nil {
		return s, err
	}
	if mailConfig != "" {
		files = append(files, "--mail-config", mailConfig)
	}
	for i := range ports {
		name := fmt.Sprintf("f%d", i+1)
		m, err := cluster.launch(name, filepath.Join(dir, name), append([]string{"frontend", "run", "--name", name, "--listen", loopback(ports[i]),
			"--endpoints", strings.Join(cluster.endpoints(), ","), "--payments", providerSandbox, "--sandbox", s.provider, "--publishable-key", keys.publishable,
			"--payments-reads", fmt.Sprint(shopReadsPerSecond), "--payments-writes", fmt.Sprint(shopWritesPerSecond),
			"--trusted-proxies", "127.0.0.0/8", "--log-level", "warn"}, files...)...)
		if err != nil {
			return s, err
		}
		s.frontends = append(s.frontends, m)
	}
	return s, s.ready(ctx, event)
}

func randomHex() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// shopKeys are the keys of a shop that lives as long as the demonstration.
type shopKeys struct{ secret, publishable, webhook string }

// write writes the files that frontends read their secrets from, and gives the flags that name them.
func (k shopKeys) write(dir string) (flags []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, f := range []struct{ flag, name, text string }{
		{"--secret-file", "fleet", randomHex() + randomHex()}, {"--payments-key-file", "key", k.secret},
		{"--payments-webhook-file", "webhook", k.webhook}, {"--settings", "settings.yaml", shopSettings},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
			return nil, err
		}
		flags = append(flags, f.flag, path)
	}
	return flags, nil
}

// openBank serves the sandbox.
func (s *shop) openBank(cfg sandbox.Config, keys shopKeys) (err error) {
	cfg.SecretKey, cfg.PublishableKey = payment.Hide(keys.secret), payment.Hide(keys.publishable)
	if s.bank, err = sandbox.New(cfg); err != nil {
		return err
	}
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return err
	}
	s.provider = "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.served = stop, make(chan error, 1)
	go func() { s.served <- s.bank.Serve(ctx, l) }()
	s.client, err = stripe.New(stripe.Config{Key: cfg.SecretKey, Backend: s.provider})
	return err
}

// ready waits until all frontends serve and show the event: a member that they ask may not have heard of it yet.
func (s *shop) ready(ctx context.Context, event string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for i, address := range s.addresses {
		for !serves(ctx, address+"/readyz") || !serves(ctx, address+"/api/v1/events/"+event) {
			if m := s.frontends[i]; !m.running() {
				return fmt.Errorf("%s ended by itself; its log ends with:\n%s", m.name, m.lastWords())
			}
			if !pause(ctx, 20*time.Millisecond) {
				return &holdfast.Error{Kind: holdfast.Unavailable, Op: "start", Message: "a frontend does not get ready", Err: ctx.Err()}
			}
		}
	}
	return nil
}

// serves reports whether a page is there.
func serves(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

// reconcile compares the sandbox's books of an event with the cluster's.
func (s *shop) reconcile(ctx context.Context, c *client.Client, event client.EventRef) (settle.Report, error) {
	w, err := settle.New(ctx, settle.Config{Client: c, Provider: s.client, Name: "audit",
		Limits: payment.Limits{ReadsPerSecond: shopReadsPerSecond, WritesPerSecond: shopWritesPerSecond}})
	if err != nil {
		return settle.Report{}, err
	}
	defer w.Close()
	return w.Reconcile(ctx, event, settle.Span{})
}

// close ends the sandbox. The frontends are the cluster's to end. It may be called at any point.
func (s *shop) close() error {
	s.stop()
	var err error
	if s.served != nil {
		err = <-s.served
		s.served = nil
	}
	if s.client != nil {
		s.client.Close()
	}
	return err
}
