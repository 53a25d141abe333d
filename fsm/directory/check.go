package directory

import (
	"fmt"

	"github.com/holdfast-db/holdfast"
)

// Violation is one broken invariant.
type Violation struct {
	Rule   string
	Detail string
}

func (v Violation) String() string { return v.Rule + ": " + v.Detail }

// The rules that Check knows.
const (
	ruleNumbers      = "numbers"      // count from 1 without gaps
	ruleNames        = "names"        // one event a name, and the name leads to it
	ruleOwners       = "owners"       // one of the shards there are
	ruleDescriptions = "descriptions" // valid by themselves
	ruleCounters     = "counters"     // what is worked out from the assignments agrees with them
	ruleKeys         = "keys"         // valid, in order, each once
	ruleLimits       = "limits"
)

// Check works everything out again from the assignments and gives what does not hold: numbers, owners, descriptions,
// the index of names, the counters, and looks at the keys.
func (m *Machine) Check() []Violation {
	var found []Violation
	broken := func(rule, format string, args ...any) {
		found = append(found, Violation{Rule: rule, Detail: fmt.Sprintf(format, args...)})
	}
	names, events, specBytes := map[string]bool{}, make([]int, m.shards), 0
	for i, a := range m.assigned {
		if int(a.Event) != i+1 {
			broken(ruleNumbers, "the event in place %d has the number %d", i+1, a.Event)
		}
		if names[a.Spec.Name] {
			broken(ruleNames, "the name %q is assigned twice", a.Spec.Name)
		}
		names[a.Spec.Name] = true
		if m.byName[a.Spec.Name] != a.Event {
			broken(ruleNames, "the name %q leads to event %d instead of %d", a.Spec.Name, m.byName[a.Spec.Name], a.Event)
		}
		if err := a.Spec.Validate(); err != nil {
			broken(ruleDescriptions, "event %d: %v", a.Event, err)
		}
		specBytes += len(a.Spec.Append(nil))
		if a.Shard < 1 || int(a.Shard) > m.shards {
			broken(ruleOwners, "event %d is assigned to shard %d of %d", a.Event, a.Shard, m.shards)
			continue
		}
		events[a.Shard-1]++
	}
	for i, n := range events {
		if n != m.events[i] {
			broken(ruleCounters, "shard %d owns %d events and is counted with %d", i+1, n, m.events[i])
		}
	}
	if len(m.byName) != len(m.assigned) {
		broken(ruleCounters, "%d names for %d events", len(m.byName), len(m.assigned))
	}
	if specBytes != m.specBytes {
		broken(ruleCounters, "descriptions of %d bytes are counted with %d", specBytes, m.specBytes)
	}
	if len(m.assigned) > m.shards*holdfast.EventsPerShardMax || specBytes > SpecsBytesMax {
		broken(ruleLimits, "%d events of %d bytes are over the limits", len(m.assigned), specBytes)
	}
	m.checkKeys(broken)
	return found
}
