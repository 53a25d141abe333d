package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend"
	"github.com/holdfast-db/holdfast/frontend/mail"
	"github.com/holdfast-db/holdfast/frontend/notify"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

func (a *app) frontendCommand() *cobra.Command {
	c := &cobra.Command{Use: "frontend", Short: "Run a frontend: the waiting room and the storefront"}
	c.AddCommand(a.frontendRun())
	return c
}

// frontendFlags are frontend.Config as flags. Secrets come from files.
type frontendFlags struct {
	frontend.Config
	provider providerFlags

	listen         string
	secretFile     string
	masterFile     string
	trusted        []string
	tlsCert        string
	tlsKey         string
	publishableKey string
	settlement     []string
	mailConfig     string
	notifyConfig   string
	settings       string
	drain          time.Duration
	logFormat      string
	logLevel       slog.Level
}

// paymentsNone is the provider of a frontend that sells only what costs nothing.
const paymentsNone = "none"

func (a *app) frontendRun() *cobra.Command {
	var f frontendFlags
	c := &cobra.Command{
		Use:   "run --listen ADDRESS --secret-file FILE --payments stripe|sandbox|none",
		Short: "Run a frontend until it is told to stop",
		Long: `Run a frontend until it is told to stop. Frontends keep nothing: any number of them with the same secret file serve the
same crowd, and each can be killed at any time. Told to stop, it says so to balancers (/readyz), ends its streams, and
answers what is under way.

Make the secret once and give it to all frontends of the cluster: openssl rand -hex 32 > FILE; chmod 600 FILE.
What has keys of others (sign-in, shops, captcha, codes, limits, look) stands in the file of --settings; see docs/frontend.md.`,
		Example: `  holdfast frontend run --listen 127.0.0.1:8080 --secret-file /etc/holdfast/fleet --payments sandbox --payments-key-file sk \
      --payments-webhook-file whsec --publishable-key pk_test_1 --endpoints 127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd, a.err, f.logFormat, f.logLevel)
			if err != nil {
				return err
			}
			f.Logger = log
			return a.runFrontend(cmd, &f)
		},
	}
	host, _ := os.Hostname() // a name that cannot be had is refused by name like an empty one
	flags := c.Flags()
	flags.StringVar(&f.Name, "name", host, "the frontend's name, unique among them")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "where to listen; plain text without --tls-cert, so loopback or behind a proxy only")
	flags.StringVar(&f.PublicURL, "public-url", "", "how browsers reach the site, as https://tickets.example.org")
	flags.StringVar(&f.secretFile, "secret-file", "", "the secret that all frontends of the cluster share; required")
	flags.StringVar(&f.masterFile, "master-keys-file", "", "keys under which names and addresses are encrypted; without it the secret's")
	flags.StringSliceVar(&f.trusted, "trusted-proxies", nil, "networks whose X-Forwarded-For is believed, as 10.0.0.0/8")
	flags.StringSliceVar(&f.Origins, "origins", nil, "sites whose pages may use the API and show ours in a frame")
	flags.StringSliceVar(&f.ReturnTo, "return-to", nil, "sites to which visitors may be sent back")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "certificate file")
	flags.StringVar(&f.tlsKey, "tls-key", "", "its key")
	f.provider.add(c)
	flags.StringVar(&f.publishableKey, "publishable-key", "", "the provider's public key, which browsers are told")
	flags.StringSliceVar(&f.settlement, "settlement", nil, "make this an edge without the provider's secret key: ask these frontends, as https://settle-1.internal:8443, for what needs it")
	flags.StringVar(&f.mailConfig, "mail-config", "", "a file that says through which server mails go; without it no mail is sent")
	flags.StringVar(&f.notifyConfig, "notify-config", "", "a file that says which webhooks of organizers are told of orders; without it this frontend tells none")
	flags.StringVar(&f.settings, "settings", "", "a file with sign-in, shops, captcha, codes, limits and look")
	flags.DurationVar(&f.drain, "drain", 20*time.Second, "how long requests under way may take when it is told to stop")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json, on stderr")
	flags.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return c
}

func (a *app) runFrontend(cmd *cobra.Command, f *frontendFlags) (err error) {
	if err := f.complete(cmd); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	f.Client = c
	stop, err := f.settle(cmd, c)
	if err != nil {
		return err
	}
	defer stop()
	if f.Listener, err = net.Listen("tcp", f.listen); err != nil {
		return fmt.Errorf("browsers cannot be served: %w", err)
	}
	s, err := frontend.New(f.Config)
	if err != nil {
		return errors.Join(err, f.Listener.Close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Open(cmd.Context()); err != nil {
		return err
	}
	select {
	case err := <-s.Failed():
		return err
	case <-cmd.Context().Done():
	}
	f.Logger.Info("told to stop")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), f.drain)
	defer cancel()
	if err := s.Drain(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// complete reads what the flags name: secrets, certificates, networks, the file of settings.
func (f *frontendFlags) complete(cmd *cobra.Command) (err error) {
	if f.secretFile == "" {
		return usage(cmd, "--secret-file: the secret that all frontends share; make one with: openssl rand -hex 32 > FILE; chmod 600 FILE")
	}
	if f.Secret, err = frontend.ReadSecret(f.secretFile); err != nil {
		return err
	}
	for _, text := range f.trusted {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return usage(cmd, "--trusted-proxies: %q is not a network like 10.0.0.0/8", text)
		}
		f.TrustedProxies = append(f.TrustedProxies, p.Masked())
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return usage(cmd, "--tls-cert and --tls-key go together")
	}
	if f.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
		if err != nil {
			return usage(cmd, "--tls-cert: %v", err)
		}
		f.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	if f.PublicURL == "" {
		scheme := map[bool]string{true: "https", false: "http"}[f.TLS != nil]
		f.PublicURL = scheme + "://" + f.listen
	}
	if f.settings != "" {
		return f.Config.ReadSettings(f.settings)
	}
	return nil
}

// settle opens the payment provider and starts the worker that carries out what shards owe the world. stop ends it.
func (f *frontendFlags) settle(cmd *cobra.Command, c *client.Client) (stop func(), err error) {
	masters, err := person.ReadMasters(cmp.Or(f.masterFile, f.secretFile))
	if err != nil {
		return nil, err
	}
	f.Persons = person.NewVault(masters, c)
	carriers, err := f.carriers(c)
	if err != nil {
		return nil, err
	}
	if f.provider.payments == paymentsNone {
		return func() {}, nil
	}
	if len(f.settlement) > 0 {
		return func() {}, f.edge(cmd)
	}
	p, err := f.provider.open(cmd, true)
	if err != nil {
		return nil, err
	}
	worker, err := settle.New(cmd.Context(), settle.Config{Client: c, Provider: p, Name: f.Name, Limits: f.provider.limits(), Carriers: carriers, Logger: f.Logger})
	if err != nil {
		return nil, err
	}
	f.Payments = frontend.NewSettlement(c, p, worker, f.public())
	ctx, cancel := context.WithCancel(context.WithoutCancel(cmd.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := worker.Run(ctx); err != nil && ctx.Err() == nil {
			f.Logger.Error("the settlement worker has ended", "err", err)
		}
	}()
	return func() { cancel(); <-done; worker.Close() }, nil
}

// edge makes this a frontend without the provider's key: others settle for it.
func (f *frontendFlags) edge(cmd *cobra.Command) error {
	if err := f.provider.keyless(cmd); err != nil {
		return err
	}
	public := f.public()
	public.TestMode = frontend.TestMode(f.publishableKey)
	edge, err := frontend.NewEdge(f.Secret, f.settlement, public)
	if err != nil {
		return usage(cmd, "--settlement: %v", err)
	}
	f.Payments = edge
	return nil
}

// carriers tell buyers and organizers what became of their orders.
func (f *frontendFlags) carriers(c *client.Client) (map[holdfast.EffectKind]settle.Carrier, error) {
	carriers, book := map[holdfast.EffectKind]settle.Carrier{}, statement.NewBook(c)
	carry := func(do func(context.Context, statement.Occasion) error) settle.Carrier {
		return func(ctx context.Context, e client.Effect) error {
			return do(ctx, statement.Occasion{Effect: e.ID, Event: e.Event, Order: e.Hold.Order(), Topic: e.Topic})
		}
	}
	if f.mailConfig != "" {
		outbox, err := openMail(f.mailConfig)
		if err != nil {
			return nil, err
		}
		f.Mail = mail.Plain{Outbox: outbox}
		receipts, err := mail.NewReceipts(mail.ReceiptsConfig{Book: book, People: c, Vault: f.Persons, Outbox: outbox, Logger: f.Logger, OrderLink: f.orderLink(c)})
		if err != nil {
			return nil, err
		}
		carriers[holdfast.EffectReceipt] = carry(receipts.Do)
	}
	if f.notifyConfig != "" {
		cfg, err := notify.ReadConfig(f.notifyConfig)
		if err != nil {
			return nil, err
		}
		hooks, err := notify.New(notify.Options{Config: cfg, Book: book, People: c, Vault: f.Persons, Logger: f.Logger})
		if err != nil {
			return nil, err
		}
		carriers[holdfast.EffectNotify] = carry(hooks.Do)
	}
	return carriers, nil
}

// public is what browsers are told of the provider.
func (f *frontendFlags) public() frontend.PaymentPublic {
	public := frontend.PaymentPublic{Provider: f.provider.payments, PublishableKey: f.publishableKey}
	if f.provider.payments == providerSandbox {
		public.SandboxURL = strings.TrimSuffix(cmp.Or(f.provider.sandbox, sandboxDefault), "/")
		for _, m := range sandbox.Methods() {
			if m.Type == "card" {
				public.Methods = append(public.Methods, frontend.PaymentMethod{ID: m.ID, Text: "A card that " + m.Says})
			}
		}
	}
	return public
}

// orderLink gives the links of receipts.
func (f *frontendFlags) orderLink(c *client.Client) func(event string, order holdfast.OrderID) string {
	return func(event string, order holdfast.OrderID) string {
		ctx, cancel := context.WithTimeout(context.Background(), client.TimeoutDefault)
		defer cancel()
		e, err := c.Event(ctx, client.Named(event), client.AllowStale())
		if err != nil {
			return f.PublicURL + "/find"
		}
		return f.PublicURL + f.Secret.OrderPath(e.ID, order)
	}
}

func openMail(path string) (mail.Outbox, error) {
	cfg, err := mail.ReadConfig(path)
	if err != nil {
		return nil, err
	}
	return mail.NewSMTP(cfg)
}
