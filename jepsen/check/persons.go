package check

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Persons checks what was told of keys to personal data, which members keep for themselves, and of what the shard keeps
// about persons. A key that most members have is there until somebody wants it forgotten; from when most have confirmed
// that, nobody is given it who asks as clients do, and nobody puts it back, unless one of them loses its disk before all have
// confirmed; and a member that has confirmed does not have it any more. What the shard keeps is a register.
func Persons(h *history.History) (found []Violation) {
	ps := persons{forgets: map[holdfast.HoldID][]*history.Private{}, puts: map[personKey][]*history.Private{}, lost: math.MaxInt64}
	for _, f := range h.Faults {
		if f.Destroys {
			ps.lost = min(ps.lost, f.From)
		}
	}
	registers := map[holdfast.HoldID][]porcupine.Operation{}
	for i := range h.Privates {
		switch p := &h.Privates[i]; p.What {
		case history.PutKey:
			at := personKey{p.Hold, p.Key}
			ps.puts[at] = append(ps.puts[at], p)
		case history.ForgetKey:
			ps.forgets[p.Hold] = append(ps.forgets[p.Hold], p)
		case history.WriteBlob, history.ReadBlob:
			if p.What == history.ReadBlob && p.Return == 0 {
				continue
			}
			end := int64(p.Return)
			if p.Return == 0 {
				end = math.MaxInt64
			}
			registers[p.Hold] = append(registers[p.Hold], porcupine.Operation{ClientId: p.Client, Call: int64(p.Call), Return: end,
				Input: model.TextInput{Write: p.What == history.WriteBlob, Value: p.Value}, Output: model.TextOutput{Unknown: p.Return == 0, Value: p.Value}})
		}
	}
	for i := range h.Privates {
		if why := ps.wrong(&h.Privates[i]); why != "" {
			p := &h.Privates[i]
			found = append(found, Violation{"persons", fmt.Sprintf("client %d, %s of key %s of %s at %v, told %s: %s", p.Client, p.What, p.Key, p.Hold, p.Call, p.Told, why)})
		}
	}
	for hold, ops := range registers {
		found = append(found, search(fmt.Sprintf("what is kept about the person of %s", hold), model.Text(), ops)...)
	}
	return found
}

type personKey struct {
	hold holdfast.HoldID
	key  string
}

type persons struct {
	puts    map[personKey][]*history.Private
	forgets map[holdfast.HoldID][]*history.Private
	lost    time.Duration // when a member first lost what it had
}

// wrong says what is wrong with one answer about a key.
func (ps *persons) wrong(p *history.Private) string {
	if p.Return == 0 {
		return ""
	}
	wanted, gone, own := false, false, false // forgetting: wanted by anybody, confirmed by enough, and by who was asked
	for _, f := range ps.forgets[p.Hold] {
		wanted = wanted || f.Call <= p.Return
		if f.Return != 0 && f.Return < p.Call {
			gone = gone || len(f.Confirmed) == f.Members || 2*len(f.Confirmed) > f.Members && p.Return < ps.lost
			own = own || slices.Contains(f.Confirmed, p.Member)
		}
	}
	put, acknowledged := false, false
	for _, one := range ps.puts[personKey{p.Hold, p.Key}] {
		put = put || one.Call <= p.Return && one.Value == p.Value
		acknowledged = acknowledged || one.Told == history.ToldOK && one.Return != 0 && one.Return < p.Call
	}
	switch {
	case p.What != history.PutKey && p.What != history.GetKey && p.What != history.AskKey:
	case p.Told == history.ToldForgotten && !wanted:
		return "nobody wanted that"
	case p.What == history.PutKey && p.Told == history.ToldOK && gone:
		return "most members had forgotten"
	case p.What == history.GetKey && p.Told == history.ToldOK && gone:
		return "most members had forgotten"
	case p.What == history.AskKey && p.Told == history.ToldOK && own:
		return p.Member + " had said that it has forgotten"
	case p.What != history.PutKey && p.Told == history.ToldOK && !put:
		return "nobody has put such a key"
	case p.What == history.GetKey && p.Told == history.ToldNone && acknowledged && !wanted && p.Return < ps.lost:
		return "most members had it"
	}
	return ""
}
