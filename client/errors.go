package client

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Refusal is the shard's no, with the facts that help to do better. errors.Is tells the reason:
// errors.Is(err, holdfast.SeatSold). Which facts are set depends on the outcome.
type Refusal struct {
	Op      string
	Outcome holdfast.Outcome
	Command holdfast.CommandID // the command that was refused
	Stamp   holdfast.Stamp

	Hold       holdfast.HoldID      // the hold that stands in the way
	Taken      []holdfast.SeatIndex // wanted units that were not to be had
	Near       []holdfast.SeatIndex // as many units close by that were free
	Allowance  int                  // how many more units the buyer may have
	RetryAfter time.Duration        // when the same want may be tried again
	Version    uint32               // the description's version, for commands about events
	Turn       Turn                 // where the place stands, for commands about places
}

func (r *Refusal) Error() string { return r.Op + ": " + r.Outcome.Error() }

// Unwrap gives the outcome, so that errors.Is(err, holdfast.SeatSold) works.
func (r *Refusal) Unwrap() error { return r.Outcome }

func refusal(op string, id holdfast.CommandID, stamp holdfast.Stamp, r *command.Result) *Refusal {
	return &Refusal{Op: op, Outcome: r.Outcome, Command: id, Stamp: stamp,
		Hold: r.Hold, Taken: r.Taken, Near: r.Near, Allowance: int(r.Allowance),
		RetryAfter: time.Duration(r.RetryAfterMs) * time.Millisecond, Version: r.Version, Turn: turnOf(r, stamp)}
}

// failureOf reads a failure of a batch off the wire.
func failureOf(f *api.Failure) *holdfast.Error {
	return &holdfast.Error{Kind: holdfast.Kind(f.GetKind()), Message: f.GetMessage(), Field: f.GetField(), Shard: holdfast.ShardID(f.GetShard()),
		Leader: f.GetLeader(), RetryAfter: time.Duration(f.GetRetryAfterMs()) * time.Millisecond}
}

// kindsByCode are the kinds of statuses that no holdfast server made: gRPC's own, and those of what stands between.
// What is not listed is Internal.
var kindsByCode = map[codes.Code]holdfast.Kind{
	codes.Unavailable:       holdfast.Unavailable,
	codes.DeadlineExceeded:  holdfast.Unavailable,
	codes.Canceled:          holdfast.Unavailable,
	codes.Aborted:           holdfast.Unavailable,
	codes.ResourceExhausted: holdfast.Overloaded,
	codes.InvalidArgument:   holdfast.Invalid,
	codes.Unimplemented:     holdfast.Invalid,
	codes.NotFound:          holdfast.NotFound,
	codes.PermissionDenied:  holdfast.Denied,
	codes.Unauthenticated:   holdfast.Denied,
}

// statusOf reads the failure of a call off the wire: the inverse of the servers' map from kinds to statuses. For
// a status that no holdfast server made it goes by the code. It is for calls that change nothing: a stream that
// breaks with commands in flight is always Unknown.
func statusOf(err error) *holdfast.Error {
	var known *holdfast.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, io.EOF) {
		return &holdfast.Error{Kind: holdfast.Unavailable, Message: "the member ended the stream"}
	}
	s := status.Convert(err)
	e := &holdfast.Error{Kind: holdfast.Internal, Message: s.Message()}
	if kind, ok := kindsByCode[s.Code()]; ok {
		e.Kind = kind
	}
	for _, detail := range s.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != "holdfast" {
			continue
		}
		for _, kind := range holdfast.Kinds() {
			if kind.String() == info.GetReason() {
				e.Kind = kind
			}
		}
		meta := info.GetMetadata()
		shard, _ := strconv.ParseUint(meta["shard"], 10, 32)
		wait, _ := strconv.ParseUint(meta["retry_after_ms"], 10, 32)
		e.Field, e.Leader, e.Shard, e.RetryAfter = meta["field"], meta["leader"], holdfast.ShardID(shard), time.Duration(wait)*time.Millisecond
	}
	return e
}

// named gives the failure with the operation in front. Failures are shared by the calls of a batch: e stays as it is.
func named(op string, e *holdfast.Error) error {
	c := *e
	c.Op = op
	return &c
}

func invalid(field, format string, args ...any) *holdfast.Error {
	return &holdfast.Error{Kind: holdfast.Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

var errClosed = &holdfast.Error{Kind: holdfast.Unavailable, Message: "the client was closed; nothing was attempted"}
