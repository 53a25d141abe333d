// Package ticket makes the codes that let somebody in, and reads them at the door.
//
// A code names one seat of one order, and is signed by the shop: a scanner that has the public key tells a real one from a
// forged one with no network. What it cannot tell offline is whether the order is still paid. Codes are therefore given out
// only while their order is (statement.TicketsValid: captured, not disputed, the seat not refunded), and a door that has a
// network asks. A code that is made anew, after a ticket was passed on or lost, has the next serial, and a door that has seen it
// takes no lower one.
//
// There is nothing personal in a code.
package ticket

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/statement"
)

// Ticket is what a code says.
type Ticket struct {
	Event  holdfast.EventID
	Order  holdfast.OrderID
	Seat   holdfast.SeatIndex
	Serial uint16 // from 0
}

// A code is the prefix and, in base32, a body and the Ed25519 signature of domain and body:
//
//	version uint8 | key id [4] | event uint32 | order [16] | seat uint32 | serial uint16
//
// Integers are little-endian. The version stands for the algorithm too: there is nothing in a code by which a forger could
// choose another. Base32 has capitals and digits only, which QR codes pack more tightly, people can read out, and no input
// method changes.
const (
	prefix  = "HFT"
	version = 1
	domain  = "holdfast ticket v1\x00"

	keyIDBytes = 4
	bodyBytes  = 1 + keyIDBytes + 4 + 16 + 4 + 2
	codeBytes  = bodyBytes + ed25519.SignatureSize
)

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Signer signs tickets. It is safe for concurrent use.
type Signer struct {
	key ed25519.PrivateKey
	id  [keyIDBytes]byte
}

// KeyID tells public keys apart in codes.
func KeyID(public ed25519.PublicKey) (id [keyIDBytes]byte) {
	sum := sha256.Sum256(public)
	copy(id[:], sum[:])
	return id
}

// NewSigner makes a signer from a key's 32-byte seed.
func NewSigner(seed []byte) (*Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "ticket key", Field: "seed", Message: fmt.Sprintf("it does not have %d bytes", ed25519.SeedSize)}
	}
	s := &Signer{key: ed25519.NewKeyFromSeed(seed)}
	s.id = KeyID(s.Public())
	return s, nil
}

// Public is the key that doors need.
func (s *Signer) Public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Format keeps the key out of whatever prints a signer.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(ticket signer)")) }

// Code gives the code of a ticket: always the same for the same ticket.
func (s *Signer) Code(t Ticket) string {
	b := append(make([]byte, 0, codeBytes), version)
	b = append(b, s.id[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Event))
	b = append(b, t.Order[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Seat))
	b = binary.LittleEndian.AppendUint16(b, t.Serial)
	b = append(b, ed25519.Sign(s.key, append([]byte(domain), b...))...)
	return prefix + encoding.EncodeToString(b)
}

// Coded is a seat with its code.
type Coded struct {
	Ticket
	Label string
	Code  string
}

// ErrNotValid is why no code is given out.
var ErrNotValid = errors.New("the order is not paid, or disputed: its tickets are not valid")

// Codes gives the codes of an order's live seats, or none when the order's tickets are not valid.
func (s *Signer) Codes(o statement.Statement) ([]Coded, error) {
	if !o.TicketsValid() {
		return nil, ErrNotValid
	}
	var all []Coded
	for _, seat := range o.Seats {
		if seat.Live {
			t := Ticket{Event: o.Event, Order: o.Order, Seat: seat.Unit}
			all = append(all, Coded{Ticket: t, Label: seat.Label, Code: s.Code(t)})
		}
	}
	return all, nil
}

// Door checks codes with no network. It is safe for concurrent use.
type Door struct {
	keys map[[keyIDBytes]byte]ed25519.PublicKey
}

// keysMax bounds a door's keys: one is used, and a few from before.
const keysMax = 64

// NewDoor makes a door that takes the codes of these keys.
func NewDoor(keys ...ed25519.PublicKey) (*Door, error) {
	d := &Door{keys: map[[keyIDBytes]byte]ed25519.PublicKey{}}
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize || len(d.keys) == keysMax || d.keys[KeyID(key)] != nil {
			return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "ticket keys", Field: "keys", Message: "one of them is no key, is there twice, or is one too many"}
		}
		d.keys[KeyID(key)] = key
	}
	return d, nil
}

// Why a code is not taken.
var (
	ErrNoTicket   = errors.New("this is not a ticket")
	ErrUnknownKey = errors.New("the ticket is from another shop, or from a newer key than this door has")
	ErrForged     = errors.New("the ticket is forged")
)

// Check reads a code. Only a ticket whose signature is right is given. Whether its order is paid the code cannot say.
func (d *Door) Check(code string) (Ticket, error) {
	rest, ok := strings.CutPrefix(strings.ToUpper(strings.TrimSpace(code)), prefix)
	if !ok || len(rest) != encoding.EncodedLen(codeBytes) {
		return Ticket{}, ErrNoTicket
	}
	b, err := encoding.DecodeString(rest)
	if err != nil || len(b) != codeBytes || b[0] != version || encoding.EncodeToString(b) != rest { // one ticket has one code
		return Ticket{}, ErrNoTicket
	}
	key, ok := d.keys[[keyIDBytes]byte(b[1:])]
	if !ok {
		return Ticket{}, ErrUnknownKey
	}
	body, signature := b[:bodyBytes], b[bodyBytes:]
	if !ed25519.Verify(key, append([]byte(domain), body...), signature) {
		return Ticket{}, ErrForged
	}
	at := 1 + keyIDBytes
	return Ticket{Event: holdfast.EventID(binary.LittleEndian.Uint32(body[at:])), Order: holdfast.OrderID(body[at+4:]),
		Seat: holdfast.SeatIndex(binary.LittleEndian.Uint32(body[at+20:])), Serial: binary.LittleEndian.Uint16(body[at+24:])}, nil
}
