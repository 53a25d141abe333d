package workload

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// A kind that is added is sent by some workload, and the manual says by which.
func TestEveryKindOfCommandIsSentUnderFaults(t *testing.T) {
	page, err := os.ReadFile("../../docs/verification.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range All() {
		names = append(names, w.Name)
	}
	kinds := 0
	for n := range 256 {
		kind := command.Kind(n)
		if kind.String() == fmt.Sprintf("kind_%d", n) {
			continue // there is none
		}
		kinds++
		by, known := Sent[kind]
		switch {
		case !known:
			t.Errorf("nobody sends a %s: give it a workload, and a line in Sent", kind)
		case by != "" && by != Runner && !slices.Contains(names, by):
			t.Errorf("a %s is sent by %q, which is no workload", kind, by)
		case !slices.ContainsFunc(strings.Split(string(page), "\n"), func(line string) bool {
			return strings.Contains(line, "`"+kind.String()+"`") && strings.Contains(line, by)
		}):
			t.Errorf("docs/verification.md does not tell that %s is sent by %q", kind, by)
		}
	}
	if kinds != len(Sent) {
		t.Errorf("%d kinds, and %d lines in Sent", kinds, len(Sent))
	}
}
