package payment

import (
	"errors"
	"strings"
	"time"
)

// Kind says why a provider did not do what was asked. Each kind is another instruction to the caller.
type Kind uint8

// The kinds.
const (
	// Declined: the issuer or the provider said no; no money moved. Repeating may be answered otherwise, and that
	// is for people to decide.
	Declined Kind = 1
	// Unknown: a time-out, a broken connection, an error of the provider. It may have happened: repeat the same
	// call, which finds out.
	Unknown Kind = 2
	// Limited: not done, too many requests. Repeat after RetryAfter, and spend less of the budget.
	Limited Kind = 3
	// Busy: not done by this call; the same key, or the same payment, is being worked on by another request.
	// Repeat in a moment.
	Busy Kind = 4
	// Reused: the key was used with other contents. Nothing was done by this call. It is a bug, or two clusters
	// with one name.
	Reused Kind = 5
	// Invalid: the provider, or this package, refuses the request as it is. Repeating cannot help.
	Invalid Kind = 6
	// Missing: there is no such payment in this account and mode.
	Missing Kind = 7
	// WrongState: the payment can no longer, or not yet, do that. Error.Payment says how it is.
	WrongState Kind = 8
	// WrongAccount: the keys are not accepted, lack a permission, or belong to another account or mode.
	WrongAccount Kind = 9
	// Forged: a webhook whose signature is wrong, missing or too old, or which nobody could read.
	Forged Kind = 10
)

// Kinds lists every kind once.
func Kinds() []Kind {
	return []Kind{Declined, Unknown, Limited, Busy, Reused, Invalid, Missing, WrongState, WrongAccount, Forged}
}

var kindNames = map[Kind]string{
	Declined: "declined", Unknown: "unknown", Limited: "limited", Busy: "busy", Reused: "key_reused", Invalid: "invalid",
	Missing: "missing", WrongState: "wrong_state", WrongAccount: "wrong_account", Forged: "forged",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "payment_failed"
}

// Error makes a Kind a target for errors.Is: errors.Is(err, payment.Declined).
func (k Kind) Error() string { return k.String() }

// Again reports whether repeating the same call is the cure.
func (k Kind) Again() bool { return k == Unknown || k == Limited || k == Busy }

// Error is the one shape of a failure of a provider. It never holds a key, a client secret, or what a buyer typed.
type Error struct {
	Kind       Kind
	Op         string // what was being done, as "capture"
	Message    string
	Code       string        // the provider's, as "card_declined"; for logs and people, not for deciding
	Decline    string        // the issuer's reason of a decline
	Request    string        // the provider's name of the request, for its support
	RetryAfter time.Duration // for Limited
	Payment    *Payment      // for WrongState: the payment as it is
	Err        error         // the cause
}

func (e *Error) Error() string {
	parts := make([]string, 0, 6)
	for _, part := range []string{e.Op, e.Kind.String(), e.Code, e.Decline, e.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.Payment != nil {
		parts = append(parts, string(e.Payment.Ref)+" is "+e.Payment.Status.String())
	}
	if e.Request != "" {
		parts = append(parts, "request "+e.Request)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return "payment: " + strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf gives the kind of the outermost Error in err's chain: 0 for nil, Unknown when there is none, since whatever
// failed may have happened.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}
