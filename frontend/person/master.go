package person

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// Masters are the keys by which persons' keys are wrapped. All frontends of a cluster have the same, from a file that
// nodes do not have. They print as nothing.
type Masters struct {
	keys    []master // the last one wraps, all of them unwrap
	contact []byte   // keys the hashes of mail addresses
}

type master struct {
	id   [4]byte // tells in a wrapped key which one wrapped it
	aead cipher.AEAD
}

const (
	masterBytes = 32
	mastersMax  = 16 // bounds how often a master key can be replaced
)

// ReadMasters reads master keys from a file: one a line, 32 random bytes in hex or base64, as from openssl rand -hex 32; empty
// lines and those that begin with # do not count. (The frontends' secret is such a file, and will do.) The last one is used for new persons. Earlier ones stay, for persons
// from before, and the first one for good: addresses are found by it.
func ReadMasters(path string) (*Masters, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, badMasters(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, badMasters(path, err)
	}
	m, err := ParseMasters(data)
	if err != nil {
		return nil, badMasters(path, err)
	}
	return m, nil
}

func badMasters(path string, err error) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "read master keys", Field: "person-keys", Message: path, Err: err}
}

// ParseMasters reads what such a file has in it. Errors name lines, and nothing of what is in them.
func ParseMasters(data []byte) (*Masters, error) {
	m := &Masters{}
	if len(data) == masterBytes {
		return m, m.add(data) // as it is
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key := decodeKey(line)
		if key == nil {
			return nil, fmt.Errorf("line %d is not 32 bytes in hex or base64", number)
		}
		if err := m.add(key); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if lines.Err() != nil {
		return nil, errors.New("a line is too long")
	}
	if len(m.keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return m, nil
}

func decodeKey(line string) []byte {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		if key, err := decode(line); err == nil && len(key) == masterBytes {
			return key
		}
	}
	return nil
}

// RandomMasters makes a master key that ends with the process: for the demo and for tests.
func RandomMasters() *Masters {
	key := make([]byte, masterBytes)
	rand.Read(key)
	m := &Masters{}
	if err := m.add(key); err != nil {
		panic(err) // the key has the right size
	}
	return m
}

func (m *Masters) add(key []byte) error {
	if len(m.keys) == mastersMax {
		return fmt.Errorf("more than %d keys", mastersMax)
	}
	sum := sha256.Sum256(append([]byte("holdfast master key id v1"), key...))
	one := master{id: [4]byte(sum[:4])}
	for _, other := range m.keys {
		if other.id == one.id {
			return errors.New("the key is there twice")
		}
	}
	wrapping, err := hkdf.Key(sha256.New, key, nil, "holdfast person wrap v1", 32)
	if err != nil {
		return err
	}
	if one.aead, err = newGCM(wrapping); err != nil {
		return err
	}
	if m.contact == nil {
		if m.contact, err = hkdf.Key(sha256.New, key, nil, "holdfast contact v1", 32); err != nil {
			return err
		}
	}
	m.keys = append(m.keys, one)
	return nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Format shows nothing, whatever the verb.
func (m *Masters) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "(master keys)") }
