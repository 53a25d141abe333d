package frontend

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Who a visitor is decides what a limit per person is worth, so every kind of identity says what it proves. An event
// names the one kind that it counts on (command.Identity); another kind is not taken in its stead, since one person
// could then be two.

var identityNames = map[command.Identity]string{command.Anonymous: "anonymous", command.ByLink: "link", command.ByAccount: "oidc", command.ByAssertion: "assertion"}

// identityStrength is what is told beside each limit that counts on the identity.
var identityStrength = map[command.Identity]string{
	command.Anonymous:   "counts browsers: one person with several browsers or devices is several",
	command.ByLink:      "counts mail addresses: one person with several addresses is several",
	command.ByAccount:   "counts accounts at the sign-in provider: as strong as its rules for opening one",
	command.ByAssertion: "counts accounts of the shop: as strong as its rules for opening one",
}

// account is an identity that was proved: a keyed hash, so that neither cookie nor log holds the address or name.
type account struct {
	kind command.Identity
	hash [32]byte
}

// newAccount names an account of a kind. subject is whatever identifies it there.
func (s *Server) newAccount(kind command.Identity, subject string) account {
	a := account{kind: kind}
	h := hmac.New(sha256.New, s.cfg.Secret.key(forAccounts, 0))
	h.Write([]byte{byte(kind)})
	h.Write([]byte(subject))
	h.Sum(a.hash[:0])
	return a
}

const accountLife = 12 * time.Hour

// seal gives the account as a cookie's value: kind, end, hash and a MAC.
func (s *Server) seal(a account, until time.Time) string {
	b := append([]byte{byte(a.kind)}, a.hash[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(until.Unix()))
	return b64.EncodeToString(mac(b, s.cookieKey, []byte("account"), b))
}

func (s *Server) unseal(text string) (account, bool) {
	raw, err := b64.DecodeString(text)
	const body = 1 + 32 + 8
	if err != nil || len(raw) != body+macBytes || subtle.ConstantTimeCompare(raw[body:], mac(nil, s.cookieKey, []byte("account"), raw[:body])) != 1 {
		return account{}, false
	}
	a := account{kind: command.Identity(raw[0])}
	copy(a.hash[:], raw[1:])
	return a, s.now().Before(time.Unix(int64(binary.LittleEndian.Uint64(raw[33:])), 0))
}

// The names of the cookies. None can be read by scripts.
const (
	cookieVisitor = "hf_visitor" // the browser's secret
	cookieAccount = "hf_account" // a proved identity
	cookiePlace   = "hf_place_"  // and the event's number: the place's token
	cookieAgain   = "hf_again_"  // and the event's number: how many places there the browser has given up
)

// visitorLife is how long a browser's secret is kept: longer than from a line's opening to the end of its sale.
const visitorLife = 30 * 24 * time.Hour

// placesMax bounds the places of different events that a browser carries at once: all cookies have to fit a request.
const placesMax = 6

// visitor is who asks, as far as the request says.
type visitor struct {
	secret  [32]byte                   // of the browser
	known   bool                       // the browser has sent it
	literal bool                       // it was sent by an API client as the key's secret itself
	again   map[holdfast.EventID]uint8 // how many places the browser has given up, where it has
	account account                    // kind command.Anonymous: none
	bearer  string                     // a place token from Authorization
}

// visitor reads who asks from cookies and Authorization.
func (s *Server) visitor(r *http.Request) (v visitor) {
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Place"):
		v.bearer = credential
	case strings.EqualFold(scheme, "Visitor"):
		v.secret, v.known = parseSecret(credential)
		v.literal = v.known
	}
	if !v.known {
		if c, err := r.Cookie(cookieVisitor); err == nil {
			v.secret, v.known = parseSecret(c.Value)
		}
	}
	if c, err := r.Cookie(cookieAccount); err == nil {
		if a, ok := s.unseal(c.Value); ok {
			v.account = a
		}
	}
	for _, c := range r.Cookies() {
		if event, ok := strings.CutPrefix(c.Name, cookieAgain); ok {
			id, e1 := strconv.ParseUint(event, 10, 32)
			n, e2 := strconv.ParseUint(c.Value, 10, 8)
			if e1 == nil && e2 == nil {
				if v.again == nil {
					v.again = map[holdfast.EventID]uint8{}
				}
				v.again[holdfast.EventID(id)] = uint8(n)
			}
		}
	}
	return v
}

