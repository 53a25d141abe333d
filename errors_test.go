package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
)

// pinnedKinds are on the wire. A line may be added; none may change.
const pinnedKinds = `
1 invalid
2 not_found
3 denied
4 not_leader
5 unavailable
6 overloaded
7 outcome_unknown
8 halted
9 compacted
10 internal
`

func TestKindsKeepTheirNumbersAndNames(t *testing.T) {
	var got strings.Builder
	got.WriteString("\n")
	for _, k := range holdfast.Kinds() {
		fmt.Fprintf(&got, "%d %s\n", uint8(k), k)
		if k.Error() != k.String() {
			t.Errorf("%s calls itself %s as an error", k, k.Error())
		}
	}
	if got.String() != pinnedKinds {
		t.Errorf("the kinds changed:%swant:%s", got.String(), pinnedKinds)
	}
	if names := typedConstants(t, "errors.go", "Kind"); len(names) != len(holdfast.Kinds()) {
		t.Errorf("constants %v, listed %v", names, holdfast.Kinds())
	}
	if got := holdfast.Kind(99).String(); got != "kind_99" {
		t.Errorf("a kind from the future prints %q", got)
	}
}

// TestErrorsAreAskedByKind over every pair of kinds, bare and wrapped.
func TestErrorsAreAskedByKind(t *testing.T) {
	for _, k := range holdfast.Kinds() {
		err := error(&holdfast.Error{Kind: k, Op: "hold create"})
		for _, err := range []error{err, fmt.Errorf("outer: %w", err), errors.Join(errors.New("other"), err)} {
			for _, other := range holdfast.Kinds() {
				if errors.Is(err, other) != (k == other) {
					t.Errorf("errors.Is(%v, %s)", err, other)
				}
			}
			if holdfast.KindOf(err) != k {
				t.Errorf("KindOf(%v) = %s", err, holdfast.KindOf(err))
			}
		}
	}
}

func TestKindOfWhatIsNotOurs(t *testing.T) {
	if k := holdfast.KindOf(nil); k != 0 {
		t.Errorf("nil has kind %s", k)
	}
	if k := holdfast.KindOf(context.Canceled); k != holdfast.Internal {
		t.Errorf("a foreign error has kind %s", k)
	}
}

// TestTheOutermostKindDecides: a command that is unknown stays unknown whatever a later attempt was refused with.
// Were the cause's kind seen through it, a caller would take "not the leader" for "not attempted", make a new id
// and hold twice.
func TestTheOutermostKindDecides(t *testing.T) {
	cause := &holdfast.Error{Kind: holdfast.NotLeader, Op: "propose", Err: context.DeadlineExceeded}
	err := fmt.Errorf("client: %w", &holdfast.Error{Kind: holdfast.Unknown, Op: "hold create", Err: cause})
	if holdfast.KindOf(err) != holdfast.Unknown || !errors.Is(err, holdfast.Unknown) {
		t.Errorf("kind %s", holdfast.KindOf(err))
	}
	if errors.Is(err, holdfast.NotLeader) {
		t.Error("the cause's kind is seen through the error that it caused")
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the foreign cause is lost")
	}
}

func TestErrorsSayWhatHappened(t *testing.T) {
	for _, c := range []struct {
		err  *holdfast.Error
		want string
	}{
		{&holdfast.Error{Kind: holdfast.Invalid, Op: "event", Field: "tiers[0].price", Message: "-1 minor units"}, "event: invalid: tiers[0].price: -1 minor units"},
		{&holdfast.Error{Kind: holdfast.Unknown, Err: context.DeadlineExceeded}, "outcome_unknown: context deadline exceeded"},
		{&holdfast.Error{Kind: holdfast.Halted}, "halted"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
