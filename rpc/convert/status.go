package convert

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Domain is the domain of every google.rpc.ErrorInfo that holdfast sends.
const Domain = "holdfast"

// codesByKind is the one map from kinds to gRPC's codes. The code is for what stands between; the ErrorInfo's
// reason, which is the kind's name, is for clients.
var codesByKind = map[holdfast.Kind]codes.Code{
	holdfast.Invalid:     codes.InvalidArgument,
	holdfast.NotFound:    codes.NotFound,
	holdfast.Denied:      codes.PermissionDenied,
	holdfast.NotLeader:   codes.Unavailable,
	holdfast.Unavailable: codes.Unavailable,
	holdfast.Overloaded:  codes.ResourceExhausted,
	holdfast.Unknown:     codes.Aborted,
	holdfast.Halted:      codes.Unavailable,
	holdfast.Compacted:   codes.OutOfRange,
	holdfast.Internal:    codes.Internal,
}

// Status is a failure as a gRPC status. A context's end is the caller's own and becomes what gRPC calls it; an
// error that is not ours is Internal. nil stays nil.
func Status(err error) error {
	if err == nil {
		return nil
	}
	var e *holdfast.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return status.FromContextError(err).Err()
		}
		e = &holdfast.Error{Kind: holdfast.Internal, Err: err}
	}
	info := &errdetails.ErrorInfo{Domain: Domain, Reason: e.Kind.String(), Metadata: map[string]string{"shard": e.Shard.String()}}
	if e.Field != "" {
		info.Metadata["field"] = e.Field
	}
	if e.Leader != "" {
		info.Metadata["leader"] = e.Leader
	}
	if ms := millis(e.RetryAfter); ms > 0 {
		info.Metadata["retry_after_ms"] = strconv.FormatUint(uint64(ms), 10)
	}
	code, ok := codesByKind[e.Kind]
	if !ok {
		code = codes.Internal
	}
	s, attached := status.New(code, message(e)).WithDetails(info, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	if attached != nil {
		return status.Error(codes.Internal, attached.Error())
	}
	return s.Err()
}

// Failure is a failure in a stream's message.
func Failure(err error) *api.Failure {
	var e *holdfast.Error
	if !errors.As(err, &e) {
		e = &holdfast.Error{Kind: holdfast.Internal, Err: err}
	}
	return &api.Failure{Kind: uint32(e.Kind), Message: message(e), Field: e.Field, Shard: uint32(e.Shard), Leader: e.Leader, RetryAfterMs: millis(e.RetryAfter)}
}

// message is what the error says besides its kind and field, which travel by themselves.
func message(e *holdfast.Error) string {
	text := e.Message
	if e.Op != "" {
		text = e.Op + ": " + text
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// millis rounds up: a client that waits that long does not come too early.
func millis(d time.Duration) uint32 {
	return uint32(max((d+time.Millisecond-1)/time.Millisecond, 0))
}
