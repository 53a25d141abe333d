package frontend

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/holdfast-db/holdfast"
)

// An Idempotency-Key names a request, so that its repetition, here or at any other frontend, has the first one's
// outcome. It becomes the command's id: the random part is derived from key, buyer, route and event, and the validity
// is cut to epochs, so that two frontends make the same id of the same request. The shard then answers both alike.
//
// Across the border of an epoch the id is another one; then the hold that the first one made is recognised by the
// random part of its id, which is the same.
type repeat struct {
	random [10]byte
	given  bool // the request carried a key
}

const (
	idempotencyKeyMax = 128
	// repeatEpoch cuts the hold clock; an id is valid for one to two epochs from now, of the 60 s that shards allow.
	repeatEpoch = 20 * time.Second
	_           = uint64(holdfast.ValidityMax - 2*repeatEpoch)
)

// repeatOf reads the request's key.
func (s *Server) repeatOf(r *http.Request, event holdfast.EventID, buyer holdfast.BuyerID) (repeat, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return repeat{}, nil
	}
	if len(key) > idempotencyKeyMax {
		return repeat{}, invalid("idempotency-key", "%d bytes, at most %d", len(key), idempotencyKeyMax)
	}
	h := hmac.New(sha256.New, s.cfg.Secret.key(forRepeats, event))
	for _, part := range []string{key, string(buyer[:]), r.Pattern, r.PathValue("hold")} {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(part))))
		h.Write([]byte(part))
	}
	return repeat{random: [10]byte(h.Sum(nil)[:10]), given: true}, nil
}

// id gives the command's id at an instant of the hold clock; zero, which makes the client choose one, without a key.
func (p repeat) id(clock holdfast.Clock) holdfast.CommandID {
	if !p.given {
		return holdfast.CommandID{}
	}
	epoch := holdfast.Clock(repeatEpoch / time.Microsecond)
	return holdfast.NewCommandID((clock/epoch+2)*epoch, p.random)
}

// made reports whether a hold was made by an earlier one of this request.
func (p repeat) made(hold holdfast.HoldID) bool {
	return p.given && [10]byte(hold[6:]) == p.random
}
