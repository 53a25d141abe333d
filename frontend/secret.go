package frontend

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// SecretBytes is the size of the fleet secret.
const SecretBytes = 32

// Secret is what all frontends of a cluster share. Every key that must be the same at each of them is derived from it,
// one for each purpose and event, so that no key serves two ends. It never leaves the process: not in a log, not in an
// error, not in an answer.
type Secret [SecretBytes]byte

// ReadSecret reads the fleet secret from a file: 32 bytes as they are, or written in hex or base64. The file must be
// closed to others.
func ReadSecret(path string) (Secret, error) {
	var s Secret
	info, err := os.Stat(path)
	if err != nil {
		return s, fmt.Errorf("the fleet secret cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, &holdfast.Error{Kind: holdfast.Invalid, Op: "fleet secret", Field: "secret-file",
			Message: fmt.Sprintf("%s may be read by others (mode %04o); chmod 600 it", path, info.Mode().Perm())}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("the fleet secret cannot be read: %w", err)
	}
	if len(raw) == SecretBytes {
		return Secret(raw), nil
	}
	text := strings.TrimSpace(string(raw))
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		if b, err := decode(text); err == nil && len(b) == SecretBytes {
			return Secret(b), nil
		}
	}
	return s, &holdfast.Error{Kind: holdfast.Invalid, Op: "fleet secret", Field: "secret-file",
		Message: fmt.Sprintf("%s does not hold 32 bytes, plain, in hex or in base64; make one with: openssl rand -hex 32 > FILE", path)}
}

// String keeps the secret out of whatever prints the configuration.
func (Secret) String() string { return "(secret)" }

// GoString does the same for %#v.
func (Secret) GoString() string { return "(secret)" }

// Format does the same for every other verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(secret)")) }

// purpose names what a derived key is for.
type purpose string

// The purposes. A key of one is of no use for another.
const (
	forAccounts    purpose = "account"     // place keys of accounts: the same account has the same place
	forPolls       purpose = "poll"        // MACs of tokens
	forCookies     purpose = "cookie"      // MACs of what else visitors carry
	forVisitors    purpose = "visitor"     // place keys of anonymous browsers, one an event
	forWork        purpose = "work"        // challenges
	forRepeats     purpose = "repeat"      // command ids from Idempotency-Key
	forContacts    purpose = "contact"     // keyed hashes of mail addresses
	forTickets     purpose = "ticket"      // MACs of order links
	forTicketCodes purpose = "ticket code" // seeds of the keys that sign tickets
	forAddresses   purpose = "address"     // encryption of a mail address that a visitor carries
	forFleet       purpose = "fleet"       // MACs of what edges ask settlement frontends for
	forMailLinks   purpose = "mail link"   // MACs of links that prove a mail address
)

// key derives the key for a purpose, and for one event where the purpose is an event's; 0 for all of them.
func (s Secret) key(p purpose, event holdfast.EventID) []byte {
	info := append([]byte("holdfast frontend v1 "+string(p)+"\x00"), binary.LittleEndian.AppendUint32(nil, uint32(event))...)
	key, err := hkdf.Key(sha256.New, s[:], nil, string(info), sha256.Size)
	if err != nil {
		panic("frontend: HKDF cannot give 32 bytes: " + err.Error()) // only a length over 255 hashes fails
	}
	return key
}

// macBytes is the length of the MACs in what visitors carry: 128 bits, which nobody guesses at any rate of requests.
const macBytes = 16

// mac appends the MAC of the parts, each with its length, so that no two lists of parts have one MAC.
func mac(b, key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	var length [4]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint32(length[:], uint32(len(p)))
		h.Write(length[:])
		h.Write(p)
	}
	var sum [sha256.Size]byte
	return append(b, h.Sum(sum[:0])[:macBytes]...)
}

// contactHash is how the cluster knows a mail address: a keyed hash, so that orders are found by the address and the
// address is not to be had from the log.
func (s Secret) contactHash(address string) (hash [16]byte) {
	copy(hash[:], mac(nil, s.key(forContacts, 0), []byte(strings.ToLower(strings.TrimSpace(address)))))
	return hash
}
