package frontend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// kindStatus is the one map from kinds of failures to HTTP.
var kindStatus = map[holdfast.Kind]int{
	holdfast.Invalid:     http.StatusBadRequest,
	holdfast.NotFound:    http.StatusNotFound,
	holdfast.Denied:      http.StatusForbidden,
	holdfast.NotLeader:   http.StatusServiceUnavailable,
	holdfast.Unavailable: http.StatusServiceUnavailable,
	holdfast.Overloaded:  http.StatusTooManyRequests,
	holdfast.Unknown:     http.StatusServiceUnavailable,
	holdfast.Halted:      http.StatusServiceUnavailable,
	holdfast.Compacted:   http.StatusGone,
	holdfast.Internal:    http.StatusInternalServerError,
}

// outcomeStatus are the refusals that are not 409 Conflict.
var outcomeStatus = map[holdfast.Outcome]int{
	holdfast.CommandUnremembered: http.StatusServiceUnavailable,
	holdfast.CommandReused:       http.StatusUnprocessableEntity,
	holdfast.EventUnknown:        http.StatusNotFound,
	holdfast.WantInvalid:         http.StatusBadRequest,
	holdfast.HoldTooLarge:        http.StatusBadRequest,
	holdfast.HoldUnknown:         http.StatusNotFound,
	holdfast.HoldLapsed:          http.StatusGone,
	holdfast.HoldReleased:        http.StatusGone,
	holdfast.HoldNotYours:        http.StatusForbidden,
	holdfast.SeatNotForYou:       http.StatusForbidden,
	holdfast.BuyerCoolingDown:    http.StatusTooManyRequests,
	holdfast.SessionRequired:     http.StatusForbidden,
	holdfast.SessionsFull:        http.StatusTooManyRequests,
	holdfast.LineFull:            http.StatusTooManyRequests,
	holdfast.PlaceUnproven:       http.StatusUnauthorized,
	holdfast.LineEnded:           http.StatusGone,
	holdfast.PlaceSpent:          http.StatusGone,
	holdfast.OrderUnknown:        http.StatusNotFound,
	holdfast.PromoUnknown:        http.StatusBadRequest,
	holdfast.PaymentsPaused:      http.StatusServiceUnavailable,
}

// retryDefault is what is said to those who may try again when nobody knows a better time.
const retryDefault = time.Second

// refusal is a failure with an own code and status: what this server itself decides, beside the cluster's kinds.
type refusal struct {
	status  int
	code    string
	message string
	field   string
	retry   time.Duration
}

func (e *refusal) Error() string { return e.code + ": " + e.message }

// The server's own refusals.
var (
	errTokenMissing  = &refusal{http.StatusUnauthorized, "token_missing", "you have no place in this line yet; join it first", "", 0}
	errTokenInvalid  = &refusal{http.StatusUnauthorized, "token_invalid", "this is not a token of this event's line; join it, or bring the token that was given to you", "", 0}
	errSignerUnknown = &refusal{http.StatusUnauthorized, "token_invalid", "this token was signed by nobody who is known here; join the line again with it", "", 0}
	errTokenExpired  = &refusal{http.StatusUnauthorized, "token_expired", "the token is too old to be believed as it is; your place stands: join again with it and a fresh token is given for the same place", "", 0}
	errFormForged    = &refusal{http.StatusForbidden, "csrf", "the form was not made by this site for you, or is too old; nothing was changed: load the page again", "csrf", 0}
	errOrigin        = &refusal{http.StatusForbidden, "cross_origin", "the request was sent by another site's page; nothing was changed", "origin", 0}
	errDraining      = &refusal{http.StatusServiceUnavailable, "draining", "this server is about to stop; nothing was changed: ask again and another one answers", "", retryDefault}
)

func invalid(field, format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

func notFound(what string) error {
	return &holdfast.Error{Kind: holdfast.NotFound, Message: "there is no such " + what}
}

// errorOut is how every failure and refusal looks.
type errorOut struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code         string               `json:"code"`
	Message      string               `json:"message"`
	Field        string               `json:"field,omitempty"`
	RetryAfterMs int64                `json:"retry_after_ms,omitempty"`
	Hold         string               `json:"hold,omitempty"`      // the hold that stands in the way
	Taken        []holdfast.SeatIndex `json:"taken,omitempty"`     // wanted units that were not to be had
	Near         []holdfast.SeatIndex `json:"near,omitempty"`      // the nearest that were free
	Allowance    *int                 `json:"allowance,omitempty"` // how many more the buyer may have
}

