package person

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// Keyring is where persons' keys are kept: client.Client has it.
type Keyring interface {
	PutPersonKey(ctx context.Context, k holdfast.PersonKey) error
	PersonKey(ctx context.Context, hold holdfast.HoldID, salt [holdfast.PersonSaltBytes]byte) (holdfast.PersonKey, error)
}

// Vault encrypts and decrypts. It keeps no key for longer than a call, so that what was forgotten is so at once. It is
// safe for concurrent use.
type Vault struct {
	masters *Masters
	keyring Keyring
}

// NewVault makes a vault.
func NewVault(masters *Masters, keyring Keyring) *Vault {
	return &Vault{masters: masters, keyring: keyring}
}

// A blob: version uint8 | salt [8] | nonce [12] | ciphertext and tag. Its associated data names event and hold, so that
// it opens nowhere else.
const (
	blobVersion   = 1
	nonceBytes    = 12
	tagBytes      = 16
	blobHeadBytes = 1 + holdfast.PersonSaltBytes + nonceBytes
	dataKeyBytes  = 32
)

// The largest person fits a blob, and a wrapped key its field.
const (
	_ = uint(holdfast.PersonBytesMax - (blobHeadBytes + (1+4+mailBytesMax+nameBytesMax+padBytes-1)/padBytes*padBytes + tagBytes))
	_ = uint(holdfast.PersonWrappedBytes - (4 + nonceBytes + dataKeyBytes + tagBytes))
)

// Seal encrypts a person under a new key, has a majority of members keep the key, and gives the ciphertext for the shard's
// log. Only then may that be written: a person whose key is lost is forgotten.
func (v *Vault) Seal(ctx context.Context, event holdfast.EventID, hold holdfast.HoldID, p Person) (blob []byte, err error) {
	if p, err = Clean(p); err != nil {
		return nil, err
	}
	key := make([]byte, dataKeyBytes)
	rand.Read(key)
	defer clear(key)
	kept := holdfast.PersonKey{Event: event, Hold: hold}
	rand.Read(kept.Salt[:])
	v.masters.wrap(&kept, key)
	if err := v.keyring.PutPersonKey(ctx, kept); err != nil {
		return nil, err
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	blob = append(append(make([]byte, 0, holdfast.PersonBytesMax), blobVersion), kept.Salt[:]...)
	blob = append(blob, make([]byte, nonceBytes)...)
	nonce := blob[len(blob)-nonceBytes:]
	rand.Read(nonce)
	return aead.Seal(blob, nonce, p.pack(), bound("holdfast person v1", &kept)), nil
}

// Open decrypts a blob. The error wraps holdfast.ErrForgotten when the person was forgotten.
func (v *Vault) Open(ctx context.Context, event holdfast.EventID, hold holdfast.HoldID, blob []byte) (Person, error) {
	broken := func(message string) (Person, error) {
		return Person{}, &holdfast.Error{Kind: holdfast.Internal, Op: "open person", Message: hold.String() + ": " + message}
	}
	if len(blob) < blobHeadBytes+tagBytes || blob[0] != blobVersion {
		return broken("this is not a person's ciphertext")
	}
	salt := [holdfast.PersonSaltBytes]byte(blob[1:])
	kept, err := v.keyring.PersonKey(ctx, hold, salt)
	if err != nil {
		return Person{}, err
	}
	if kept.Event != event {
		return broken("its key is for another event")
	}
	key, err := v.masters.unwrap(&kept)
	if err != nil {
		return broken(err.Error())
	}
	defer clear(key)
	aead, err := newGCM(key)
	if err != nil {
		return Person{}, err
	}
	plain, err := aead.Open(nil, blob[blobHeadBytes-nonceBytes:blobHeadBytes], blob[blobHeadBytes:], bound("holdfast person v1", &kept))
	if err != nil {
		return broken("the ciphertext was changed, or belongs to another hold")
	}
	p, err := unpack(plain)
	if err != nil {
		return broken(err.Error())
	}
	return p, nil
}

// Ciphertexts is where shards' blobs are read: client.Client has it. A hold without one gives nothing, and no error.
type Ciphertexts interface {
	Person(ctx context.Context, event client.EventRef, hold holdfast.HoldID) (blob []byte, err error)
}

// Find reads and decrypts who is behind a hold or an order. Nobody is found when no address was given, and when the person
// was forgotten.
func (v *Vault) Find(ctx context.Context, from Ciphertexts, event client.EventRef, hold holdfast.HoldID) (p Person, found bool, err error) {
	blob, err := from.Person(ctx, event, hold)
	if err != nil || len(blob) == 0 {
		return Person{}, false, err
	}
	p, err = v.Open(ctx, event.ID, hold, blob)
	if errors.Is(err, holdfast.ErrForgotten) {
		return Person{}, false, nil
	}
	return p, err == nil, err
}

// Contact is the keyed hash of a mail address by which an event's orders are found again. It differs from event to event,
// so that a log does not tell who goes to two. It is zero for what is no address, which is nobody's.
func (v *Vault) Contact(event holdfast.EventID, mail string) (contact holdfast.ContactID) {
	if mail = normalMail(mail); !plausibleMail(mail) {
		return contact
	}
	mac := hmac.New(sha256.New, v.masters.contact)
	mac.Write(binary.LittleEndian.AppendUint32(nil, uint32(event)))
	mac.Write([]byte(mail))
	copy(contact[:], mac.Sum(nil))
	return contact
}

// bound is the associated data that ties what is encrypted to its event, hold and key.
func bound(purpose string, k *holdfast.PersonKey) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(purpose), uint32(k.Event))
	return append(append(b, k.Hold[:]...), k.Salt[:]...)
}

// wrap fills in k.Wrapped: master's id [4] | nonce [12] | ciphertext and tag [48].
func (m *Masters) wrap(k *holdfast.PersonKey, key []byte) {
	by := m.keys[len(m.keys)-1]
	out := append(k.Wrapped[:0], by.id[:]...)
	out = out[:4+nonceBytes]
	rand.Read(out[4:])
	by.aead.Seal(out, out[4:4+nonceBytes], key, bound("holdfast person key v1", k))
}

func (m *Masters) unwrap(k *holdfast.PersonKey) ([]byte, error) {
	for _, by := range m.keys {
		if by.id == [4]byte(k.Wrapped[:4]) {
			key, err := by.aead.Open(nil, k.Wrapped[4:4+nonceBytes], k.Wrapped[4+nonceBytes:], bound("holdfast person key v1", k))
			if err != nil {
				return nil, errors.New("its key was changed, or belongs to another hold")
			}
			return key, nil
		}
	}
	return nil, errors.New("its key was wrapped by a master key that this process does not have")
}
