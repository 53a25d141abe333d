package holdfast_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
)

// pinnedOutcomes are the numbers and names that stand in logs, snapshots, metrics and other people's programs,
// in order of precedence. A line may be added; none may change.
const pinnedOutcomes = `
1 ok
2 command_expired
3 command_too_far
4 command_reused
5 command_unremembered
10 event_unknown
11 event_not_open
12 event_paused
13 event_closed
14 event_changed
15 event_conflict
16 events_full
130 keys_full
70 line_not_open
71 line_ended
72 line_conflict
73 line_not_drawn
75 line_full
76 beacon_awaited
77 beacon_invalid
78 place_unproven
79 place_spent
80 turn_awaited
81 turn_missed
74 line_paused
82 sessions_full
83 session_required
20 want_invalid
21 hold_too_large
22 hold_unknown
23 hold_lapsed
24 hold_released
25 hold_not_yours
26 hold_in_payment
27 hold_already_sold
28 hold_not_extendable
30 buyer_has_hold
31 buyer_cooling_down
32 buyer_over_limit
84 returns_not_yet
85 returns_full
40 seat_not_for_you
41 seat_sold
42 seat_in_payment
43 seat_held
44 not_enough
45 sold_out
46 seat_orphaned
50 attempt_stale
51 amount_mismatch
52 payment_reused
53 payment_required
90 payments_paused
91 attempt_over
92 attempts_exhausted
93 amount_too_small
94 promo_unknown
95 promo_used_up
96 payment_foreign
97 payment_unknown
98 payment_current
99 invoice_refused
100 order_unknown
101 order_not_paid
102 order_disputed
103 seat_not_in_order
104 effect_unknown
105 incarnation_stale
60 seat_taken
`

func TestOutcomesKeepTheirNumbersNamesAndOrder(t *testing.T) {
	var got strings.Builder
	got.WriteString("\n")
	for _, o := range holdfast.Outcomes() {
		fmt.Fprintf(&got, "%d %s\n", uint8(o), o.String()) // %s alone would print the sentence: an Outcome is an error
	}
	if got.String() != pinnedOutcomes {
		t.Errorf("the outcomes changed:%swant:%s", got.String(), pinnedOutcomes)
	}
}

// TestEveryOutcomeIsListedAndNamed reads the source, so that a constant added without its line in Outcomes, its
// name or its sentence is found.
func TestEveryOutcomeIsListedAndNamed(t *testing.T) {
	constants := typedConstants(t, "outcome.go", "Outcome")
	if n := len(holdfast.Outcomes()); len(constants) != n {
		t.Errorf("%d constants, %d listed in Outcomes: %v", len(constants), n, constants)
	}
	seen := map[string]holdfast.Outcome{}
	for _, o := range holdfast.Outcomes() {
		for _, text := range []string{o.String(), o.Error()} {
			if other, twice := seen[text]; twice {
				t.Errorf("%q says both %d and %d", text, o, other)
			}
			seen[text] = o
			if text == "" || strings.HasPrefix(text, "outcome_") || strings.HasPrefix(text, "unknown outcome") {
				t.Errorf("outcome %d has no text: %q", uint8(o), text)
			}
		}
	}
}

func TestOutcomesFromTheFutureStayReadable(t *testing.T) {
	newer := holdfast.Outcome(200)
	if newer.String() != "outcome_200" || !strings.Contains(newer.Error(), "newer than this program") {
		t.Errorf("%s: %s", newer.String(), newer.Error())
	}
	if !newer.Remembered() {
		t.Error("an outcome is remembered unless it refuses the id itself")
	}
}

func TestOnlyRefusalsOfTheIDAreNotRemembered(t *testing.T) {
	var not []string
	for _, o := range holdfast.Outcomes() {
		if !o.Remembered() {
			not = append(not, o.String())
		}
	}
	if got := strings.Join(not, " "); got != "command_expired command_too_far command_reused command_unremembered" {
		t.Errorf("not remembered: %s", got)
	}
}

// TestARefusalIsAnErrorToAskFor: callers wrap a refusal and ask for it by errors.Is and errors.As.
func TestARefusalIsAnErrorToAskFor(t *testing.T) {
	err := fmt.Errorf("row A: %w", holdfast.SeatSold)
	if !errors.Is(err, holdfast.SeatSold) || errors.Is(err, holdfast.SeatHeld) {
		t.Error("a wrapped refusal is not known again")
	}
	var o holdfast.Outcome
	if !errors.As(err, &o) || o != holdfast.SeatSold {
		t.Errorf("errors.As gave %v", o)
	}
}

// typedConstants lists the names of the constants that a file declares with an explicit type.
func typedConstants(t *testing.T, file, typ string) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typ {
			for _, name := range spec.Names {
				names = append(names, name.Name)
			}
		}
		return true
	})
	return names
}
