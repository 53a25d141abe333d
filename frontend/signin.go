package frontend

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// OIDCConfig is a sign-in provider.
type OIDCConfig struct {
	Issuer, ClientID string
	ClientSecret     string // from a file; never printed
}

// ShopConfig is a shop that embeds this one and vouches for who its visitors are. One of the keys is set.
type ShopConfig struct {
	Issuer  string            // the assertions' iss
	Ed25519 ed25519.PublicKey // EdDSA
	HMAC    []byte            // HS256, at least 32 bytes
}

// Mailer sends a mail. It is an interface since tests and the demo read what would be sent.
type Mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}

// signIn is where identities are proved.
type signIn struct {
	s    *Server
	mu   sync.Mutex // guards what follows
	oidc *oidcProvider
}

type oidcProvider struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// provider learns the sign-in provider's addresses and keys, on first use: a provider that is down must not keep the
// shop from starting.
func (i *signIn) provider() (*oidcProvider, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.oidc != nil {
		return i.oidc, nil
	}
	c := i.s.cfg.OIDC
	if c == nil {
		return nil, notFound("way to sign in")
	}
	scopes := []string{oidc.ScopeOpenID}
	if i.s.cfg.Mail != nil {
		scopes = append(scopes, "email") // for the way back to a place
	}
	// The keys are fetched again when they change, so this context must outlive the request.
	p, err := oidc.NewProvider(oidc.ClientContext(i.s.ctx, &http.Client{Timeout: signInPatience}), c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSignInDown, err)
	}
	i.oidc = &oidcProvider{verifier: p.Verifier(&oidc.Config{ClientID: c.ClientID}), oauth: oauth2.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		Endpoint: p.Endpoint(), RedirectURL: i.s.cfg.PublicURL + "/signin/oidc/callback", Scopes: scopes}}
	return i.oidc, nil
}

var (
	errSignInDown = &refusal{http.StatusServiceUnavailable, "sign_in_unavailable", "the sign-in provider does not answer; nothing was changed: try again", "", 2 * time.Second}
	errSignIn     = &refusal{http.StatusForbidden, "sign_in_failed", "the sign-in did not succeed, or was begun in another browser or too long ago; begin it again", "", 0}
)

// cookieSignIn holds what a sign-in under way has to remember, for as long as it may take.
const (
	cookieSignIn = "hf_signin"
	signInLife   = 10 * time.Minute
	// signInPatience is how long the provider may take to answer one request.
	signInPatience = 5 * time.Second
)

// begin sends the browser to the provider. State, nonce and verifier go into one sealed cookie: the callback may come
// to another frontend.
func (i *signIn) begin(w http.ResponseWriter, r *http.Request) {
	p, err := i.provider()
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	to, err := i.s.returnAddress(r.FormValue("to"))
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	body := strings.Join([]string{state, nonce, verifier, fmt.Sprint(i.s.now().Add(signInLife).Unix()), to}, "\n")
	sealed := b64.EncodeToString(mac([]byte(body), i.s.cookieKey, []byte("sign in"), []byte(body)))
	i.s.setCookie(w, cookieSignIn, sealed, signInLife)
	http.Redirect(w, r, p.oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)
}

