package sandbox_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// The reference names every method and every fault, and no others.
func TestTheReferenceIsComplete(t *testing.T) {
	raw, err := os.ReadFile("../../docs/reference/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, m := range sandbox.Methods() {
		if row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", m.ID, m.Number, m.Type, m.Says); !strings.Contains(page, row) {
			t.Errorf("docs/reference/sandbox.md lacks the row\n%s", row)
		}
	}
	if n := strings.Count(page, "\n| `pm_"); n != len(sandbox.Methods()) {
		t.Errorf("the reference has %d methods, the sandbox %d", n, len(sandbox.Methods()))
	}
	for _, do := range sandbox.Dos() {
		if !strings.Contains(page, fmt.Sprintf("\n| `%s` |", do)) {
			t.Errorf("docs/reference/sandbox.md lacks the fault %s", do)
		}
	}
}
