package check

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// drawn checks the order of a line by what is public about it: the secret is the one that was committed to before anybody
// joined, the seed follows from it and from who takes part, and every position that a visitor was told follows from the
// seed and his key; who came later stands where he came. The arithmetic is that of docs/draw.md, written once more.
func drawn(h *history.History, exempt map[int]bool) (found []Violation) {
	d := h.Draw
	if d == nil {
		return nil
	}
	wrong := func(format string, args ...any) {
		found = append(found, Violation{"draw", fmt.Sprintf(format, args...)})
	}
	secret, seed := unhex(d.Secret), unhex(d.Seed)
	commitment := sha256.Sum256(append(binary.BigEndian.AppendUint32([]byte{4}, uint32(d.Event)), secret...))
	if d.Told != d.Commitment || hex.EncodeToString(commitment[:]) != d.Commitment {
		wrong("the secret is not the one that was committed to")
	}
	if want := mac(secret, append(binary.BigEndian.AppendUint32(unhex(d.Chain), d.Cohort), unhex(d.Beacon)...)); hex.EncodeToString(want) != d.Seed {
		wrong("the seed does not follow from the secret, from who takes part, and from the beacon")
	}
	keys := map[int]string{}
	for _, v := range h.Visits {
		keys[v.Number] = v.Key
	}
	for _, p := range h.Polls {
		if p.Position < 0 || exempt[p.Visit] || p.Place < 0 {
			continue
		}
		want := uint64(p.Place)
		if p.Place < int64(d.Cohort) {
			want, _ = bits.Mul64(binary.BigEndian.Uint64(mac(seed, unhex(keys[p.Visit]))), uint64(d.Cohort))
		}
		if uint64(p.Position) != want {
			wrong("visitor %d at place %d was told position %d, by the draw it is %d", p.Visit, p.Place, p.Position, want)
		}
	}
	return found
}

func mac(key, message []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(message)
	return m.Sum(nil)
}

// unhex gives the bytes, none when they are not hex: then nothing follows from them.
func unhex(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}
