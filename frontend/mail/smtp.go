package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/yamlfile"
	"github.com/holdfast-db/holdfast/payment"
)

// Config says through which server mails go. It can be read from a file: see ReadConfig.
type Config struct {
	Host string `yaml:"host"`
	Port int    `yaml:"port"` // 0: 587, or 465 with tls: implicit

	// TLS is starttls (as when empty: without it nothing is sent), implicit, or none, which is for servers on this machine.
	TLS    string `yaml:"tls"`
	CAFile string `yaml:"ca_file"` // certificates to trust besides the system's

	Username     string         `yaml:"username"` // empty: nobody signs in
	PasswordFile string         `yaml:"password_file"`
	Password     payment.Secret `yaml:"-"` // instead of the file; see PasswordEnv

	From    string        `yaml:"from"` // as: Tickets <tickets@example.org>
	ReplyTo string        `yaml:"reply_to"`
	Timeout time.Duration `yaml:"timeout"` // for one mail; 0: 10 s
}

// PasswordEnv has the password when no file is named.
const PasswordEnv = "HOLDFAST_SMTP_PASSWORD"

const (
	timeoutDefault = 10 * time.Second
	configBytesMax = 64 << 10
)

// ReadConfig reads a YAML file with a Config's fields. Unknown ones are refused.
func ReadConfig(path string) (c Config, err error) {
	if err := yamlfile.Read(path, configBytesMax, &c); err != nil {
		return Config{}, &holdfast.Error{Kind: holdfast.Invalid, Op: "read mail config", Field: "mail-config", Message: path, Err: err}
	}
	return c, nil
}

// SMTP sends through a server. It is safe for concurrent use, and opens a connection for each mail.
type SMTP struct {
	client  *gomail.Client
	from    *mail.Address
	replyTo *mail.Address // nil: none
	domain  string        // of Message-IDs
	timeout time.Duration
}

// NewSMTP checks a configuration. It does not connect.
func NewSMTP(c Config) (*SMTP, error) {
	s := &SMTP{timeout: c.Timeout}
	if s.timeout == 0 {
		s.timeout = timeoutDefault
	}
	var err error
	if s.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, badConfig("from", "it is not an address like Tickets <tickets@example.org>")
	}
	_, s.domain, _ = strings.Cut(s.from.Address, "@")
	if c.ReplyTo != "" {
		if s.replyTo, err = mail.ParseAddress(c.ReplyTo); err != nil {
			return nil, badConfig("reply_to", "it is not an address")
		}
	}
	options, err := c.options(s.timeout)
	if err != nil {
		return nil, err
	}
	if s.client, err = gomail.NewClient(c.Host, options...); err != nil {
		return nil, badConfig("host", err.Error())
	}
	return s, nil
}

func badConfig(field, message string) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "mail config", Field: field, Message: message}
}

func (c Config) options(timeout time.Duration) ([]gomail.Option, error) {
	options := []gomail.Option{gomail.WithTimeout(timeout)}
	trust := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, badConfig("ca_file", err.Error())
		}
		if trust.RootCAs, err = x509.SystemCertPool(); err != nil {
			trust.RootCAs = x509.NewCertPool()
		}
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, badConfig("ca_file", "there is no certificate in it")
		}
	}
	port := c.Port
	switch c.TLS {
	case "", "starttls":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(trust))
		port = orElse(port, gomail.DefaultPortTLS)
	case "implicit":
		options = append(options, gomail.WithSSL(), gomail.WithTLSConfig(trust))
		port = orElse(port, gomail.DefaultPortSSL)
	case "none":
		if ip := net.ParseIP(c.Host); c.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, badConfig("tls", "names and addresses of buyers go in plain text to servers on this machine only")
		}
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
		port = orElse(port, gomail.DefaultPort)
	default:
		return nil, badConfig("tls", "it is starttls, implicit or none")
	}
	options = append(options, gomail.WithPort(port))
	if c.Username == "" {
		return options, nil
	}
	password := c.Password
	if password.IsZero() {
		var err error
		if password, err = payment.ReadSecret(c.PasswordFile, PasswordEnv); err != nil {
			return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "mail config", Field: "password_file", Message: "no password for the mail server", Err: err}
		}
	}
	return append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.Username), gomail.WithPassword(password.Reveal())), nil
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// Deliver sends a letter and returns when the server has taken it.
func (s *SMTP) Deliver(ctx context.Context, l Letter) error {
	if err := l.check(); err != nil {
		return err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	m.AddToMailAddress(&mail.Address{Name: l.To.Name, Address: l.To.Mail})
	if s.replyTo != nil {
		m.ReplyToMailAddress(s.replyTo)
	}
	m.Subject(l.Subject)
	m.SetDate()
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday notice answers it
	if l.ID != "" {
		m.SetMessageIDWithValue(l.ID + "@" + s.domain)
	} else {
		m.SetMessageID()
	}
	m.SetBodyString(gomail.TypeTextPlain, l.Text)
	if l.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.client.DialAndSendWithContext(ctx, m)
	if err == nil || m.IsDelivered() {
		return nil // it was taken, even if the connection broke afterwards
	}
	return verdict(err)
}

// verdict says what a failure means, in codes: a server's text may have the address in it.
func verdict(err error) error {
	var failure *gomail.SendError
	var network net.Error
	switch {
	case errors.As(err, &failure):
		code := fmt.Sprintf("%d", failure.ErrorCode())
		if enhanced := failure.EnhancedStatusCode(); enhanced != "" {
			code += " " + enhanced
		}
		switch failure.Reason {
		case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
			if failure.ErrorCode() >= 500 {
				return hopeless(code, "the mail server does not take it")
			}
		case gomail.ErrGetRcpts, gomail.ErrGetSender:
			return hopeless("address", "the addresses cannot be written as mail has them")
		}
		return later(code, "the mail server did not take it")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return later("timeout", "the mail server did not answer in time")
	case errors.As(err, &network):
		return later("unreachable", "the mail server cannot be reached")
	}
	return later("greeting", "the mail server does not let us in: TLS, sign-in, or what it offers")
}