// verdict translates an error into what is said of it. Nothing of a failure's cause is said: it may name addresses of
// the cluster, and is of no use to a visitor.
func verdict(err error, event holdfast.EventID) (status int, body errorBody) {
	var (
		own    *refusal
		no     *client.Refusal
		failed *holdfast.Error
	)
	switch {
	case errors.As(err, &own):
		return own.status, errorBody{Code: own.code, Message: own.message, Field: own.field, RetryAfterMs: own.retry.Milliseconds()}
	case errors.As(err, &no):
		status = http.StatusConflict
		if s, ok := outcomeStatus[no.Outcome]; ok {
			status = s
		}
		body = errorBody{Code: no.Outcome.String(), Message: no.Outcome.Error(), RetryAfterMs: ceilMs(no.RetryAfter), Taken: no.Taken, Near: no.Near}
		if !no.Hold.IsZero() && event != 0 {
			body.Hold = holdName(event, no.Hold)
		}
		if no.Outcome == holdfast.BuyerOverLimit {
			body.Allowance = &no.Allowance
		}
		return status, body
	case errors.As(err, &failed):
		body = errorBody{Code: failed.Kind.String(), Message: failed.Message, Field: failed.Field, RetryAfterMs: ceilMs(failed.RetryAfter)}
		status = kindStatus[failed.Kind]
		switch failed.Kind {
		case holdfast.Unavailable, holdfast.NotLeader:
			body.Code, body.Message = holdfast.Unavailable.String(), "the sale's system is choosing who leads it; nothing was changed, and what you hold stays yours: try again"
		case holdfast.Unknown:
			body.Message = "nobody knows yet whether this was done; send exactly the same request again, with the same Idempotency-Key"
		case holdfast.Halted, holdfast.Internal:
			body.Message = "something is broken here, and it was reported; nothing more is known"
		}
		if body.RetryAfterMs == 0 && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
			body.RetryAfterMs = retryDefault.Milliseconds()
		}
		return status, body
	}
	return http.StatusInternalServerError, errorBody{Code: holdfast.Internal.String(), Message: "something is broken here, and it was reported; nothing more is known"}
}

func ceilMs(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// retryAfter sets the header that says when to come again, in whole seconds.
func retryAfter(h http.Header, ms int64) {
	if ms > 0 {
		h.Set("Retry-After", strconv.FormatInt((ms+999)/1000, 10))
	}
}

// fail answers with an error: as JSON to the API, as a page to people.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.failIn(w, r, err, 0)
}

// failIn is fail for a request about an event, whose holds have names.
func (s *Server) failIn(w http.ResponseWriter, r *http.Request, err error, event holdfast.EventID) {
	status, body := verdict(err, event)
	if status >= http.StatusInternalServerError {
		level := slog.LevelDebug
		if status == http.StatusInternalServerError {
			level = slog.LevelError
		}
		s.log.Log(r.Context(), level, "a request failed", "method", r.Method, "route", r.Pattern, "err", err)
	}
	s.refused(body.Code)
	retryAfter(w.Header(), body.RetryAfterMs)
	if forPeople(r) {
		s.errorPage(w, r, status, body)
		return
	}
	s.json(w, status, errorOut{body})
}

// json answers with a document. Nothing dynamic may be kept by caches unless the handler said otherwise.
func (s *Server) json(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.log.Error("an answer cannot be written", "err", err)
		http.Error(w, `{"error":{"code":"internal","message":"something is broken here"}}`, http.StatusInternalServerError)
		return
	}
	s.bytes(w, status, "application/json", append(body, '\n'))
}

func (s *Server) bytes(w http.ResponseWriter, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a failed write is the visitor's connection, which is gone
}

// read decodes a request's JSON body, strictly: a misspelt field would silently mean something else. An empty body is
// an empty object.
func read(r *http.Request, v any) error {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return &refusal{http.StatusUnsupportedMediaType, "invalid", "the body must be application/json", "content-type", 0}
		}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return &refusal{http.StatusRequestEntityTooLarge, "invalid", fmt.Sprintf("the body is longer than %d bytes", large.Limit), "body", 0}
		}
		return invalid("body", "not what this method takes: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("body", "something follows the document")
	}
	return nil
}
