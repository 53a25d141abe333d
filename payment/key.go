package payment

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// Key names one attempt to pay for one hold, unique among all clusters that share an account at a provider. It is
// the payment's idempotency key, and stands in its metadata, so that money can be traced to seats without a
// database of ours.
type Key struct {
	Cluster     string               // at most ClusterBytesMax of letters, digits, '-', '_' and '.'
	Incarnation holdfast.Incarnation // which life of the cluster; a restored cluster has another
	Event       holdfast.EventID
	Hold        holdfast.HoldID
	Attempt     holdfast.Attempt
}

// ClusterBytesMax bounds the cluster's name in a key. An idempotency key of Stripe has 255 characters at most; the
// rest of ours needs less than 130, with what an act appends.
const ClusterBytesMax = 64

// IsZero reports whether k names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// String gives cluster:incarnation:event:hold:attempt.
func (k Key) String() string {
	return fmt.Sprintf("%s:%d:%s:%s:%d", k.Cluster, k.Incarnation, k.Event, k.Hold, k.Attempt)
}

// Check refuses a key that would not survive being printed and parsed.
func (k Key) Check() error {
	_, err := ParseKey(k.String())
	return err
}

// ParseKey reads what Key.String prints: one key has one spelling.
func ParseKey(s string) (Key, error) {
	bad := &Error{Kind: Invalid, Op: "parse key", Message: fmt.Sprintf("%.200q is not a payment's key like main:1:evt_7:hold_…:1", s)}
	parts := strings.Split(s, ":")
	if len(parts) != 5 || !clusterName(parts[0]) {
		return Key{}, bad
	}
	incarnation, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return Key{}, bad
	}
	event, err := holdfast.ParseEventID(parts[2])
	if err != nil {
		return Key{}, bad
	}
	hold, err := holdfast.ParseHoldID(parts[3])
	if err != nil {
		return Key{}, bad
	}
	attempt, err := strconv.ParseUint(parts[4], 10, 32)
	if err != nil {
		return Key{}, bad
	}
	k := Key{Cluster: parts[0], Incarnation: holdfast.Incarnation(incarnation), Event: event, Hold: hold, Attempt: holdfast.Attempt(attempt)}
	if k.String() != s {
		return Key{}, bad
	}
	return k, nil
}

func clusterName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= ClusterBytesMax
}
