package frontend

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// A place of a mail address, or of an account whose provider vouches for one, can be come back to from any device, also when
// every cookie and every frontend is gone: a mail with the place's token goes to the address when the place is given. The token's proof does not run out; the shard
// confirms it. Until the mail is written the address travels encrypted in the visitor's own link and cookie: frontends
// keep nothing.

const (
	cookieMail = "hf_mail" // the address that was proved, encrypted
	// lettersMax bounds the mails that wait to be sent. One more is dropped: the place stands, only its way back by mail
	// is missing.
	lettersMax      = 4096
	letterWriters   = 4
	letterPatience  = 20 * time.Second
	wayBackSubject  = "Your place in the line"
	addressBytesMax = 254
)

// letter is a mail to be sent.
type letter struct{ to, subject, text string }

// sealAddress encrypts an address for the visitor to carry. It is good beside that identity only.
func (s *Server) sealAddress(a account, address string) string {
	aead := s.addressCipher()
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // crypto/rand does not fail
	return b64.EncodeToString(aead.Seal(nonce, nonce, []byte(address), a.hash[:]))
}

func (s *Server) openAddress(a account, text string) (string, bool) {
	aead := s.addressCipher()
	raw, err := b64.DecodeString(text)
	if err != nil || len(raw) < aead.NonceSize() || len(raw) > aead.NonceSize()+addressBytesMax+aead.Overhead() {
		return "", false
	}
	address, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], a.hash[:])
	return string(address), err == nil
}

func (s *Server) addressCipher() cipher.AEAD {
	block, err := aes.NewCipher(s.cfg.Secret.key(forAddresses, 0))
	if err != nil {
		panic("frontend: AES refuses 32 bytes: " + err.Error()) // it takes 16, 24 and 32
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("frontend: GCM refuses AES: " + err.Error())
	}
	return aead
}

// mailWayBack mails the place that was just given to the address that it is tied to.
func (s *Server) mailWayBack(r *http.Request, q *placeRequest, token string) {
	if who := q.room.who(); s.cfg.Mail == nil || who != command.ByLink && who != command.ByAccount {
		return
	}
	c, err := r.Cookie(cookieMail)
	if err != nil {
		return
	}
	address, ok := s.openAddress(q.visitor.account, c.Value)
	if !ok {
		return // of another identity, which signed in before
	}
	if _, ok := s.perMail.take(s.cfg.Secret.contactHash(address)); !ok {
		return // it was mailed a moment ago: another device of the same person has joined
	}
	link := s.cfg.PublicURL + "/e/" + url.PathEscape(q.room.ref.Name) + "/line?" + url.Values{"place": {token}}.Encode()
	text := "You have a place in the line. This link brings you back to it from any device; whoever has it has your place:\n\n" + link + "\n"
	select {
	case s.letters <- letter{address, wayBackSubject, text}:
	default:
		s.log.Warn("too many mails wait to be sent; a place has no way back by mail")
	}
}

// writeLetters sends mails until the server closes.
func (s *Server) writeLetters() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case l := <-s.letters:
			ctx, cancel := context.WithTimeout(s.ctx, letterPatience)
			if err := s.cfg.Mail.Send(ctx, l.to, l.subject, l.text); err != nil {
				s.log.Warn("a mail could not be sent", "err", err)
			}
			cancel()
		}
	}
}

// comeBack takes the place that a link brings, and shows it without the token in the address.
func (g *guest) comeBack(text string) {
	t, err := openToken(text, g.room.pollKey, g.room.ref.ID)
	if err != nil {
		g.refuse(err, "/line")
		return
	}
	q := placeRequest{room: g.room, visitor: visitor{}, token: t}
	if !t.fresh(g.s.now()) {
		if err := g.s.confirmPlace(g.r.Context(), &q); err != nil {
			g.refuse(err, "/line")
			return
		}
	}
	g.s.reissue(g.w, g.r, &q)
	g.see("/line")
}
