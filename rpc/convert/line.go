package convert

import (
	"encoding/json"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// EventView is an event with its line, if it has one.
type EventView struct {
	fsm.EventView
	Line *fsm.LineView
}

// FindLine reads an event's line from the machine; nil: it has none.
func FindLine(m *fsm.Machine, id holdfast.EventID) *fsm.LineView {
	if v, ok := m.Line(id); ok {
		return &v
	}
	return nil
}

// LineSummary is a line as everybody may see it; nil for none.
func LineSummary(v *fsm.LineView) *api.LineSummary {
	if v == nil {
		return nil
	}
	s := &api.LineSummary{State: uint32(v.State), Paused: v.Paused, Issued: v.Issued, Served: uint32(v.Served), Tail: uint32(v.Tail), Cohort: v.Cohort,
		FrozenMs: v.FrozenMs, DrawnMs: v.DrawnMs, Round: v.Round, Sessions: v.Sessions, Looking: v.Looking, Called: v.Called, Ceiling: v.Ceiling,
		Returns: v.Returns, Units: counts(v.Units), Bound: uint32(v.Bound)}
	for _, h := range []struct {
		from [32]byte
		to   *[]byte
	}{{v.Commitment, &s.Commitment}, {v.Chain, &s.Chain}, {v.Seed, &s.Seed}} {
		if h.from != [32]byte{} {
			*h.to = h.from[:]
		}
	}
	return s
}

// LineState reads all about an event's line from the machine. The caller sets the stamp.
func LineState(m *fsm.Machine, id holdfast.EventID) (*api.LineState, error) {
	v := FindLine(m, id)
	if v == nil {
		return nil, notFound("line of", id)
	}
	return &api.LineState{Summary: LineSummary(v), Counts: v.Counts[:], Enters: v.Enters, OpenedMs: v.OpenedMs, FallbackAtMs: v.FallbackAt, Fallback: v.Fallback,
		Rate: v.Rate, Target: v.Target, BusyPermille: uint32(v.BusyPermille), ProviderPerMinute: v.ProviderPerMinute, ShowPermille: v.ShowPermille,
		UnitsPerHoldMilli: v.UnitsPerHoldMilli, PayPermille: v.PayPermille, SessionMeanMs: v.SessionMeanMs}, nil
}

// FindPlace reads a place from the machine, for who can prove it. The caller sets the stamp.
func FindPlace(m *fsm.Machine, q *api.PlaceRequest) (*api.LinePlace, error) {
	if len(q.GetKey()) != len(holdfast.PlaceKey{}) {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Field: "key", Message: "it is not 32 bytes"}
	}
	if len(q.GetPath()) > holdfast.PathMax {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Field: "path", Message: "it is longer than any"}
	}
	path := make([][32]byte, len(q.GetPath()))
	for i, h := range q.GetPath() {
		if len(h) != len(path[i]) {
			return nil, &holdfast.Error{Kind: holdfast.Invalid, Field: "path", Message: "a hash of it is not 32 bytes"}
		}
		path[i] = [32]byte(h)
	}
	v, ok := m.Place(holdfast.EventID(q.GetEvent()), holdfast.PlaceNumber(q.GetNumber()), holdfast.PlaceKey(q.GetKey()), path)
	if !ok {
		return nil, &holdfast.Error{Kind: holdfast.NotFound, Message: holdfast.PlaceUnproven.Error()}
	}
	return &api.LinePlace{Number: uint32(v.Number), State: uint32(v.State), Drawn: v.Drawn, Position: uint32(v.Position), Served: uint32(v.Served),
		Ahead: v.Ahead, UntilUs: uint64(v.Until), RemainingMs: remaining(m, v.Until), Deferrals: uint32(v.Deferrals), Returns: v.Returns, Rank: v.Rank}, nil
}

// FindVisitor reads what the line knows of a buyer. The caller sets the stamp.
func FindVisitor(m *fsm.Machine, q *api.VisitorRequest) (*api.LineVisitor, error) {
	buyer, err := ID[holdfast.BuyerID]("buyer", q.GetBuyer())
	if err != nil {
		return nil, err
	}
	v, ok := m.Visitor(holdfast.EventID(q.GetEvent()), buyer)
	if !ok {
		return nil, notFound("visitor", buyer)
	}
	a := &api.LineVisitor{Number: uint32(v.Number), State: uint32(v.State), Position: uint32(v.Position), SessionUs: uint64(v.Session),
		SessionMs: remaining(m, v.Session), LatestUs: uint64(v.Latest), LatestMs: remaining(m, v.Latest), Units: v.Units, Returns: v.Returns}
	for _, id := range v.Holds {
		a.Holds = append(a.Holds, id[:])
	}
	return a, nil
}

func remaining(m *fsm.Machine, until holdfast.Clock) uint64 {
	return uint64(m.Clock().Until(until).Milliseconds())
}

// recordPartBytes is how much of a record one message has.
const recordPartBytes = 64 << 10

// DrawRecord sends the public record of an event's draw from a cut, in parts.
func DrawRecord(cut *fsm.Cut, id holdfast.EventID, send func(*api.DrawRecordPart) error) error {
	record, ok := cut.DrawRecord(id)
	if !ok {
		return notFound("draw of", id)
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	for len(text) > 0 {
		n := min(len(text), recordPartBytes)
		if err := send(&api.DrawRecordPart{Json: text[:n]}); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

// Keys are frontends' keys as a message.
func Keys(keys []holdfast.FrontendKey) *api.KeysResponse {
	a := &api.KeysResponse{}
	for _, k := range keys {
		a.Keys = append(a.Keys, &api.Key{Frontend: k.Frontend, Public: k.Public[:], NotBeforeMs: k.NotBeforeMs, NotAfterMs: k.NotAfterMs})
	}
	return a
}