// mayComeAgain gives a browser that gave its place up another key for the event: what was given up is never called, so
// that joining again must be another place.
func (s *Server) mayComeAgain(w http.ResponseWriter, v *visitor, event holdfast.EventID) {
	s.setCookie(w, cookieAgain+strconv.FormatUint(uint64(event), 10), strconv.Itoa(int(v.again[event]+1)), visitorLife)
}

// parseSecret reads a browser's secret: 32 bytes in base64url or hex.
func parseSecret(text string) (secret [32]byte, ok bool) {
	for _, decode := range []func(string) ([]byte, error){b64.DecodeString, hex.DecodeString} {
		if raw, err := decode(text); err == nil && len(raw) == len(secret) {
			return [32]byte(raw), true
		}
	}
	return secret, false
}

// greet makes sure that the browser has a secret, and gives it one if not.
func (s *Server) greet(w http.ResponseWriter, v *visitor) {
	if v.known {
		return
	}
	_, _ = rand.Read(v.secret[:]) // crypto/rand does not fail
	v.known = true
	s.setCookie(w, cookieVisitor, b64.EncodeToString(v.secret[:]), visitorLife)
}

func (s *Server) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true,
		Secure: s.cfg.secure(), SameSite: http.SameSiteLaxMode})
}

func (s *Server) dropCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: s.cfg.secure(), SameSite: http.SameSiteLaxMode})
}

// setPlace gives the browser its token. Places of other events beyond placesMax are dropped: the first that were sent.
func (s *Server) setPlace(w http.ResponseWriter, r *http.Request, event holdfast.EventID, text string) {
	name := cookiePlace + strconv.FormatUint(uint64(event), 10)
	var others []string
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, cookiePlace) && c.Name != name {
			others = append(others, c.Name)
		}
	}
	for len(others) >= placesMax {
		s.dropCookie(w, others[0])
		others = others[1:]
	}
	s.setCookie(w, name, text, visitorLife)
}

// placeText gives the token that came with the request, from Authorization or the event's cookie.
func placeText(r *http.Request, v *visitor, event holdfast.EventID) string {
	if v.bearer != "" {
		return v.bearer
	}
	if c, err := r.Cookie(cookiePlace + strconv.FormatUint(uint64(event), 10)); err == nil {
		return c.Value
	}
	return ""
}

// errIdentity says what an event asks for.
func errIdentity(kind command.Identity) error {
	how := map[command.Identity]string{command.ByLink: "ask for a link by mail first", command.ByAccount: "sign in first", command.ByAssertion: "come from the shop that sells this event"}[kind]
	return &refusal{http.StatusUnauthorized, "identity_required", fmt.Sprintf("this event asks for who you are (%s); %s", identityNames[kind], how), "identity", 0}
}

// placeKey gives the key by which the visitor is known in an event that asks for identities of this kind.
func (s *Server) placeKey(v *visitor, event holdfast.EventID, kind command.Identity) (holdfast.PlaceKey, error) {
	if kind != command.Anonymous {
		if v.account.kind != kind {
			return holdfast.PlaceKey{}, errIdentity(kind)
		}
		h := hmac.New(sha256.New, s.cfg.Secret.key(forAccounts, event))
		h.Write(v.account.hash[:])
		return holdfast.PlaceKey(h.Sum(nil)), nil
	}
	if !v.known {
		return holdfast.PlaceKey{}, errTokenMissing
	}
	return anonymousKey(v, event), nil
}

// anonymousKey is the key of a browser: the hash of a secret, which is another one for each event, so that nobody can
// follow a browser from one event to the next. What an API client calls its secret is that secret as it is.
func anonymousKey(v *visitor, event holdfast.EventID) holdfast.PlaceKey {
	secret := v.secret
	if !v.literal {
		h := hmac.New(sha256.New, secret[:])
		_ = binary.Write(h, binary.LittleEndian, uint32(event))
		if n := v.again[event]; n > 0 {
			h.Write([]byte{n})
		}
		h.Sum(secret[:0])
	}
	return holdfast.PlaceKey(sha256.Sum256(secret[:]))
}

// csrf is the token of a browser's forms: nobody who cannot read its pages can know it.
func (s *Server) csrf(v *visitor) string {
	return b64.EncodeToString(mac(nil, s.cookieKey, []byte("csrf"), v.secret[:]))
}

// checkCSRF refuses a form that this site did not make for this browser.
func (s *Server) checkCSRF(v *visitor, given string) error {
	if !v.known || subtle.ConstantTimeCompare([]byte(given), []byte(s.csrf(v))) != 1 {
		return errFormForged
	}
	return nil
}