// callback takes the provider's answer and proves the account.
func (i *signIn) callback(w http.ResponseWriter, r *http.Request) {
	a, address, to, err := i.finish(r)
	i.s.dropCookie(w, cookieSignIn)
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	if address != "" {
		i.s.setCookie(w, cookieMail, i.s.sealAddress(a, address), accountLife)
	}
	i.s.setCookie(w, cookieAccount, i.s.seal(a, i.s.now().Add(accountLife)), accountLife)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// finish gives the account, and the mail address that the provider vouches for, if it does.
func (i *signIn) finish(r *http.Request) (a account, address, to string, err error) {
	c, err := r.Cookie(cookieSignIn)
	if err != nil {
		return a, "", "", errSignIn
	}
	raw, err := b64.DecodeString(c.Value)
	if err != nil || len(raw) < macBytes {
		return a, "", "", errSignIn
	}
	body, code := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	if subtle.ConstantTimeCompare(code, mac(nil, i.s.cookieKey, []byte("sign in"), body)) != 1 {
		return a, "", "", errSignIn
	}
	parts := strings.SplitN(string(body), "\n", 5)
	var until int64
	if len(parts) == 5 {
		_, _ = fmt.Sscan(parts[3], &until)
	}
	if len(parts) != 5 || i.s.now().Unix() > until || subtle.ConstantTimeCompare([]byte(r.FormValue("state")), []byte(parts[0])) != 1 {
		return a, "", "", errSignIn
	}
	p, err := i.provider()
	if err != nil {
		return a, "", "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), signInPatience)
	defer cancel()
	granted, err := p.oauth.Exchange(ctx, r.FormValue("code"), oauth2.VerifierOption(parts[2]))
	if err != nil {
		return a, "", "", fmt.Errorf("%w: %w", errSignIn, err)
	}
	idToken, _ := granted.Extra("id_token").(string)
	id, err := p.verifier.Verify(r.Context(), idToken)
	if err != nil || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(parts[1])) != 1 {
		return a, "", "", errSignIn
	}
	var claims struct {
		Mail     string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	if err := id.Claims(&claims); err == nil && claims.Verified && len(claims.Mail) <= addressBytesMax {
		address = claims.Mail
	}
	return i.s.newAccount(command.ByAccount, id.Issuer+"\x00"+id.Subject), address, parts[4], nil
}

// assertion proves what the embedding shop asserts: a JWT with iss, sub, aud (the event's name, or "holdfast") and exp,
// of the algorithm that the shop's key is for and no other.
func (s *Server) assertion(text, event string) (account, error) {
	for _, shop := range s.cfg.Shops {
		method, key := jwt.SigningMethodEdDSA.Alg(), any(shop.Ed25519)
		if shop.HMAC != nil {
			method, key = jwt.SigningMethodHS256.Alg(), shop.HMAC
		}
		var claims jwt.RegisteredClaims
		_, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithValidMethods([]string{method}), jwt.WithIssuer(shop.Issuer), jwt.WithExpirationRequired(),
			jwt.WithTimeFunc(s.now), jwt.WithLeeway(10*time.Second))
		if err != nil || claims.Subject == "" || claims.ExpiresAt.After(s.now().Add(assertionLifeMax)) {
			continue
		}
		for _, audience := range claims.Audience {
			if audience == "holdfast" || event != "" && audience == event {
				return s.newAccount(command.ByAssertion, shop.Issuer+"\x00"+claims.Subject), nil
			}
		}
	}
	return account{}, errAssertion
}

// assertionLifeMax bounds how long an assertion may be good: it passes through the browser, and whoever has it is that
// person.
const assertionLifeMax = 10 * time.Minute

var errAssertion = &refusal{http.StatusUnauthorized, "assertion_invalid", "the shop's word on who you are is not signed by a shop we know, is for another event, or is too old; go back to the shop and come again", "assertion", 0}

// enterByAssertion is where an embedding shop sends its visitors.
func (i *signIn) enterByAssertion(w http.ResponseWriter, r *http.Request) {
	a, err := i.s.assertion(r.FormValue("assertion"), r.FormValue("event"))
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	to, err := i.s.returnAddress(r.FormValue("to"))
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	i.s.setCookie(w, cookieAccount, i.s.seal(a, i.s.now().Add(accountLife)), accountLife)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// normalAddress is the form in which addresses are compared.
func normalAddress(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

const mailLinkLife = 30 * time.Minute

// mailLink gives a link that proves the mail address to whoever opens it.
func (s *Server) mailLink(address, to string) string {
	a := s.newAccount(command.ByLink, normalAddress(address))
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(s.now().Add(mailLinkLife).Unix())), a.hash[:]...)
	b = mac(b, s.cfg.Secret.key(forMailLinks, 0), b)
	return s.cfg.PublicURL + "/signin/link?" + url.Values{"t": {b64.EncodeToString(b)}, "m": {s.sealAddress(a, address)}, "to": {to}}.Encode()
}

// sendLink mails a link. It answers the same whatever the address, so that nobody learns whose it is.
func (i *signIn) sendLink(w http.ResponseWriter, r *http.Request) {
	v := i.s.visitor(r)
	if err := i.s.checkCSRF(&v, r.PostFormValue("csrf")); err != nil {
		i.s.fail(w, r, err)
		return
	}
	address, err := mail.ParseAddress(r.PostFormValue("mail"))
	if err != nil || len(address.Address) > 254 {
		i.s.fail(w, r, invalid("mail", "this is not a mail address"))
		return
	}
	to, err := i.s.returnAddress(r.PostFormValue("to"))
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	if i.s.cfg.Mail == nil {
		i.s.fail(w, r, notFound("way to send mail"))
		return
	}
	if wait, ok := i.s.perMail.take(i.s.cfg.Secret.contactHash(address.Address)); !ok {
		i.s.fail(w, r, &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: wait, Message: "a link was sent to this address a moment ago; look there"})
		return
	}
	text := "Open this link in the browser with which you want to buy:\n\n" + i.s.mailLink(address.Address, to) + "\n\nIt is good for 30 minutes. If you did not ask for it, ignore it.\n"
	if err := i.s.cfg.Mail.Send(r.Context(), address.Address, "Your link", text); err != nil {
		i.s.log.Warn("a mail could not be sent", "err", err)
		i.s.fail(w, r, &refusal{http.StatusServiceUnavailable, "mail_unavailable", "the mail could not be sent; try again", "mail", 5 * time.Second})
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// openLink proves a mail address.
func (i *signIn) openLink(w http.ResponseWriter, r *http.Request) {
	raw, err := b64.DecodeString(r.FormValue("t"))
	const body = 8 + 32
	if err != nil || len(raw) != body+macBytes ||
		subtle.ConstantTimeCompare(raw[body:], mac(nil, i.s.cfg.Secret.key(forMailLinks, 0), raw[:body])) != 1 ||
		i.s.now().Unix() > int64(binary.LittleEndian.Uint64(raw)) {
		i.s.fail(w, r, errSignIn)
		return
	}
	a := account{kind: command.ByLink}
	copy(a.hash[:], raw[8:])
	to, err := i.s.returnAddress(r.FormValue("to"))
	if err != nil {
		i.s.fail(w, r, err)
		return
	}
	if _, ok := i.s.openAddress(a, r.FormValue("m")); ok {
		i.s.setCookie(w, cookieMail, r.FormValue("m"), accountLife)
	}
	i.s.setCookie(w, cookieAccount, i.s.seal(a, i.s.now().Add(accountLife)), accountLife)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// returnAddress checks where a visitor is to be sent: a path here, or an address of an origin on the list. Anything
// else would lend this site's name to whoever makes links.
func (s *Server) returnAddress(to string) (string, error) {
	if to == "" {
		return "/", nil
	}
	u, err := url.Parse(to)
	if err != nil || len(to) > 2048 || strings.ContainsAny(to, "\\\r\n\t") {
		return "", invalid("to", "this is not an address")
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		return to, nil
	}
	origin := u.Scheme + "://" + u.Host
	for _, allowed := range s.cfg.ReturnTo {
		if origin == allowed && u.User == nil {
			return to, nil
		}
	}
	return "", invalid("to", "%s is not on the list of addresses to return to", origin)
}
