package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// keyStore remembers the first answer under every idempotency key for a day of the sandbox's clock, as Stripe does:
// a success, a decline, and an error of the server as well, but nothing that was refused before the work began.
type keyStore struct {
	answers map[string]*remembered
	order   []*remembered // by time of their beginning
}

type remembered struct {
	Key     string `json:"key"`
	Request string `json:"request"` // what was asked; another request with the key is refused
	Status  int    `json:"status"`
	Body    []byte `json:"body"`
	BeganMs int64  `json:"began_ms"`
	underWay,
	gone bool
}

func newKeyStore() *keyStore { return &keyStore{answers: map[string]*remembered{}} }

// fingerprint is what makes two requests the same.
func fingerprint(method, path, form string) string {
	sum := sha256.Sum256([]byte(method + "\x00" + path + "\x00" + form))
	return hex.EncodeToString(sum[:])
}

// forget drops keys that are older than a day.
func (k *keyStore) forget(now time.Time) {
	old := 0
	for old < len(k.order) && (k.order[old].gone || now.UnixMilli()-k.order[old].BeganMs > keyKept.Milliseconds() && !k.order[old].underWay) {
		r := k.order[old]
		if k.answers[r.Key] == r {
			delete(k.answers, r.Key)
		}
		old++
	}
	k.order = k.order[old:]
}

// begin gives what is remembered of the key, or marks it as under way.
func (k *keyStore) begin(key string, request string, now time.Time) (have *remembered, mine *remembered) {
	k.forget(now)
	if have = k.answers[key]; have != nil {
		return have, nil
	}
	if len(k.answers) >= keysMax {
		return &remembered{underWay: true}, nil // as if in use: the caller comes again, and by then some are forgotten
	}
	mine = &remembered{Key: key, Request: request, BeganMs: now.UnixMilli(), underWay: true}
	k.put(mine)
	return nil, mine
}

func (k *keyStore) put(r *remembered) {
	k.answers[r.Key] = r
	k.order = append(k.order, r)
}

// end stores the answer, or forgets the key when it is not one to be remembered.
func (k *keyStore) end(r *remembered, status int, body []byte, keep bool) {
	r.underWay = false
	if keep {
		r.Status, r.Body = status, body
		return
	}
	r.gone = true
	delete(k.answers, r.Key)
}
