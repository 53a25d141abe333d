package frontend

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// keyring holds this frontend's own keys and the public ones of all frontends, as the directory knows them. A key is
// given out before anything is signed with it, and stays in the directory for as long as what it signed is believed.
type keyring struct {
	s *Server

	mu     sync.RWMutex // guards what follows
	signer *signer
	public map[holdfast.KeyID]holdfast.FrontendKey
	read   time.Time // when public was read last
	given  bool      // the signer's key is in the directory
	ask    sync.Mutex
}

const (
	// keySlack is how far the clocks of frontends and cluster may differ.
	keySlack = 5 * time.Minute
	// keyCheck is how often the own key is looked after: given out if that failed, renewed when it is due.
	keyCheck = 5 * time.Second
	// keyPatience is how long one call may take; opening waits no longer than that.
	keyPatience = 3 * time.Second
	// keysAge is how long an unknown key is not asked for again: nobody may make us ask by inventing keys.
	keysAge = 2 * time.Second
)

// open makes the first key. A directory that does not answer must not keep a frontend from serving: polls and claims go
// on without it, and the key is given out as soon as it is there.
func (k *keyring) open(ctx context.Context) error {
	fresh, err := newSigner(k.s.now())
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.signer = fresh
	k.mu.Unlock()
	if err := k.publish(ctx, fresh); err != nil {
		k.s.log.Warn("this frontend's key is not in the directory yet; it is tried again", "err", err)
	}
	return nil
}

// mine is the key to sign with.
func (k *keyring) mine() *signer {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.signer
}

func (k *keyring) publish(ctx context.Context, g *signer) error {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	err := k.s.cfg.Client.PutKey(ctx, holdfast.FrontendKey{Frontend: k.s.cfg.Name, Public: [32]byte(g.public),
		NotBeforeMs: k.s.now().Add(-keySlack).UnixMilli(), NotAfterMs: g.until.Add(tokenLife + keySlack).UnixMilli()})
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.given = true
	k.mu.Unlock()
	return k.learn(ctx)
}

// learn reads all keys.
func (k *keyring) learn(ctx context.Context) error {
	keys, err := k.s.cfg.Client.Keys(ctx, client.AllowStale())
	if err != nil {
		return err
	}
	public := make(map[holdfast.KeyID]holdfast.FrontendKey, len(keys))
	for _, key := range keys {
		public[key.ID()] = key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.public, k.read = public, k.s.now()
	return nil
}

// renew looks after the own key until the server closes. The next key is given out first, and signs only then.
func (k *keyring) renew() {
	tick := time.NewTicker(keyCheck)
	defer tick.Stop()
	for {
		select {
		case <-k.s.ctx.Done():
			return
		case <-tick.C:
		}
		k.mu.RLock()
		g, given := k.signer, k.given
		k.mu.RUnlock()
		switch {
		case !given:
			if err := k.publish(k.s.ctx, g); err != nil {
				k.s.log.Debug("this frontend's key is not in the directory yet", "err", err)
			}
		case k.s.now().Add(time.Hour).After(g.until):
			k.rotate()
		}
	}
}

func (k *keyring) rotate() {
	next, err := newSigner(k.s.now())
	if err == nil {
		err = k.publish(k.s.ctx, next)
	}
	if err != nil {
		k.s.log.Warn("the next key could not be given out; the old one signs on", "err", err)
		return
	}
	k.mu.Lock()
	k.signer = next
	k.mu.Unlock()
	k.s.log.Info("this frontend signs with a new key", "key", next.id.String())
}

// verify checks the signature of a token whose MAC was found right: by a key of this fleet that was good when it signed. A
// key that is not known is errSignerUnknown.
func (k *keyring) verify(ctx context.Context, t *token, text string) error {
	k.mu.RLock()
	own, key, known, read := k.signer, k.public[t.Signer], false, k.read
	_, known = k.public[t.Signer]
	k.mu.RUnlock()
	if own != nil && own.id == t.Signer {
		return signedBy(text, own.public)
	}
	if !known && k.s.now().Sub(read) > keysAge {
		k.ask.Lock()
		ctx, cancel := context.WithTimeout(ctx, keyPatience)
		err := k.learn(ctx)
		cancel()
		k.ask.Unlock()
		if err != nil {
			return err
		}
		k.mu.RLock()
		key, known = k.public[t.Signer]
		k.mu.RUnlock()
	}
	issued := t.Issued.UnixMilli()
	switch {
	case !known:
		return errSignerUnknown
	case issued < key.NotBeforeMs || issued > key.NotAfterMs:
		return errTokenInvalid
	}
	return signedBy(text, key.Public[:])
}

func signedBy(text string, public ed25519.PublicKey) error {
	if !verifySignature(text, public) {
		return errTokenInvalid
	}
	return nil
}

// keyOut is one public key of the fleet.
type keyOut struct {
	ID          string `json:"id"`
	Frontend    string `json:"frontend"`
	Public      string `json:"public"` // Ed25519, base64url
	NotBeforeMs int64  `json:"not_before_ms"`
	NotAfterMs  int64  `json:"not_after_ms"`
}

type keysOut struct {
	Keys []keyOut `json:"keys"`
}

// publicKeys tells with which keys tokens are signed, for whoever checks them elsewhere.
func (s *Server) publicKeys(w http.ResponseWriter, _ *http.Request) {
	s.keys.mu.RLock()
	out := keysOut{Keys: []keyOut{}}
	for id, key := range s.keys.public {
		out.Keys = append(out.Keys, keyOut{ID: id.String(), Frontend: key.Frontend, Public: b64.EncodeToString(key.Public[:]), NotBeforeMs: key.NotBeforeMs, NotAfterMs: key.NotAfterMs})
	}
	s.keys.mu.RUnlock()
	w.Header().Set("Cache-Control", "public, max-age=60")
	s.json(w, http.StatusOK, out)
}
