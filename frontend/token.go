package frontend

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
)

// A place token is what a visitor carries: the place with its proof, a MAC that every frontend of the fleet can check
// in a microsecond, and an Ed25519 signature that anyone can check who has the directory's public keys. It reads
//
//	hf1.<payload>.<MAC>.<signature>          each part in unpadded base64url
//
// There is no field that says which algorithm was used: version 1 is HMAC-SHA256 cut to 16 bytes, and Ed25519. The MAC
// and the signature are both over the payload: a token without its signature still polls,
// and can do nothing else.
type token struct {
	Event    holdfast.EventID // the audience: it is refused everywhere else
	Number   holdfast.PlaceNumber
	Position holdfast.Position // where the shard has put the place; noPosition: as the draw has it
	Index    uint16            // in its block
	State    tokenState
	Key      holdfast.PlaceKey
	Session  holdfast.Clock // when the session ends at the latest, on the shard's hold clock; 0: none
	Issued   time.Time      // to the second
	Expires  time.Time
	Signer   holdfast.KeyID
	Path     [][32]byte
}

// tokenState is what was last known of the place when the token was made. It is a hint for polls, not a proof.
type tokenState uint8

const (
	tokenWaiting  tokenState = 1
	tokenAdmitted tokenState = 2
	tokenDeferred tokenState = 3
	tokenListed   tokenState = 4 // waits, and is on the list for seats that come back
)

// noPosition says that the shard has not moved the place.
const noPosition = ^holdfast.Position(0)

const (
	tokenPrefix = "hf1."
	// tokenLife is how long a token is believed. Polls renew it in its second half, so it only runs out for who is away.
	tokenLife = 10 * time.Minute
	// pathMax bounds the path in a token: blocks have at most 4,096 = 2¹² places.
	pathMax = 12

	tokenFixed    = 4 + 4 + 4 + 2 + 1 + 32 + 8 + 8 + 8 + len(holdfast.KeyID{}) + 1
	tokenBytesMax = tokenFixed + pathMax*32
	tokenTextMax  = len(tokenPrefix) + (tokenBytesMax+macBytes+ed25519.SignatureSize)*4/3 + 8
)

var b64 = base64.RawURLEncoding

func (t *token) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Event))
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Number))
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Position))
	b = binary.LittleEndian.AppendUint16(b, t.Index)
	b = append(b, byte(t.State))
	b = append(b, t.Key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Session))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Issued.Unix()))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = append(b, t.Signer[:]...)
	b = append(b, byte(len(t.Path)))
	for _, node := range t.Path {
		b = append(b, node[:]...)
	}
	return b
}

// decode reads a payload. It is called after the MAC was found right, so only what this fleet wrote gets here; what is
// malformed all the same is refused.
func (t *token) decode(b []byte) bool {
	if len(b) < tokenFixed || len(b) > tokenBytesMax {
		return false
	}
	t.Event = holdfast.EventID(binary.LittleEndian.Uint32(b))
	t.Number = holdfast.PlaceNumber(binary.LittleEndian.Uint32(b[4:]))
	t.Position = holdfast.Position(binary.LittleEndian.Uint32(b[8:]))
	t.Index = binary.LittleEndian.Uint16(b[12:])
	t.State = tokenState(b[14])
	copy(t.Key[:], b[15:])
	b = b[47:]
	t.Session = holdfast.Clock(binary.LittleEndian.Uint64(b))
	t.Issued = time.Unix(int64(binary.LittleEndian.Uint64(b[8:])), 0)
	t.Expires = time.Unix(int64(binary.LittleEndian.Uint64(b[16:])), 0)
	copy(t.Signer[:], b[24:])
	n := int(b[32])
	if b = b[33:]; n > pathMax || len(b) != n*32 {
		return false
	}
	t.Path = make([][32]byte, n)
	for i := range t.Path {
		copy(t.Path[i][:], b[i*32:])
	}
	return true
}

// signer is a frontend's own key, made when it starts and never written down. When it is renewed, the public half of
// the old one stays in the directory until the last token that it signed has run out.
type signer struct {
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	id      holdfast.KeyID
	until   time.Time // it signs nothing after this
}

// signerLife is how long a frontend signs with one key.
const signerLife = 24 * time.Hour

func newSigner(now time.Time) (*signer, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	key := holdfast.FrontendKey{Public: [32]byte(public)}
	return &signer{private: private, public: public, id: key.ID(), until: now.Add(signerLife)}, nil
}

// signed is the message that a signature is over: it says what it is for, so that no other signature of the same key
// can be taken for it.
func signed(payload []byte) []byte {
	return append([]byte("holdfast place token v1\x00"), payload...)
}

// issue gives the token as text.
func (t *token) issue(pollKey []byte, by *signer, now time.Time) string {
	t.Issued, t.Expires, t.Signer = now.Truncate(time.Second), now.Add(tokenLife).Truncate(time.Second), by.id
	payload := t.append(make([]byte, 0, tokenBytesMax))
	code := mac(nil, pollKey, payload)
	signature := ed25519.Sign(by.private, signed(payload))
	b := make([]byte, 0, tokenTextMax)
	b = append(b, tokenPrefix...)
	b = b64.AppendEncode(b, payload)
	b = append(b, '.')
	b = b64.AppendEncode(b, code)
	b = append(b, '.')
	return string(b64.AppendEncode(b, signature))
}

// openToken checks a token's MAC and audience, and reads it. It does not say whether it has run out: see fresh.
func openToken(text string, pollKey []byte, event holdfast.EventID) (token, error) {
	var t token
	payload, code, _, ok := cutToken(text)
	if !ok {
		return t, errTokenInvalid
	}
	var rawBuf [tokenBytesMax]byte
	var codeBuf [macBytes + 2]byte
	raw, err := b64.AppendDecode(rawBuf[:0], []byte(payload))
	if err != nil {
		return t, errTokenInvalid
	}
	given, err := b64.AppendDecode(codeBuf[:0], []byte(code))
	var want [macBytes]byte
	if err != nil || subtle.ConstantTimeCompare(given, mac(want[:0], pollKey, raw)) != 1 || !t.decode(raw) || t.Event != event {
		return token{}, errTokenInvalid
	}
	return t, nil
}

func cutToken(text string) (payload, code, signature string, ok bool) {
	if len(text) > tokenTextMax {
		return "", "", "", false
	}
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return "", "", "", false
	}
	payload, rest, ok = strings.Cut(rest, ".")
	if !ok {
		return "", "", "", false
	}
	code, signature, _ = strings.Cut(rest, ".")
	return payload, code, signature, !strings.Contains(signature, ".")
}

// fresh reports whether the token is still believed.
func (t *token) fresh(now time.Time) bool { return now.Before(t.Expires) }

// due reports whether a poll should hand out a new one: in the second half of its life.
func (t *token) due(now time.Time) bool { return now.After(t.Issued.Add(tokenLife / 2)) }

// verifySignature checks the signature of a token whose MAC was found right, under the public key that it names.
func verifySignature(text string, public ed25519.PublicKey) bool {
	payload, _, signature, ok := cutToken(text)
	if !ok {
		return false
	}
	raw, err := b64.DecodeString(payload)
	if err != nil {
		return false
	}
	sig, err := b64.DecodeString(signature)
	return err == nil && len(sig) == ed25519.SignatureSize && ed25519.Verify(public, signed(raw), sig)
}
