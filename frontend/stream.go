package frontend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-db/holdfast"
)

// A stream tells a browser what changes, as server-sent events. Its ids are revisions: who comes again with
// Last-Event-ID, here or at another frontend, goes on where it was. Nothing is kept for a stream: it reads the board's
// memory, and one that is too slow for that is told to begin anew, by an event reset: it reads the seats again.

const (
	// streamPause is the least time between two writes to one stream; what changes meanwhile is put together.
	streamPause = 100 * time.Millisecond
	// streamMark is how often a stream is told that it lives, when nothing changes; and how soon it says that the sale
	// has lost its leader.
	streamMark = time.Second
	// keepAlive is how often a silent stream writes something, so that proxies do not end it.
	keepAlive = 15 * time.Second
	// streamWrite is how long one write may take. A browser that does not read that long is gone.
	streamWrite = 10 * time.Second
	// streamLife is how long a stream lasts at most: browsers come again by themselves, and spread over the frontends.
	streamLife = 15 * time.Minute
)

// seatsEvent is what changed, newest last: pairs of a unit's number and its state.
type seatsEvent struct {
	Revision holdfast.Revision `json:"revision"`
	Seats    [][2]uint32       `json:"seats"`
}

type saleEvent struct {
	Sale string `json:"sale"`
}

type resetEvent struct {
	Revision holdfast.Revision `json:"revision"`
}

// stream serves GET /api/v1/events/{event}/stream.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	from, resumes, err := resumeFrom(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if s.streams.Add(1) > int64(s.cfg.Limits.StreamsMax) || s.draining.Load() {
		s.streams.Add(-1)
		s.gate.shed[viewer].Add(1)
		s.fail(w, r, viewer.refusal())
		return
	}
	defer s.streams.Add(-1)
	c.board.watchers.Add(1)
	defer c.board.watchers.Add(-1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	// A stream is open for minutes and does nothing most of them: it has its own limit and does not fill the house.
	s.gate.leave()
	defer s.gate.inFlight.Add(1)
	st := &streaming{s: s, c: c, out: http.NewResponseController(w), w: w, at: from, seats: r.FormValue("seats") != "no"}
	if !resumes {
		_, st.at, _, _ = c.board.since(0)
	}
	st.run(r)
}

// resumeFrom is the revision that the browser has seen last.
func resumeFrom(r *http.Request) (holdfast.Revision, bool, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.FormValue("from")
	}
	if text == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, false, invalid("last-event-id", "%q is not a revision", text)
	}
	return holdfast.Revision(n), true, nil
}

// streaming is one stream.
type streaming struct {
	s     *Server
	c     *room
	w     http.ResponseWriter
	out   *http.ResponseController
	at    holdfast.Revision
	seats bool
	sale  string
	line  lineOut
	buf   []byte
}

func (st *streaming) run(r *http.Request) {
	end := time.NewTimer(streamLife)
	defer end.Stop()
	tick := time.NewTicker(streamMark)
	defer tick.Stop()
	st.buf = append(st.buf, ": stream\nretry: 2000\n\n"...)
	st.greet()
	wrote := st.s.now()
	for !st.s.draining.Load() {
		news, now, more, ok := st.c.board.since(st.at)
		if !ok {
			st.event("reset", now, resetEvent{now})
			st.at = now
		}
		for _, p := range news {
			st.tell(p)
		}
		st.state()
		if len(st.buf) == 0 && st.s.now().Sub(wrote) >= keepAlive {
			st.buf = append(st.buf, ": alive\n\n"...)
		}
		if len(st.buf) > 0 {
			if !st.flush() {
				return
			}
			wrote = st.s.now()
			if !sleep(r, streamPause) {
				return
			}
		}
		select {
		case <-more:
		case <-tick.C:
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		case <-st.s.ctx.Done():
			return
		}
	}
}

func sleep(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// greet tells where the sale and the line are, once.
func (st *streaming) greet() {
	v := st.c.board.look(st.s.now())
	st.sale = v.sale.String()
	st.event("sale", st.at, saleEvent{st.sale})
	st.line = lineOutOf(v)
	st.event("line", st.at, st.line)
}

// state tells when the sale or the line are not as they were told last. It is looked at rather than taken from the
// pieces, since that the leader was lost is no piece.
func (st *streaming) state() {
	v := st.c.board.look(st.s.now())
	if sale := v.sale.String(); sale != st.sale {
		st.sale = sale
		st.event("sale", st.at, saleEvent{sale})
	}
	if line := lineOutOf(v); line != st.line {
		st.line = line
		st.event("line", st.at, line)
	}
}

// tell writes one piece of news.
func (st *streaming) tell(p piece) {
	st.at = max(st.at, p.revision)
	if len(p.seats) == 0 || !st.seats {
		return
	}
	e := seatsEvent{Revision: p.revision, Seats: make([][2]uint32, len(p.seats))}
	for i, unit := range p.seats {
		e.Seats[i] = [2]uint32{uint32(unit), uint32(p.states[i])}
	}
	st.event("seats", p.revision, e)
}

func (st *streaming) event(name string, revision holdfast.Revision, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		return // plain structs of text and numbers
	}
	st.buf = fmt.Appendf(st.buf, "event: %s\nid: %d\ndata: %s\n\n", name, revision, body)
}

func (st *streaming) flush() bool {
	_ = st.out.SetWriteDeadline(time.Now().Add(streamWrite)) // a connection that has none is a test's
	_, err := st.w.Write(st.buf)
	if err == nil {
		err = st.out.Flush()
	}
	st.buf = st.buf[:0]
	return err == nil
}
