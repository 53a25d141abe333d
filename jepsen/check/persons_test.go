package check

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// private is a history of one person whose key is put, read, and forgotten by two members of three, then by all.
func private() *history.History {
	h := &history.History{}
	add := func(what, value, told string) *history.Private {
		at := time.Duration(len(h.Privates)+1) * 10 * ms
		h.Privates = append(h.Privates, history.Private{Client: 1, What: what, Hold: id(1), Key: "k", Value: value, Call: at, Return: at + ms, Told: told})
		return &h.Privates[len(h.Privates)-1]
	}
	forget := func(members ...string) {
		p := add(history.ForgetKey, "", "")
		p.Confirmed, p.Members = members, 3
	}
	add(history.GetKey, "", history.ToldNone)
	add(history.PutKey, "v", history.ToldOK)
	add(history.GetKey, "v", history.ToldOK)
	add(history.WriteBlob, "b", "")
	add(history.ReadBlob, "b", "")
	forget("n1", "n2")
	add(history.AskKey, "v", history.ToldOK).Member = "n3" // it has not heard of it
	add(history.GetKey, "", history.ToldForgotten)
	add(history.PutKey, "v", history.ToldForgotten)
	forget("n1", "n2", "n3")
	add(history.AskKey, "", history.ToldForgotten).Member = "n3"
	add(history.WriteBlob, "", "")
	add(history.ReadBlob, "", "")
	return h
}

func TestAPrivateHistoryPasses(t *testing.T) {
	for _, v := range Persons(private()) {
		t.Error(v)
	}
}

func TestEveryMutationOfAPrivateHistoryIsCaught(t *testing.T) {
	for _, c := range []struct {
		name, check string
		mutate      func(p []history.Private)
	}{
		{"a key that is lost", "persons", func(p []history.Private) { p[2].Told, p[2].Value = history.ToldNone, "" }},
		{"a key that is another", "persons", func(p []history.Private) { p[2].Value = "w" }},
		{"a key before it was put", "persons", func(p []history.Private) { p[0].Told, p[0].Value = history.ToldOK, "v" }},
		{"a key that nobody wanted to be forgotten", "persons", func(p []history.Private) { p[2].Told = history.ToldForgotten }},
		{"a key that is told after most have forgotten", "persons", func(p []history.Private) { p[7].Told, p[7].Value = history.ToldOK, "v" }},
		{"a key that comes back", "persons", func(p []history.Private) { p[8].Told = history.ToldOK }},
		{"a member that remembers", "persons", func(p []history.Private) { p[6].Member = "n2" }},
		{"a member that remembers after all have forgotten", "persons", func(p []history.Private) { p[10].Told, p[10].Value = history.ToldOK, "v" }},
		{"a person whom the shard does not forget", "linearizable", func(p []history.Private) { p[12].Value = "b" }},
		{"a person whom the shard has lost", "linearizable", func(p []history.Private) { p[4].Value = "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := private()
			c.mutate(h.Privates)
			found := Persons(h)
			for _, v := range found {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not caught by %s; found: %v", c.check, found)
		})
	}
}

// Who lost a disk may have been one of those who had it: only what was read before is held against them.
func TestAKeyMayBeMissedWhileALostDiskIsFilledAgain(t *testing.T) {
	h := private()
	h.Privates[2].Told, h.Privates[2].Value = history.ToldNone, ""
	h.Faults = []history.Fault{{Destroys: true, From: h.Privates[1].Return}}
	for _, v := range Persons(h) {
		t.Error(v)
	}
}

// A member that had confirmed lost its disk, and the last one has not heard of it: between the two nobody knows any more.
func TestWhatOnlyMostHaveForgottenMayBeToldAfterALostDisk(t *testing.T) {
	h := private()
	h.Privates[7].Told, h.Privates[7].Value = history.ToldOK, "v"
	h.Faults = []history.Fault{{Destroys: true, From: h.Privates[5].Return}}
	for _, v := range Persons(h) {
		t.Error(v)
	}
	h = private()
	last := h.Privates[len(h.Privates)-1]
	last.What, last.Value, last.Told, last.Call, last.Return = history.GetKey, "v", history.ToldOK, last.Return+ms, last.Return+2*ms
	h.Privates, h.Faults = append(h.Privates, last), []history.Fault{{Destroys: true, From: last.Call - ms}}
	if len(Persons(h)) == 0 {
		t.Error("a key is told that all members have forgotten")
	}
}
