// Package sandbox is a stateful server that speaks the part of Stripe's HTTP API which holdfast uses, so that the
// client of payment/stripe talks to it by another address. It moves no money. It has what Stripe's test mode and
// stripe-mock lack: buyers, banks and networks that misbehave on demand and by seed, a clock that can be moved, and
// books that a test can compare with the shards'.
//
// docs/reference/sandbox.md lists its payment methods and its faults.
package sandbox

import (
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/payment"
)

// Config describes a sandbox. The zero value works, in memory, with keys of its own making.
type Config struct {
	// SecretKey (sk_test_…) and PublishableKey (pk_test_…) are what it accepts. Default: random ones, see Keys.
	SecretKey, PublishableKey payment.Secret
	// Account is what it calls itself. Default acct_sandbox.
	Account string
	// Seed decides ids, latencies, faults by chance, and the order of webhooks.
	Seed uint64
	// Journal is a file to which every change of the books is appended, and from which they are read at the start.
	// It survives the death of the process; it is not synced, so not that of the machine. It needs keys that are set.
	Journal string
	// ReadsPerSecond and WritesPerSecond are what an account may ask for. Default 100 of either, as Stripe's.
	ReadsPerSecond, WritesPerSecond uint32
	// Latency of an answer: Base, and on top an exponentially distributed time of the given Mean, Max at most in all.
	Latency Latency
	// Chance injects faults by seed: of a thousand requests of the API, how many meet the fault.
	Chance map[Do]uint32
	// Webhooks are sent to Endpoints.
	Endpoints []Endpoint
	Webhooks  Webhooks
	// Times of banks. Defaults: late answers after 20 s, refunds and disputes after 30 s, requests that hang 90 s,
	// authorisations end after 7 days, those of pm_sandbox_shortAuthorisation after 2 minutes.
	LateAfter, RefundAfter, DisputeAfter, HangFor, AuthorisedFor, ShortFor time.Duration
	// PaymentsMax bounds the books; past it new payments are refused with 503. Default a million.
	PaymentsMax int
	// Transport carries the webhooks. Default: one of its own.
	Transport http.RoundTripper
}

// Latency is a distribution of times.
type Latency struct{ Base, Mean, Max time.Duration }

// Endpoint is where webhooks go.
type Endpoint struct {
	URL    string
	Secret payment.Secret // whsec_…, signs what is sent
}

// Webhooks says how badly they are delivered. The zero value sends every event once and at once, so about in the order
// of their happening, and repeats what was not answered with 2xx.
type Webhooks struct {
	Delay              time.Duration // at least
	Spread             time.Duration // and by chance up to so much more, which changes their order
	DuplicatesPerMille uint32        // sent a second time
	LostPerMille       uint32        // never sent
	RetryAfter         time.Duration // default 1 s; doubles with every try, up to an hour, for three days
	Timeout            time.Duration // of one delivery; default 10 s
}

// Limits of what a sandbox keeps.
const (
	paymentsMax   = 1_000_000
	keysMax       = 2_000_000 // idempotency keys; those of a day
	deliveriesMax = 100_000   // webhooks waiting; beyond, the newest are lost and counted
	endpointsMax  = 16
	faultsMax     = 64
	bodyBytesMax  = 64 << 10
	sendersMax    = 8 // deliveries under way at once
	retriesFor    = 72 * time.Hour
	keyKept       = 24 * time.Hour
)

func (c *Config) complete() error {
	defaults := []struct {
		have *time.Duration
		want time.Duration
	}{
		{&c.LateAfter, 20 * time.Second}, {&c.RefundAfter, 30 * time.Second}, {&c.DisputeAfter, 30 * time.Second}, {&c.HangFor, 90 * time.Second},
		{&c.AuthorisedFor, 7 * 24 * time.Hour}, {&c.ShortFor, 2 * time.Minute}, {&c.Webhooks.RetryAfter, time.Second}, {&c.Webhooks.Timeout, 10 * time.Second},
	}
	for _, d := range defaults {
		if *d.have <= 0 {
			*d.have = d.want
		}
	}
	c.Webhooks.RetryAfter = min(c.Webhooks.RetryAfter, time.Hour)
	if c.Account == "" {
		c.Account = "acct_sandbox"
	}
	if c.ReadsPerSecond == 0 {
		c.ReadsPerSecond = 100
	}
	if c.WritesPerSecond == 0 {
		c.WritesPerSecond = 100
	}
	if c.PaymentsMax <= 0 || c.PaymentsMax > paymentsMax {
		c.PaymentsMax = paymentsMax
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.Journal != "" && (c.SecretKey.IsZero() || c.PublishableKey.IsZero()) {
		return refuse("books that outlive the process need keys that do: set both")
	}
	if c.SecretKey.IsZero() {
		c.SecretKey = payment.Hide("sk_test_sandbox" + secretText())
	}
	if c.PublishableKey.IsZero() {
		c.PublishableKey = payment.Hide("pk_test_sandbox" + secretText())
	}
	if !strings.HasPrefix(c.SecretKey.Reveal(), "sk_test_") || !strings.HasPrefix(c.PublishableKey.Reveal(), "pk_test_") {
		return refuse("its keys begin with sk_test_ and pk_test_: no key for real money may come near it")
	}
	if len(c.Endpoints) > endpointsMax {
		return refuse("too many webhook endpoints")
	}
	for do := range c.Chance {
		if !do.known() {
			return refuse("unknown fault " + string(do))
		}
	}
	return nil
}

func refuse(message string) error {
	return &payment.Error{Kind: payment.Invalid, Op: "sandbox", Message: message}
}
