package frontend

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// eventOut is an event for everybody: what is sold, how the sale stands, how the line stands.
type eventOut struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	Title        string       `json:"title"`
	Currency     string       `json:"currency"`
	Sale         string       `json:"sale"`
	OpensMs      int64        `json:"opens_ms,omitempty"`
	Version      uint32       `json:"version"`
	Revision     uint64       `json:"revision"`
	Free         int          `json:"free"`
	Held         int          `json:"held"`
	Paying       int          `json:"paying"`
	Sold         int          `json:"sold"`
	Total        int          `json:"total"`
	SeatsPerHold int          `json:"seats_per_hold"`
	PerBuyer     int          `json:"seats_per_buyer,omitempty"`
	Identity     string       `json:"identity"`
	Strength     string       `json:"identity_strength"`
	Challenge    string       `json:"challenge"`
	Tiers        []tierOut    `json:"tiers"`
	Sections     []sectionOut `json:"sections"`
	Allocations  []string     `json:"allocations,omitempty"`
	Line         *lineOut     `json:"line,omitempty"`
	ServerTimeMs int64        `json:"server_time_ms"`
}

// eventLineOut is one line of the list.
type eventLineOut struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Title string `json:"title"`
}

type eventsOut struct {
	Events       []eventLineOut `json:"events"`
	ServerTimeMs int64          `json:"server_time_ms"`
}

var challengeNames = map[command.Challenge]string{command.ChallengeNone: "none", command.ChallengeWork: "work", command.ChallengeCaptcha: "captcha"}

func (s *Server) listEvents(w http.ResponseWriter, r *http.Request) {
	list, err := s.rooms.known.all(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := eventsOut{Events: make([]eventLineOut, 0, len(list)), ServerTimeMs: s.now().UnixMilli()}
	for _, e := range list {
		out.Events = append(out.Events, eventLineOut{ID: e.ID.String(), Name: e.Name, Title: e.Title})
	}
	s.json(w, http.StatusOK, out)
}

func (s *Server) getEvent(w http.ResponseWriter, r *http.Request) {
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, http.StatusOK, eventOutOf(c.board.look(s.now()), s.now()))
}

func eventOutOf(v view, now time.Time) eventOut {
	spec, total := &v.event.Spec, v.event.Total
	rules := spec.Rules.WithDefaults()
	out := eventOut{ID: v.event.ID.String(), Name: spec.Name, Title: spec.Title, Currency: string(spec.Currency), Sale: v.sale.String(), OpensMs: spec.Line.SaleMs,
		Version: v.event.Version, Revision: uint64(v.revision), Free: v.stock.free, Held: v.stock.held, Paying: v.stock.paying, Sold: v.stock.sold,
		Total: total.Free + total.Held + total.Paying + total.Sold + total.Blocked, SeatsPerHold: int(rules.SeatsPerHold), PerBuyer: int(rules.SeatsPerBuyer),
		Identity: identityNames[spec.Line.Who], Strength: identityStrength[spec.Line.Who], Challenge: challengeNames[spec.Line.Challenge], ServerTimeMs: now.UnixMilli()}
	for i, t := range spec.Tiers {
		out.Tiers = append(out.Tiers, tierOut{Index: i, Name: t.Name, PriceMinor: t.PriceMinor, Free: &v.tiers[i].Free})
	}
	for i := range spec.Sections {
		sec, n := &spec.Sections[i], &v.sections[i]
		out.Sections = append(out.Sections, sectionOut{Index: i, Name: sec.Name, Tier: int(sec.Tier), General: sec.General(), Free: &n.Free,
			Total: n.Free + n.Held + n.Paying + n.Sold + n.Blocked})
	}
	for _, a := range spec.Allocations {
		out.Allocations = append(out.Allocations, a.Name)
	}
	if spec.Line.Enabled {
		line := lineOutOf(v)
		out.Line = &line
	}
	return out
}

// getMap serves the geometry, which changes only with the description: browsers and caches ask whether it has.
func (s *Server) getMap(w http.ResponseWriter, r *http.Request) {
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	g := c.board.look(s.now()).geometry
	w.Header().Set("Cache-Control", "public, max-age=30")
	s.cached(w, r, g.etag, g.doc)
}

// getSeats serves the states of all units. The document of one revision is the same at every frontend.
func (s *Server) getSeats(w http.ResponseWriter, r *http.Request) {
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, revision := c.board.seats(s.now())
	if body == nil {
		s.fail(w, r, &holdfast.Error{Kind: holdfast.Unavailable, Message: "the seats are not known here yet", RetryAfter: retryDefault})
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=0, must-revalidate")
	s.cached(w, r, `"r`+strconv.FormatUint(uint64(revision), 10)+`"`, body)
}

// cached answers with a document that has an ETag, or says that the one that the browser has is it.
func (s *Server) cached(w http.ResponseWriter, r *http.Request, etag string, body []byte) {
	w.Header().Set("ETag", etag)
	for _, have := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if have = strings.TrimPrefix(strings.TrimSpace(have), "W/"); have == etag || have == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	s.bytes(w, http.StatusOK, "application/json", body)
}
