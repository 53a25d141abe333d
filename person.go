package holdfast

import "errors"

// PersonKey is a key under which somebody's name and mail address are encrypted, wrapped by a key that only frontends
// have. Its hold says whose data it opens: what becomes an order keeps its hold's id. It is never changed. Nodes keep it
// beside their logs, where it can be destroyed: see docs/personal-data.md.
type PersonKey struct {
	Event   EventID // the hold's event
	Hold    HoldID
	Salt    [PersonSaltBytes]byte // tells the keys of one hold apart; it is in what the key encrypts
	Wrapped [PersonWrappedBytes]byte
}

// Sizes of a PersonKey's parts.
const (
	PersonSaltBytes    = 8
	PersonWrappedBytes = 64
)

// ErrForgotten says that the keys to somebody's data were destroyed, for good.
var ErrForgotten = errors.New("the person was forgotten")
