// Package person keeps names and mail addresses apart from what decides about seats.
//
// A frontend encrypts them under a key of their own (Vault.Seal) before anything is sent. The ciphertext goes through the
// shard's log with the hold, and stays in logs, snapshots, archives and backups for as long as those are kept. The key goes
// to the members' keyrings, which are beside the logs and in no backup, and from which it can be destroyed: after that
// nothing opens any of the copies. The key is kept wrapped by a master key that only frontends have, so that a member's
// disk alone opens nothing either.
//
// docs/personal-data.md says what is promised, and what is not.
package person

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-db/holdfast"
)

// Person is what is known of a buyer. However it is printed or logged, it does not show.
type Person struct {
	Mail string
	Name string // may be empty
}

// hidden is what is shown instead of a person.
const hidden = "(somebody)"

// Format shows nothing, whatever the verb.
func (p Person) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// LogValue shows nothing.
func (p Person) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON refuses: where a person has to be shown, its fields are named one by one.
func (p Person) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a person is not written as JSON by accident: name the fields")
}

// Limits. A person of the largest size fits a blob.
const (
	mailBytesMax = 254 // RFC 5321, 4.5.3.1.3, without the angle brackets
	nameBytesMax = 200
)

// Clean gives the person as it is kept, or says which field is at fault; the message does not repeat what was given.
func Clean(p Person) (Person, error) {
	p.Mail, p.Name = strings.TrimSpace(p.Mail), strings.TrimSpace(p.Name)
	switch {
	case !plausibleMail(p.Mail):
		return Person{}, refuse("mail", "it is not a mail address, or longer than %d bytes", mailBytesMax)
	case len(p.Name) > nameBytesMax || !printable(p.Name):
		return Person{}, refuse("name", "it is longer than %d bytes, or has characters that cannot be printed", nameBytesMax)
	}
	return p, nil
}

// plausibleMail refuses what no server would take, and what could become a second header or recipient. Whether there is
// such an address only a mail to it tells.
func plausibleMail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > mailBytesMax || local == "" || domain == "" || len(local) > 64 || !printable(s) {
		return false
	}
	if strings.ContainsAny(s, " \t,;:<>()[]\\\"") || strings.Contains(domain, "@") {
		return false // quoted local parts are refused as well: nobody has one, and everybody parses them differently
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return !strings.HasPrefix(local, ".") && !strings.HasSuffix(local, ".") && !strings.Contains(local, "..")
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// normalMail is the form in which addresses are compared: one person who writes it in capitals is no second one.
func normalMail(mail string) string { return strings.ToLower(strings.TrimSpace(mail)) }

func refuse(field, format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "person", Field: field, Message: fmt.Sprintf(format, args...)}
}

// The plaintext: version uint8, then each text with its length as uint16, then zeros up to a multiple of padBytes, so
// that the length of the ciphertext does not tell one address from another.
const (
	plainVersion = 1
	padBytes     = 128
)

func (p Person) pack() []byte {
	b := []byte{plainVersion}
	for _, text := range []string{p.Mail, p.Name} {
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
	}
	return append(b, make([]byte, (padBytes-len(b)%padBytes)%padBytes)...)
}

func unpack(b []byte) (p Person, err error) {
	broken := errors.New("what was decrypted is not a person")
	if len(b) == 0 || b[0] != plainVersion {
		return Person{}, broken
	}
	b = b[1:]
	for _, text := range []*string{&p.Mail, &p.Name} {
		if len(b) < 2 {
			return Person{}, broken
		}
		n := int(binary.LittleEndian.Uint16(b))
		if len(b) < 2+n {
			return Person{}, broken
		}
		*text, b = string(b[2:2+n]), b[2+n:]
	}
	for _, zero := range b {
		if zero != 0 {
			return Person{}, broken
		}
	}
	return p, nil
}
