package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// The exit codes. They are for scripts, so they never change their meaning.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnhealthy   = 3
	exitNotFound    = 4
	exitConflict    = 5
	exitUnavailable = 6
	exitDenied      = 7
	exitInterrupted = 130 // as shells have it for SIGINT
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes, the same for every command:

    0  done
    1  another failure; the message says which
    2  usage: a flag, an argument, a field of a file is wrong; nothing was attempted
    3  answered, but unhealthy, or a check failed
    4  there is no such event, hold, order, payment, effect, or member
    5  refused: sold out, taken, lapsed, in another state; nothing was taken
    6  unavailable: no leader, no quorum, a queue is full, or the outcome is unknown (the message has the id to
       repeat with)
    7  denied: not yours, not for you
  130  interrupted

With -o json an error is one document on stderr: {"error": {"code": …, "message": …, "retryable": …}}.`,
	}
}

// usageError is a command called wrongly.
type usageError struct {
	command string
	message string
}

func (e *usageError) Error() string { return e.message }

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), message: fmt.Sprintf(format, args...)}
}

// checkFailed says that a command did its work and found what it looks for: something is not as it must be. The
// answer has been printed.
type checkFailed struct{ message string }

func (e *checkFailed) Error() string { return e.message }

// outcomeCodes are the refusals that are not a conflict.
var outcomeCodes = map[holdfast.Outcome]int{
	holdfast.CommandUnremembered: exitUnavailable,
	holdfast.EventUnknown:        exitNotFound,
	holdfast.HoldUnknown:         exitNotFound,
	holdfast.PaymentUnknown:      exitNotFound,
	holdfast.OrderUnknown:        exitNotFound,
	holdfast.EffectUnknown:       exitNotFound,
	holdfast.PaymentsPaused:      exitUnavailable,
	holdfast.WantInvalid:         exitUsage,
	holdfast.HoldNotYours:        exitDenied,
	holdfast.SeatNotForYou:       exitDenied,
}

var kindCodes = map[holdfast.Kind]int{
	holdfast.Invalid:     exitUsage,
	holdfast.NotFound:    exitNotFound,
	holdfast.Denied:      exitDenied,
	holdfast.NotLeader:   exitUnavailable,
	holdfast.Unavailable: exitUnavailable,
	holdfast.Overloaded:  exitUnavailable,
	holdfast.Unknown:     exitUnavailable,
	holdfast.Halted:      exitUnavailable,
	holdfast.Compacted:   exitFailure,
	holdfast.Internal:    exitFailure,
}

// exitCode is the one map from what went wrong to exit codes.
func exitCode(err error) int {
	var (
		wrong   *usageError
		failed  *checkFailed
		refused *client.Refusal
		failure *holdfast.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &failed):
		return exitUnhealthy
	case errors.As(err, &refused):
		if code, ok := outcomeCodes[refused.Outcome]; ok {
			return code
		}
		return exitConflict
	case errors.Is(err, context.Canceled) && !errors.Is(err, holdfast.Unknown):
		return exitInterrupted
	case errors.As(err, &failure):
		if code, ok := kindCodes[failure.Kind]; ok {
			return code
		}
	}
	return exitFailure // also for a kind that a newer server knows
}

// errorOut is an error for programs.
type errorOut struct {
	Code       string           `json:"code"`
	Message    string           `json:"message"`
	Hint       string           `json:"hint,omitempty"`
	Retryable  bool             `json:"retryable"`
	Field      string           `json:"field,omitempty"`
	Shard      holdfast.ShardID `json:"shard,omitempty"`
	Leader     string           `json:"leader,omitempty"`
	Command    string           `json:"command,omitempty"`
	Hold       string           `json:"hold,omitempty"`
	Taken      []seatOut        `json:"taken,omitempty"` // wanted, and not to be had
	Near       []seatOut        `json:"near,omitempty"`  // free, and nearest to what was wanted
	Allowance  int              `json:"allowance,omitempty"`
	RetryAfter int64            `json:"retry_after_ms,omitempty"`
}

// describe says what went wrong: the code for programs, the message for people, and what to do next.
func (a *app) describe(err error) errorOut {
	var (
		wrong   *usageError
		failed  *checkFailed
		refused *client.Refusal
		failure *holdfast.Error
	)
	e := errorOut{Code: "failure", Message: err.Error()}
	switch {
	case errors.As(err, &wrong):
		e.Code, e.Hint = "usage", wrong.command+" --help"
	case errors.As(err, &failed):
		e.Code = "check_failed"
	case errors.As(err, &refused):
		e.Code, e.Command = refused.Outcome.String(), refused.Command.String()
		e.Taken, e.Near, e.Allowance = seatsOf(a.layout, refused.Taken), seatsOf(a.layout, refused.Near), refused.Allowance
		e.RetryAfter = refused.RetryAfter.Milliseconds()
		e.Retryable = refused.RetryAfter > 0 || returns[refused.Outcome]
		if !refused.Hold.IsZero() {
			e.Hold = refused.Hold.String()
		}
	case exitCode(err) == exitInterrupted:
		e.Code, e.Message = "interrupted", "interrupted"
	case errors.As(err, &failure):
		e.Code, e.Field, e.Shard, e.Leader = failure.Kind.String(), failure.Field, failure.Shard, failure.Leader
		e.RetryAfter = failure.RetryAfter.Milliseconds()
		switch failure.Kind {
		case holdfast.Unknown:
			e.Command = failure.Command.String()
			e.Hint = "it may have happened: repeat it only with --command " + e.Command
		case holdfast.NotLeader, holdfast.Unavailable, holdfast.Overloaded, holdfast.Halted:
			e.Retryable, e.Hint = true, "nothing was attempted; holdfast cluster status shows who is there"
		}
	}
	return e
}

// returns are the refusals after which the same want may succeed.
var returns = map[holdfast.Outcome]bool{
	holdfast.CommandUnremembered: true, holdfast.EventPaused: true, holdfast.EventNotOpen: true,
	holdfast.SeatHeld: true, holdfast.SeatInPayment: true, holdfast.NotEnough: true, holdfast.PaymentsPaused: true,
}

// printError tells people in lines, and programs in a document, on stderr.
func (a *app) printError(err error) {
	e := a.describe(err)
	if a.format == formatJSON {
		_ = printJSON(a.err, map[string]errorOut{"error": e}) // there is nowhere left to complain
		return
	}
	fmt.Fprintf(a.err, "holdfast: %s\n", e.Message)
	if len(e.Taken) > 0 {
		fmt.Fprintf(a.err, "  not to be had: %s\n", seatList(e.Taken))
	}
	if len(e.Near) > 0 {
		fmt.Fprintf(a.err, "  free and near: %s\n", seatList(e.Near))
	}
	if e.Hold != "" {
		fmt.Fprintf(a.err, "  concerns: %s\n", e.Hold)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(a.err, "  try again in %v\n", time.Duration(e.RetryAfter)*time.Millisecond)
	}
	if e.Hint != "" {
		fmt.Fprintf(a.err, "  %s\n", e.Hint)
	}
}

func seatList(seats []seatOut) string {
	labels := make([]string, len(seats))
	for i, s := range seats {
		labels[i] = s.String()
	}
	return strings.Join(labels, "; ")
}
