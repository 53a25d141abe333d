package command

import (
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
)

// PutKey gives a frontend's public key out, or another life to one that is out already: with an end that is past it is
// taken back. Giving the same again changes nothing.
type PutKey struct {
	Header
	Key holdfast.FrontendKey
}

// Append appends the packed command to b.
func (c *PutKey) Append(b []byte) []byte {
	c.Kind = KindPutKey
	b, at := begin(b, c.Header)
	return end(AppendKey(b, &c.Key), at)
}

// AppendKey appends a packed key to b.
func AppendKey(b []byte, k *holdfast.FrontendKey) []byte {
	b = append(b, k.Public[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(k.NotBeforeMs))
	b = binary.LittleEndian.AppendUint64(b, uint64(k.NotAfterMs))
	return appendString(b, k.Frontend)
}

// PutKey decodes a PutKey. Its Key is fresh memory that the caller may keep.
func (d *Decoder) PutKey(cmd []byte) (*PutKey, error) {
	r, c := open(cmd, KindPutKey), &d.putKey
	c.Header = r.header()
	c.Key = r.key()
	return c, r.done()
}

// DecodeKey decodes a packed key, which must be all of b.
func DecodeKey(b []byte) (holdfast.FrontendKey, error) {
	r := reader{b: b}
	k := r.key()
	return k, r.done()
}

func (r *reader) key() (k holdfast.FrontendKey) {
	k.Public = [32]byte(r.take(32))
	k.NotBeforeMs, k.NotAfterMs = int64(r.u64()), int64(r.u64())
	k.Frontend = r.text("frontend", holdfast.NameBytesMax)
	switch {
	case r.err != nil:
	case k.Frontend == "":
		r.fail("frontend", "a key is somebody's")
	case k.Public == [32]byte{}:
		r.fail("public", "it is all zeros")
	case k.NotBeforeMs < 0 || k.NotAfterMs <= k.NotBeforeMs:
		r.fail("not_after", "a key that is good from %d to %d is never good", k.NotBeforeMs, k.NotAfterMs)
	case k.NotAfterMs-k.NotBeforeMs > holdfast.KeyLifeMax.Milliseconds():
		r.fail("not_after", "a key is good for %v at most", holdfast.KeyLifeMax)
	}
	return k
}
