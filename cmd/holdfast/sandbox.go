package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// publishableEnv gives the publishable key, which browsers may see.
const publishableEnv = "HOLDFAST_STRIPE_PUBLISHABLE_KEY"

func (a *app) paymentsSandbox() *cobra.Command {
	var listen, keyFile, webhookFile, journal string
	var webhooks []string
	var seed uint64
	var latency, spread time.Duration
	var duplicates, lost uint32
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Run a bank that moves no money, in Stripe's shapes",
		Long: `Run a stateful server that speaks the part of Stripe's API that holdfast uses, and moves no money: for development,
rehearsals and tests. Frontends reach it with --payments sandbox. It accepts the keys that it is started with, from the
environment or files; make them up, but they begin with sk_test_ and pk_test_. docs/reference/sandbox.md lists its cards
and its faults.`,
		Example: `  export HOLDFAST_STRIPE_KEY=sk_test_$(openssl rand -hex 12) HOLDFAST_STRIPE_PUBLISHABLE_KEY=pk_test_$(openssl rand -hex 12)
  export HOLDFAST_STRIPE_WEBHOOK_SECRET=whsec_$(openssl rand -hex 12)
  holdfast payments sandbox --webhook http://127.0.0.1:8080/webhooks/stripe --journal sandbox.journal`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := sandbox.Config{Seed: seed, Journal: journal, Latency: sandbox.Latency{Mean: latency, Max: 20 * latency},
				Webhooks: sandbox.Webhooks{Spread: spread, DuplicatesPerMille: duplicates, LostPerMille: lost}}
			var err error
			if cfg.SecretKey, err = payment.ReadSecret(keyFile, stripeKeyEnv); err != nil {
				return usage(cmd, "its secret key: %v", err)
			}
			if cfg.PublishableKey, err = payment.ReadSecret("", publishableEnv); err != nil {
				return usage(cmd, "its publishable key: %v", err)
			}
			if len(webhooks) > 0 {
				secret, err := payment.ReadSecret(webhookFile, stripeWebhookEnv)
				if err != nil {
					return usage(cmd, "the webhooks' secret: %v", err)
				}
				for _, url := range webhooks {
					cfg.Endpoints = append(cfg.Endpoints, sandbox.Endpoint{URL: url, Secret: secret})
				}
			}
			return a.runSandbox(cmd, listen, cfg)
		},
	}
	c.Flags().StringVar(&listen, "listen", strings.TrimPrefix(sandboxDefault, "http://"), "where to listen; plain text, so loopback only")
	c.Flags().StringVar(&keyFile, "payments-key-file", "", "a file with the secret key; without it the environment's "+stripeKeyEnv)
	c.Flags().StringVar(&webhookFile, "payments-webhook-file", "", "a file with the webhooks' secret; without it the environment's "+stripeWebhookEnv)
	c.Flags().StringArrayVar(&webhooks, "webhook", nil, "send webhooks to this address; can be repeated")
	c.Flags().StringVar(&journal, "journal", "", "a file in which its books outlive the process")
	c.Flags().Uint64Var(&seed, "seed", 1, "decides ids, latencies and the order of webhooks")
	c.Flags().DurationVar(&latency, "latency", 0, "the mean time of an answer")
	c.Flags().DurationVar(&spread, "webhook-spread", 0, "webhooks come by chance up to so much later, and in another order")
	c.Flags().Uint32Var(&duplicates, "webhook-duplicates", 0, "of a thousand webhooks so many are sent twice")
	c.Flags().Uint32Var(&lost, "webhook-lost", 0, "of a thousand webhooks so many are never sent")
	return c
}

func (a *app) runSandbox(cmd *cobra.Command, listen string, cfg sandbox.Config) error {
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return usage(cmd, "--listen %s: an address of this machine alone, as 127.0.0.1:7480", listen)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("the sandbox cannot listen: %w", err)
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		return usage(cmd, "%v", err)
	}
	fmt.Fprintf(a.err, "holdfast: the sandbox of process %d listens on http://%s; it moves no money\n", os.Getpid(), l.Addr())
	return s.Serve(cmd.Context(), l)
}
