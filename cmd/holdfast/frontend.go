package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/frontend"
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
	mailWay        string
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
	flags.StringVar(&f.mailWay, "mail", "", "how mails go out: smtp, through the server of --mail-config; log, which only notes that there was one; none (default: smtp with --mail-config, else none)")
	flags.StringVar(&f.mailConfig, "mail-config", "", "a file that says through which server mails go")
	flags.StringVar(&f.notifyConfig, "notify-config", "", "a file that says which webhooks of organizers are told of orders; without it nobody is told")
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
