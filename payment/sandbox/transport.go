package sandbox

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// errBroken is what a caller sees of a connection that broke.
var errBroken = errors.New("the connection broke")

// Transport carries requests to the server without a network, whatever host they name: for tests on virtual time,
// where nothing may wait for a socket.
func (s *Server) Transport() http.RoundTripper { return inProcess{s.handler} }

type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	type result struct {
		answer *http.Response
		err    error
	}
	done := make(chan result, 1) // one result, also when nobody waits any more
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	go func() {
		w := &answer{header: http.Header{}, status: http.StatusOK}
		defer func() {
			switch v := recover(); {
			case v == nil:
				done <- result{answer: w.response(in)}
			case v == any(http.ErrAbortHandler):
				done <- result{err: errBroken}
			default:
				panic(v)
			}
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case got := <-done:
		return got.answer, got.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// answer is what a handler wrote.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.wrote = true
	return a.body.Write(p)
}

func (a *answer) response(r *http.Request) *http.Response {
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header,
		Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}
}
