package holdfast

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// KeyID names a frontend's key in the tokens that are signed with it: the first eight bytes of SHA-256 of the public key.
type KeyID [8]byte

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// FrontendKey is a public key with which one frontend signs tokens, and all others check them. The private key is known
// to that frontend alone. A frontend that changes its key gives the next one out before it signs with it, and lets the last
// one live for as long as a token does.
type FrontendKey struct {
	Frontend    string   `json:"frontend"`      // whose it is
	Public      [32]byte `json:"-"`             // Ed25519
	NotBeforeMs int64    `json:"not_before_ms"` // wall clock, Unix milliseconds: tokens signed before it are not good
	NotAfterMs  int64    `json:"not_after_ms"`  // nor is any after it
}

// ID is the key's name.
func (k *FrontendKey) ID() KeyID {
	sum := sha256.Sum256(k.Public[:])
	return KeyID(sum[:8])
}

// Limits of keys.
const (
	// KeysMax bounds the keys that have not expired.
	KeysMax = 64
	// KeyLifeMax bounds how long one is good, so that a key that was stolen and forgotten ends by itself.
	KeyLifeMax = 90 * 24 * time.Hour
)
