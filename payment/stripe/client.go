// Package stripe is the payment provider that speaks Stripe's HTTP API, through stripe-go: to Stripe, or to the
// sandbox under another address.
//
// The library's own retries are off. They would repeat a request inside one act, behind the back of the cluster's
// budget, and cannot tell a stored error from a fresh one. Instead every act that changes something climbs a ladder
// of idempotency keys (see climb), which is safe to repeat by anybody.
package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	api "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/account"
	"github.com/stripe/stripe-go/v76/dispute"
	"github.com/stripe/stripe-go/v76/paymentintent"
	"github.com/stripe/stripe-go/v76/refund"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// Metadata that every payment and refund of ours carries at Stripe.
const (
	MetadataKey    = "holdfast_key"    // payment.Key, as it prints
	MetadataEffect = "holdfast_effect" // of a refund: the effect that owed it, as eff_7
)

// Config says how to reach an account. Only Key is required.
type Config struct {
	// Key is a secret or restricted key. Its prefix says whether real money moves.
	Key payment.Secret
	// WebhookSecrets verify what comes to the webhook: more than one while a secret is being replaced.
	WebhookSecrets []payment.Secret
	// Backend is the address of the API; empty for Stripe's own. A key for real money goes nowhere else.
	Backend string
	// Timeout bounds one request. Default 20 s.
	Timeout time.Duration
	// Methods are the payment method types that an intent offers, by how they take money. Default: cards for both.
	ManualMethods, AtOnceMethods []string
	// AnyVersion accepts webhooks of another API version than the library's. What they hold may be misread.
	AnyVersion bool
	// Tolerance is how old, and how far in the future, a webhook's signature may be. Default 300 s.
	Tolerance time.Duration
	// Transport carries the requests. Default: one of its own, as http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the wall clock. Default time.Now.
	Now func() time.Time
}

// Client is one account at Stripe. It is safe for concurrent use.
type Client struct {
	cfg      Config
	mode     holdfast.PaymentMode
	accounts account.Client
	intents  paymentintent.Client
	refunds  refund.Client
	disputes dispute.Client
}

var _ payment.Provider = (*Client)(nil)

