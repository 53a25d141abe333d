package holdfast

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Kind says why the system could not decide. Each kind is another instruction to the caller. The numbers are on
// the wire: they are only ever appended.
type Kind uint8

// The kinds.
const (
	// Invalid: the request is malformed; fix the field that the message names. Nothing was changed.
	Invalid Kind = 1
	// NotFound: the thing asked for does not exist.
	NotFound Kind = 2
	// Denied: the caller may not do this.
	Denied Kind = 3
	// NotLeader: not attempted; ask the leader that the error names, or learn the routes anew.
	NotLeader Kind = 4
	// Unavailable: not attempted; there is no leader or no quorum. Try again after RetryAfter.
	Unavailable Kind = 5
	// Overloaded: not attempted; a queue is full. Try again after RetryAfter, and more slowly.
	Overloaded Kind = 6
	// Unknown: the command may have happened. Repeat it only with the same id.
	Unknown Kind = 7
	// Halted: the shard stopped on this node because an assertion failed. Ask an operator; other nodes may serve.
	Halted Kind = 8
	// Compacted: the requested revision is no longer kept. Start again from a snapshot.
	Compacted Kind = 9
	// Internal: a bug; report it.
	Internal Kind = 10
)

// Kinds lists every kind once.
func Kinds() []Kind {
	return []Kind{Invalid, NotFound, Denied, NotLeader, Unavailable, Overloaded, Unknown, Halted, Compacted, Internal}
}

var kindNames = map[Kind]string{
	Invalid: "invalid", NotFound: "not_found", Denied: "denied", NotLeader: "not_leader", Unavailable: "unavailable",
	Overloaded: "overloaded", Unknown: "outcome_unknown", Halted: "halted", Compacted: "compacted", Internal: "internal",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "kind_" + strconv.Itoa(int(k))
}

// Error makes a Kind a target for errors.Is: errors.Is(err, holdfast.Unknown).
func (k Kind) Error() string { return k.String() }

// Error is the one shape of a failure, from the log store to the command line.
type Error struct {
	Kind Kind
	Op   string // what was being done, as "hold create"
	// Message says what happened to the seats and the money, and what to do next.
	Message    string
	Field      string        // for Invalid: the field at fault
	Shard      ShardID       // the shard concerned; meaningful unless Kind is Invalid
	Leader     string        // for NotLeader: the leader's client address, if known
	RetryAfter time.Duration // for Unavailable and Overloaded: how long to wait
	Command    CommandID     // for Unknown: the id to repeat with
	Err        error         // the cause
}

func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []string{e.Op, e.Kind.String(), e.Field, e.Message} {
		if part != "" {
			if b.Len() > 0 {
				b.WriteString(": ")
			}
			b.WriteString(part)
		}
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause, but never another Error: only the outermost kind may be seen by errors.Is, since a cause
// that was not attempted says nothing about a command that is unknown.
func (e *Error) Unwrap() error {
	var inner *Error
	if errors.As(e.Err, &inner) {
		return inner.Unwrap()
	}
	return e.Err
}

// Is reports whether target is e's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf gives the kind of the outermost Error in err's chain: 0 for nil, Internal when there is none.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
