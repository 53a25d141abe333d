package payment

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Secret is a text that must not be seen. However it is printed, logged or encoded, it shows as ***; Reveal gives
// it to the one who has to send it.
type Secret struct{ text string }

// secretBytesMax bounds a secret read from a file, so that a wrong path does not read a disk.
const secretBytesMax = 4096

// Hide makes a secret of a text.
func Hide(text string) Secret { return Secret{text} }

// Reveal gives the text. Send it, and keep it nowhere.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "***"
}

// Format prints *** for every verb, %q and %x too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// GoString, MarshalText and LogValue are the other ways in which a value gets into a text.
func (s Secret) GoString() string             { return s.String() }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }

// ReadSecret reads a secret from the file, or from the environment's variable when file is empty. Neither its value
// nor a part of it is in the error. A file that others may read is refused.
func ReadSecret(file, variable string) (Secret, error) {
	fail := func(message string, err error) (Secret, error) {
		return Secret{}, &Error{Kind: Invalid, Op: "read secret", Message: message, Err: err}
	}
	from, text := "the variable "+variable, os.Getenv(variable)
	if file != "" {
		from = file
		info, err := os.Stat(file)
		if err != nil {
			return fail("the file cannot be read", err)
		}
		if info.Mode().IsRegular() && info.Size() > secretBytesMax {
			return fail(fmt.Sprintf("%s is larger than %d bytes: is it the right file?", file, secretBytesMax), nil)
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return fail(fmt.Sprintf("%s may be read by others (mode %04o); chmod 600 it", file, info.Mode().Perm()), nil)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return fail("the file cannot be read", err)
		}
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return fail(from+" holds no secret", nil)
	case strings.ContainsAny(text, " \t\r\n"):
		return fail(from+" holds more than one word", nil)
	case len(text) > secretBytesMax:
		return fail(fmt.Sprintf("%s holds more than %d bytes", from, secretBytesMax), nil)
	}
	return Hide(text), nil
}