// New makes a client. It sends nothing: call Account to see whether the key is accepted.
func New(cfg Config) (*Client, error) {
	mode, err := modeOf(cfg.Key)
	if err != nil {
		return nil, err
	}
	if cfg.Backend == "" {
		cfg.Backend = api.APIURL
	}
	address, err := url.Parse(cfg.Backend)
	if err != nil || address.Scheme != "https" && address.Scheme != "http" || address.Host == "" || address.User != nil {
		return nil, refuse("configure", "the backend is not an address like http://127.0.0.1:12111")
	}
	if mode == holdfast.ModeLive && strings.TrimRight(cfg.Backend, "/") != api.APIURL {
		return nil, refuse("configure", "a key for real money is sent to "+api.APIURL+" only")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Tolerance <= 0 {
		cfg.Tolerance = webhook.DefaultTolerance
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = 64 // all go to one host, as many at once as the account's limits allow
		cfg.Transport = own
	}
	if len(cfg.ManualMethods) == 0 {
		cfg.ManualMethods = []string{"card"}
	}
	if len(cfg.AtOnceMethods) == 0 {
		cfg.AtOnceMethods = []string{"card"}
	}
	backend := api.GetBackendWithConfig(api.APIBackend, &api.BackendConfig{
		EnableTelemetry: api.Bool(false),
		HTTPClient: &http.Client{
			Timeout:       cfg.Timeout,
			Transport:     unnamed{cfg.Transport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		LeveledLogger:     &api.LeveledLogger{Level: api.LevelNull}, // its lines would show what buyers send
		MaxNetworkRetries: api.Int64(0),
		URL:               api.String(cfg.Backend),
	})
	key := cfg.Key.Reveal()
	return &Client{
		cfg: cfg, mode: mode,
		accounts: account.Client{B: backend, Key: key}, intents: paymentintent.Client{B: backend, Key: key},
		refunds: refund.Client{B: backend, Key: key}, disputes: dispute.Client{B: backend, Key: key},
	}, nil
}

// unnamed sends requests without the header in which the library tells the host's name and kernel.
type unnamed struct{ http.RoundTripper }

func (u unnamed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("X-Stripe-Client-User-Agent")
	return u.RoundTripper.RoundTrip(r)
}

// modeOf reads a key's mode off its prefix.
func modeOf(key payment.Secret) (holdfast.PaymentMode, error) {
	for _, kind := range []string{"sk_", "rk_"} {
		switch text := key.Reveal(); {
		case strings.HasPrefix(text, kind+"test_"):
			return holdfast.ModeTest, nil
		case strings.HasPrefix(text, kind+"live_"):
			return holdfast.ModeLive, nil
		}
	}
	if strings.HasPrefix(key.Reveal(), "pk_") {
		return 0, refuse("configure", "that is a publishable key; payments need the secret or a restricted one")
	}
	return 0, refuse("configure", "a secret key begins with sk_test_, sk_live_, rk_test_ or rk_live_")
}

// CheckPublishable refuses a publishable key that does not belong to the mode: buyers would pay elsewhere.
func (c *Client) CheckPublishable(key string) error {
	want := "pk_test_"
	if c.mode == holdfast.ModeLive {
		want = "pk_live_"
	}
	if !strings.HasPrefix(key, want) {
		return &payment.Error{Kind: payment.WrongAccount, Op: "configure", Message: "the publishable key does not begin with " + want + " as the secret key's mode asks"}
	}
	return nil
}

// Close lets go of connections that nobody uses. Requests under way go on.
func (c *Client) Close() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Mode says whether the key moves real money.
func (c *Client) Mode() holdfast.PaymentMode { return c.mode }

// Account asks Stripe which account the key belongs to.
func (c *Client) Account(ctx context.Context) (string, error) {
	params := &api.AccountParams{}
	params.Context = ctx
	got := &api.Account{}
	if err := c.accounts.B.Call(http.MethodGet, "/v1/account", c.accounts.Key, params, got); err != nil {
		return "", c.failed(ctx, "account", err)
	}
	return got.ID, nil
}

func refuse(op, message string) error {
	return &payment.Error{Kind: payment.Invalid, Op: op, Message: message}
}

// replayed reports whether an answer is one that Stripe remembered: true when it was given, perhaps not any more.
func replayed(r *api.APIResponse) bool {
	return r != nil && r.Header.Get("Idempotent-Replayed") == "true"
}

// failure is an error of the API before it is told to the caller.
type failure struct {
	*payment.Error
	replayed bool
}

// messageBytesMax bounds what is taken over of Stripe's explanations.
const messageBytesMax = 300

// failed makes our error of the library's. The library's prints the whole answer, in which client secrets are, so
// nothing of its text is kept but Stripe's message.
func (c *Client) failed(ctx context.Context, op string, err error) error {
	return c.classify(ctx, op, err).Error
}

func (c *Client) classify(ctx context.Context, op string, err error) failure {
	var from *api.Error
	if !errors.As(err, &from) {
		return failure{Error: &payment.Error{Kind: payment.Unknown, Op: op, Message: "no answer that could be read; it may have happened", Err: cause(ctx, err)}}
	}
	e := &payment.Error{
		Kind: kindOf(from), Op: op, Code: string(from.Code), Decline: string(from.DeclineCode), Request: from.RequestID,
		Message: from.Msg[:min(len(from.Msg), messageBytesMax)],
	}
	f := failure{Error: e, replayed: replayed(from.LastResponse)}
	switch e.Kind {
	case payment.Limited:
		e.RetryAfter = time.Second
		if from.LastResponse != nil {
			if s, err := strconv.Atoi(from.LastResponse.Header.Get("Retry-After")); err == nil && s > 0 {
				e.RetryAfter = time.Duration(min(s, 600)) * time.Second
			}
		}
	case payment.WrongAccount:
		e.Message = "the key is not accepted, or may not do this" // Stripe's text repeats a part of the key
	}
	return f
}

// cause keeps of a transport's error what says nothing about the request.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var sent *url.Error
	if !errors.As(err, &sent) {
		return nil // a body that is not JSON; its text is the body
	}
	if sent.Timeout() {
		return context.DeadlineExceeded
	}
	return sent.Err
}

// kindOf is the one map from Stripe's errors to ours.
func kindOf(e *api.Error) payment.Kind {
	switch {
	case e.HTTPStatusCode >= 500:
		return payment.Unknown
	case e.HTTPStatusCode == http.StatusTooManyRequests && e.Code == api.ErrorCodeLockTimeout, e.HTTPStatusCode == http.StatusConflict:
		return payment.Busy
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		return payment.Limited
	case e.HTTPStatusCode == http.StatusUnauthorized, e.HTTPStatusCode == http.StatusForbidden, e.Code == api.ErrorCodeLivemodeMismatch:
		return payment.WrongAccount
	case e.Type == api.ErrorTypeIdempotency:
		return payment.Reused
	case e.Type == api.ErrorTypeCard, e.Code == api.ErrorCodeBalanceInsufficient:
		return payment.Declined
	case e.Code == api.ErrorCodePaymentIntentUnexpectedState, e.Code == api.ErrorCodeIntentInvalidState, e.Code == api.ErrorCodeChargeAlreadyCaptured,
		e.Code == api.ErrorCodeChargeAlreadyRefunded, e.Code == api.ErrorCodeChargeExpiredForCapture, e.Code == api.ErrorCodeChargeDisputed,
		e.Code == api.ErrorCodeCaptureChargeAuthorizationExpired, e.Code == api.ErrorCodeCaptureUnauthorizedPayment:
		return payment.WrongState
	case e.HTTPStatusCode == http.StatusNotFound, e.Code == api.ErrorCodeResourceMissing:
		return payment.Missing
	}
	return payment.Invalid
}

// checkRef refuses what cannot be a payment's reference, so that a reference is never a path.
func checkRef(op string, ref payment.Ref) error {
	rest, ok := strings.CutPrefix(string(ref), "pi_")
	if !ok || rest == "" || len(ref) > holdfast.PaymentRefBytesMax || strings.Trim(rest, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return refuse(op, fmt.Sprintf("%.80q is not a payment's reference like pi_3Mt", string(ref)))
	}
	return nil
}
