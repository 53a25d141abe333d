package directory

import (
	"bytes"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The public keys of frontends: what they sign with is theirs alone, and each checks what another has signed.

// putKey gives a key out, or another life to one that is there. Keys that have expired make room.
func (m *Machine) putKey(key holdfast.FrontendKey) command.Result {
	keys := make([]holdfast.FrontendKey, 0, len(m.keys)+1) // cuts share the old list
	for _, k := range m.keys {
		if k.NotAfterMs > m.wallMs && k.Public != key.Public {
			keys = append(keys, k)
		}
	}
	if key.NotAfterMs > m.wallMs {
		if len(keys) == holdfast.KeysMax {
			return command.Result{Outcome: holdfast.KeysFull}
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, byPublic)
	m.keys = keys
	return command.Result{Outcome: holdfast.OK}
}

// byPublic is the one order of keys.
func byPublic(a, b holdfast.FrontendKey) int { return bytes.Compare(a.Public[:], b.Public[:]) }

// Keys gives the keys that had not expired when one was last given out. The slice is not written again.
func (m *Machine) Keys() []holdfast.FrontendKey { return m.keys[:len(m.keys):len(m.keys)] }

// checkKeys gives what does not hold of them.
func (m *Machine) checkKeys(broken func(rule, format string, args ...any)) {
	if len(m.keys) > holdfast.KeysMax {
		broken(ruleLimits, "%d keys, at most %d", len(m.keys), holdfast.KeysMax)
	}
	for i, k := range m.keys {
		if _, err := command.DecodeKey(command.AppendKey(nil, &k)); err != nil {
			broken(ruleKeys, "key %s: %v", k.ID(), err)
		}
		if i > 0 && byPublic(m.keys[i-1], k) >= 0 {
			broken(ruleKeys, "key %s stands in the wrong place, or twice", k.ID())
		}
	}
}
