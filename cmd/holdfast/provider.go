package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// providerFlags say who moves the money. It is said explicitly, and a key comes from a file or from the environment:
// what stands in a flag can be read in the list of processes.
type providerFlags struct {
	payments        string
	sandbox         string
	keyFile         string
	webhookFile     string
	readsPerSecond  uint32
	writesPerSecond uint32
}

// The names of the providers, and where keys come from.
const (
	providerStripe  = "stripe"
	providerSandbox = "sandbox"

	stripeKeyEnv     = "HOLDFAST_STRIPE_KEY"
	stripeWebhookEnv = "HOLDFAST_STRIPE_WEBHOOK_SECRET"
	sandboxDefault   = "http://127.0.0.1:7480"
)

func (f *providerFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.payments, "payments", "", "who moves the money: stripe or sandbox; required")
	c.Flags().StringVar(&f.sandbox, "sandbox", sandboxDefault, "with --payments sandbox: where it listens")
	c.Flags().StringVar(&f.keyFile, "payments-key-file", "", "a file with the secret key; without it the environment's "+stripeKeyEnv)
	c.Flags().StringVar(&f.webhookFile, "payments-webhook-file", "", "a file with the webhooks' secret; without it the environment's "+stripeWebhookEnv)
	c.Flags().Uint32Var(&f.readsPerSecond, "payments-reads", 80, "requests a second that the provider may be asked for, of those that only read")
	c.Flags().Uint32Var(&f.writesPerSecond, "payments-writes", 80, "and of those that change something")
}

// limits are what the cluster may ask of the account.
func (f *providerFlags) limits() payment.Limits {
	return payment.Limits{ReadsPerSecond: f.readsPerSecond, WritesPerSecond: f.writesPerSecond}
}

// keyless refuses a secret key where none must be, and a provider that nobody knows.
func (f *providerFlags) keyless(cmd *cobra.Command) error {
	switch {
	case f.payments != providerStripe && f.payments != providerSandbox:
		return usage(cmd, "--payments stripe or --payments sandbox: say who moves the money")
	case f.keyFile != "" || os.Getenv(stripeKeyEnv) != "":
		return usage(cmd, "--settlement: an edge must not have the provider's secret key: take --payments-key-file and %s away", stripeKeyEnv)
	}
	return nil
}

// open makes the provider that the flags name. webhooks says whether it has to verify webhooks.
func (f *providerFlags) open(cmd *cobra.Command, webhooks bool) (payment.Provider, error) {
	cfg := stripe.Config{}
	switch f.payments {
	case providerStripe:
	case providerSandbox:
		cfg.Backend = cmp.Or(f.sandbox, sandboxDefault)
	case "":
		return nil, usage(cmd, "--payments stripe or --payments sandbox: say who moves the money")
	default:
		return nil, usage(cmd, "--payments is stripe or sandbox, not %q", f.payments)
	}
	var err error
	if cfg.Key, err = payment.ReadSecret(f.keyFile, stripeKeyEnv); err != nil {
		return nil, usage(cmd, "the provider's secret key: %v", err)
	}
	if webhooks {
		secret, err := payment.ReadSecret(f.webhookFile, stripeWebhookEnv)
		if err != nil {
			return nil, usage(cmd, "the webhooks' secret: %v", err)
		}
		cfg.WebhookSecrets = []payment.Secret{secret}
	}
	p, err := stripe.New(cfg)
	if err != nil {
		return nil, usage(cmd, "--payments %s: %v", f.payments, err)
	}
	return p, nil
}
