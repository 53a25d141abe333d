// Package mail sends buyers what they have to know: receipts with a link to their tickets, and links by which they prove
// that an address is theirs.
//
// A receipt is an effect of the shard (holdfast.EffectReceipt): Receipts carries it out, at least once. Its Message-ID is
// derived from the effect, so that a mail that was sent twice is shown once by most readers.
//
// Addresses are personal data. They are decrypted when a mail is sent and not before, and are in no log, error or metric:
// what a mail server answers often repeats the address, so that only its codes are kept.
package mail

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/payment"
)

// Letter is one mail.
type Letter struct {
	To      person.Person
	ID      string // its Message-ID without brackets and domain: the same for the same letter; empty: one of its own
	Subject string
	Text    string
	HTML    string // may be empty
}

// Format shows nothing of it: links in it are as good as tickets.
func (l Letter) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "(a letter)") }

// LogValue shows nothing of it.
func (l Letter) LogValue() slog.Value { return slog.StringValue("(a letter)") }

// Outbox sends letters. An error that will be the same next time, because the mailbox does not exist or the letter cannot be
// sent at all, is a payment.Error of kind Invalid: that is how a settlement worker tells it from all others.
type Outbox interface {
	Deliver(ctx context.Context, l Letter) error
}

// Limits of a letter.
const (
	subjectBytesMax = 200
	bodyBytesMax    = 256 << 10
)

// check refuses what could become another header, another recipient or another mail.
func (l Letter) check() error {
	if _, err := person.Clean(l.To); err != nil {
		return hopeless("recipient", "the recipient is no mail address")
	}
	switch {
	case l.Subject == "" || len(l.Subject) > subjectBytesMax || !oneLine(l.Subject):
		return hopeless("subject", "the subject is empty, too long, or more than a line")
	case !utf8.ValidString(l.Text) || !utf8.ValidString(l.HTML) || len(l.Text)+len(l.HTML) > bodyBytesMax || l.Text == "":
		return hopeless("body", "the text is empty, too long, or not UTF-8")
	case strings.ContainsFunc(l.ID, notInID):
		return hopeless("id", "the message's id has characters that it may not have")
	}
	return nil
}

func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func notInID(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' }

// hopeless is an error that will be the same next time.
func hopeless(code, message string) error {
	return &payment.Error{Kind: payment.Invalid, Op: "mail", Code: code, Message: message}
}

// later is an error that may be gone next time.
func later(code, message string) error {
	return &payment.Error{Kind: payment.Unknown, Op: "mail", Code: code, Message: message}
}

// Log is an outbox that sends nothing, and says so in the log without saying to whom: for the demo and for trials.
type Log struct{ Logger *slog.Logger }

// Deliver logs that there was a letter.
func (o Log) Deliver(_ context.Context, l Letter) error {
	if err := l.check(); err != nil {
		return err
	}
	o.Logger.Info("a mail is not sent: this frontend only logs", "message", l.ID, "text_bytes", len(l.Text), "html_bytes", len(l.HTML))
	return nil
}

// None is an outbox that sends nothing and says nothing.
type None struct{}

// Deliver does nothing.
func (None) Deliver(_ context.Context, l Letter) error { return l.check() }

// The ways to send mail, as a flag has them.
const (
	BySMTP = "smtp" // through the server that the configuration names
	ByLog  = "log"  // nothing is sent; the log says that there was a mail, and not to whom
	ByNone = "none" // nothing is sent
)

// Open makes an outbox. Effects are carried out either way: with log and none they are done without a mail, and do not pile up.
func Open(way, configFile string, log *slog.Logger) (Outbox, error) {
	switch way {
	case BySMTP:
		cfg, err := ReadConfig(configFile)
		if err != nil {
			return nil, err
		}
		return NewSMTP(cfg)
	case ByLog:
		return Log{Logger: log}, nil
	case ByNone:
		return None{}, nil
	}
	return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "mail", Field: "mail", Message: "it is smtp, log or none"}
}

// Plain makes an outbox send short texts: what sign-in by link needs.
type Plain struct{ Outbox }

// Send sends one text.
func (p Plain) Send(ctx context.Context, to, subject, text string) error {
	somebody, err := person.Clean(person.Person{Mail: to})
	if err != nil {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "mail", Field: "mail", Message: "it is not a mail address"}
	}
	return p.Deliver(ctx, Letter{To: somebody, Subject: subject, Text: text})
}
