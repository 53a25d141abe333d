package mail_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/mail"
	"github.com/holdfast-db/holdfast/frontend/mail/mailtest"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/payment"
)

var anna = person.Person{Mail: "anna@example.org", Name: "Anna Ångström"}

func outbox(t *testing.T, s *mailtest.Server, change func(*mail.Config)) *mail.SMTP {
	t.Helper()
	cfg := mail.Config{Host: s.Host, Port: s.Port, CAFile: s.CAFile, From: "Tickets <tickets@shop.example>", Timeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	o, err := mail.NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func letter() mail.Letter {
	return mail.Letter{To: anna, ID: "receipt.0123", Subject: "Your tickets for Frühling", Text: "Hello,\n.\nfine", HTML: "<p>Hello</p>"}
}

// parts gives what a mail has in its two parts.
func parts(t *testing.T, m mailtest.Mail) (plain, rich string) {
	t.Helper()
	parsed := m.Message(t)
	_, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	for r := multipart.NewReader(parsed.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return plain, rich
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			rich = string(body)
		} else {
			plain = string(body)
		}
	}
}

func TestALetterArrivesAsItWasWritten(t *testing.T) {
	server := mailtest.New(t)
	o := outbox(t, server, func(c *mail.Config) { c.ReplyTo = "Help <help@shop.example>" })
	if err := o.Deliver(t.Context(), letter()); err != nil {
		t.Fatal(err)
	}
	mails := server.Mails()
	if len(mails) != 1 || !mails[0].TLS || mails[0].From != "tickets@shop.example" || len(mails[0].To) != 1 || mails[0].To[0] != "anna@example.org" {
		t.Fatalf("the server took %d mails: %+v", len(mails), mails)
	}
	h := mails[0].Message(t).Header
	to, err := h.AddressList("To")
	if err != nil || to[0].Name != anna.Name || to[0].Address != anna.Mail {
		t.Errorf("it is for %v, %v", to, err)
	}
	subject, _ := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	for field, pair := range map[string][2]string{
		"subject": {subject, "Your tickets for Frühling"}, "message-id": {h.Get("Message-ID"), "<receipt.0123@shop.example>"},
		"reply-to": {h.Get("Reply-To"), `"Help" <help@shop.example>`}, "auto": {h.Get("Auto-Submitted"), "auto-generated"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", field, pair[0], pair[1])
		}
	}
	plain, rich := parts(t, mails[0])
	if strings.ReplaceAll(plain, "\r\n", "\n") != "Hello,\n.\nfine" || !strings.Contains(rich, "<p>Hello</p>") {
		t.Errorf("it says %q and %q", plain, rich)
	}
}

func TestWhatCouldBecomeAnotherHeaderIsRefused(t *testing.T) {
	server := mailtest.New(t)
	o := outbox(t, server, nil)
	for name, change := range map[string]func(*mail.Letter){
		"subject":      func(l *mail.Letter) { l.Subject = "tickets\r\nBcc: everybody@example.org" },
		"subject long": func(l *mail.Letter) { l.Subject = strings.Repeat("x", 201) },
		"no subject":   func(l *mail.Letter) { l.Subject = "" },
		"name":         func(l *mail.Letter) { l.To.Name = "Anna\r\nBcc: everybody@example.org" },
		"address":      func(l *mail.Letter) { l.To.Mail = "anna@example.org>\r\nRCPT TO:<everybody@example.org" },
		"two":          func(l *mail.Letter) { l.To.Mail = "anna@example.org, everybody@example.org" },
		"id":           func(l *mail.Letter) { l.ID = "x>\r\nBcc: everybody@example.org" },
		"no text":      func(l *mail.Letter) { l.Text = "" },
		"a book":       func(l *mail.Letter) { l.Text = strings.Repeat("x", 300<<10) },
	} {
		l := letter()
		change(&l)
		for _, box := range []mail.Outbox{o, mail.None{}, mail.Log{Logger: slog.New(slog.DiscardHandler)}} {
			if err := box.Deliver(t.Context(), l); !errors.Is(err, payment.Invalid) {
				t.Errorf("%s: %T gave %v", name, box, err)
			}
		}
	}
	if err := (mail.Plain{Outbox: o}).Send(t.Context(), "a@b\r\nc", "hello", "text"); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a plain mail to nobody gave %v", err)
	}
	if n := len(server.Mails()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
	if err := (mail.Plain{Outbox: o}).Send(t.Context(), "a@b.c", "hello", "text"); err != nil || len(server.Mails()) != 1 {
		t.Errorf("a plain mail was not sent: %v", err)
	}
}

// What a server answers often repeats the address. Whether trying again helps is in its code.
func TestFailuresTellWhetherToTryAgainAndNotToWhom(t *testing.T) {
	for _, c := range []struct {
		verb, line string
		again      bool
		code       string
	}{
		{"RCPT", "550 5.1.1 <anna@example.org> is unknown", false, "550 5.1.1"},
		{"RCPT", "450 4.2.1 <anna@example.org> is busy", true, "450 4.2.1"},
		{"MAIL", "550 5.7.1 tickets@shop.example may not send", true, "550 5.7.1"}, // ours to mend
		{".", "554 5.7.1 no spam from anna@example.org", false, "554 5.7.1"},
		{".", "451 4.3.0 later, anna@example.org", true, "451 4.3.0"},
		{"DATA", "421 4.3.2 closing, anna@example.org", true, "421 4.3.2"},
	} {
		server := mailtest.New(t)
		server.Answer(c.verb, c.line)
		o := outbox(t, server, nil)
		err := o.Deliver(t.Context(), letter())
		var failure *payment.Error
		if !errors.As(err, &failure) || failure.Kind.Again() != c.again || failure.Code != c.code {
			t.Errorf("%s: %v", c.line, err)
		} else if strings.Contains(err.Error(), "anna") {
			t.Errorf("%s: the failure tells to whom: %v", c.line, err)
		}
		server.Answer(c.verb, "")
		if err := o.Deliver(t.Context(), letter()); err != nil {
			t.Errorf("%s: after it is over: %v", c.line, err)
		}
	}
}

func TestServersThatDoNotAnswerAreGivenUp(t *testing.T) {
	server := mailtest.New(t)
	goOn := server.Stall()
	defer goOn()
	o := outbox(t, server, func(c *mail.Config) { c.Timeout = 100 * time.Millisecond })
	began := time.Now()
	if err := o.Deliver(t.Context(), letter()); !payment.KindOf(err).Again() || time.Since(began) > 3*time.Second {
		t.Errorf("a server that is stuck gave %v after %v", err, time.Since(began))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Deliver(gone, letter()); !payment.KindOf(err).Again() {
		t.Errorf("a caller who has gone was told %v", err)
	}
	closed := mailtest.New(t)
	nobody := outbox(t, closed, func(c *mail.Config) { c.Port = 1 })
	if err := nobody.Deliver(t.Context(), letter()); !payment.KindOf(err).Again() {
		t.Errorf("nobody there gave %v", err)
	}
}

func TestSignInIsByAPasswordThatShowsNowhere(t *testing.T) {
	server := mailtest.New(t)
	server.Username, server.Password = "shop", "correct-horse"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct-horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := outbox(t, server, func(c *mail.Config) { c.Username, c.PasswordFile = "shop", file })
	if err := in.Deliver(t.Context(), letter()); err != nil {
		t.Errorf("with the password: %v", err)
	}
	out := outbox(t, server, func(c *mail.Config) { c.Username, c.Password = "shop", payment.Hide("wrong-horse") })
	if err := out.Deliver(t.Context(), letter()); !payment.KindOf(err).Again() || strings.Contains(err.Error(), "horse") {
		t.Errorf("with a wrong password: %v", err)
	}
	t.Setenv(mail.PasswordEnv, "correct-horse")
	env := outbox(t, server, func(c *mail.Config) { c.Username = "shop" })
	if err := env.Deliver(t.Context(), letter()); err != nil {
		t.Errorf("with the password in the environment: %v", err)
	}
}

func TestAConfigurationIsRefusedByTheNameOfItsField(t *testing.T) {
	good := mail.Config{Host: "mail.example.org", From: "tickets@example.org"}
	for field, change := range map[string]func(*mail.Config){
		"from":          func(c *mail.Config) { c.From = "nobody" },
		"reply_to":      func(c *mail.Config) { c.ReplyTo = "nobody" },
		"tls":           func(c *mail.Config) { c.TLS = "none" }, // to another machine
		"host":          func(c *mail.Config) { c.Host = "" },
		"ca_file":       func(c *mail.Config) { c.CAFile = "missing.pem" },
		"password_file": func(c *mail.Config) { c.Username = "shop" },
	} {
		cfg := good
		change(&cfg)
		_, err := mail.NewSMTP(cfg)
		var failure *holdfast.Error
		if !errors.As(err, &failure) || failure.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	file := filepath.Join(t.TempDir(), "mail.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("host: mail.example.org\nfrom: Tickets <tickets@example.org>\nport: 2525\ntimeout: 3s\n")
	if c, err := mail.ReadConfig(file); err != nil || c.Port != 2525 || c.Timeout != 3*time.Second {
		t.Errorf("the file reads %+v, %v", c, err)
	}
	write("host: mail.example.org\npassword: secret\n")
	if _, err := mail.ReadConfig(file); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password in the file gave %v", err)
	}
	write("host: mail.example.org\nfrom: Tickets <tickets@example.org>\n")
	for way, ok := range map[string]bool{mail.BySMTP: true, mail.ByLog: true, mail.ByNone: true, "": false, "pigeon": false} {
		if box, err := mail.Open(way, file, slog.New(slog.DiscardHandler)); (err == nil) != ok || ok && box == nil {
			t.Errorf("%q opens as %T, %v", way, box, err)
		}
	}
	local := mail.Config{Host: "127.0.0.1", Port: 25, TLS: "none", From: "a@b.c"}
	if _, err := mail.NewSMTP(local); err != nil {
		t.Errorf("a server on this machine: %v", err)
	}
}

func TestTheLogTellsOfALetterAndNotToWhom(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	if err := (mail.Log{Logger: log}).Deliver(t.Context(), letter()); err != nil {
		t.Fatal(err)
	}
	log.Info("it", "letter", letter())
	if s := out.String(); !strings.Contains(s, "receipt.0123") || strings.Contains(s, "anna") || strings.Contains(s, "Ångström") || strings.Contains(s, "Hello") {
		t.Errorf("the log has %s", s)
	}
}
