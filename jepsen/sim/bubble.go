package sim

import (
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// Play runs a plan in a bubble of its own.
func Play(t *testing.T, p Plan, broken Sabotage, logger *slog.Logger) (r *Report) {
	inBubble(t, func(*testing.T) { r = Run(p, broken, logger) })
	return r
}

// inBubble is synctest.Test, but for goroutines that the library leaves behind when a transfer of leadership fails at
// the wrong moment (hashicorp/raft#696), and ours that asked it: they wait for good, and there is no way to end them. Any
// other goroutine that is left is an error.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	bubble := ""
	defer func() {
		if cause := recover(); cause != nil {
			if left := leftBehind(bubble); len(left) > 0 || !strings.HasPrefix(fmt.Sprint(cause), "deadlock: main bubble goroutine has exited") {
				panic(fmt.Sprintf("%v\n\n%s", cause, strings.Join(left, "\n\n")))
			}
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		own := make([]byte, 1<<10)
		bubble = inBubbleNumber.FindString(string(own[:runtime.Stack(own, false)]))
		test(t)
	})
}

var inBubbleNumber = regexp.MustCompile(`synctest bubble \d+\]`)

// abandoned are the library's goroutines that do the transfer and await its end, and ours that waits for their answer.
var abandoned = regexp.MustCompile(`raft\.\(\*Raft\)\.(leadershipTransfer|leaderLoop\.func2)\(|node\.\(\*group\)\.wait\.func`)

// leftBehind gives the goroutines of a bubble that are not known.
func leftBehind(bubble string) (left []string) {
	stacks := make([]byte, 64<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, bubble) && !abandoned.MatchString(stack) {
			left = append(left, stack)
		}
	}
	return left
}
