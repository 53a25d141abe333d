package history

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// What Jepsen and Elle read: on every line one map with :index, :time, :process, :type, :f and :value; indices from 0, time
// that does not go back, and for every process an :invoke followed by the one :ok, :fail or :info that ends it.
func TestTheEDNIsAHistoryOfJepsens(t *testing.T) {
	var out strings.Builder
	h := everything()
	if err := h.EDN(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if want := 2 * (len(h.Operations) + len(h.Faults)); len(lines) != want {
		t.Fatalf("%d lines, want %d", len(lines), want)
	}
	invoked, before := map[any]map[any]any{}, int64(0)
	for i, line := range lines {
		value, rest, err := readEDN(line)
		event, isMap := value.(map[any]any)
		if err != nil || rest != "" || !isMap || len(event) != 6 {
			t.Fatalf("line %d: %v: %s", i, err, line)
		}
		at, timed := event[keyword("time")].(int64)
		if event[keyword("index")] != int64(i) || !timed || at < before {
			t.Errorf("line %d has index %v at %v, after %v", i, event[keyword("index")], at, before)
		}
		before = at
		process, kind := event[keyword("process")], event[keyword("type")]
		if _, is := event[keyword("f")].(keyword); !is || event[keyword("value")] == nil {
			t.Errorf("line %d: %s", i, line)
		}
		if process == keyword("nemesis") {
			if kind != keyword("info") {
				t.Errorf("line %d: a nemesis's %v", i, kind)
			}
			continue
		}
		if _, is := process.(int64); !is {
			t.Errorf("line %d: process %v", i, process)
		}
		switch kind {
		case keyword("invoke"):
			if invoked[process] != nil {
				t.Errorf("line %d: process %v asks again before it has its answer", i, process)
			}
			invoked[process] = event
		case keyword("ok"), keyword("fail"), keyword("info"):
			if began := invoked[process]; began == nil || began[keyword("f")] != event[keyword("f")] {
				t.Errorf("line %d: process %v is answered %v and asked %v", i, process, event, began)
			}
			delete(invoked, process)
		default:
			t.Errorf("line %d: type %v", i, kind)
		}
	}
	if len(invoked) != 0 {
		t.Errorf("%d operations never end", len(invoked))
	}
}

// keyword is one of EDN's.
type keyword string

// readEDN reads the value at the beginning of a text: of what EDN has, that which is written here.
func readEDN(s string) (value any, rest string, err error) {
	switch s = strings.TrimLeft(s, " ,"); {
	case s == "":
		return nil, "", fmt.Errorf("a value is missing")
	case s[0] == '{' || s[0] == '[':
		closing := map[byte]byte{'{': '}', '[': ']'}[s[0]]
		var all []any
		for rest = s[1:]; ; all = append(all, value) {
			if rest = strings.TrimLeft(rest, " ,"); rest != "" && rest[0] == closing {
				break
			}
			if value, rest, err = readEDN(rest); err != nil {
				return nil, "", err
			}
		}
		if closing == ']' {
			return all, rest[1:], nil
		}
		m := map[any]any{}
		for i := 0; i+1 < len(all); i += 2 {
			m[all[i]] = all[i+1]
		}
		if len(m)*2 != len(all) {
			return nil, "", fmt.Errorf("a map of %d values, %d keys", len(all), len(m))
		}
		return m, rest[1:], nil
	case s[0] == '"':
		quoted, err := strconv.QuotedPrefix(s)
		return strings.Trim(quoted, `"`), s[len(quoted):], err
	}
	end := strings.IndexAny(s+" ", " ,}]")
	word, rest := s[:end], s[end:]
	if name, is := strings.CutPrefix(word, ":"); is {
		if name == "" || strings.ContainsAny(name, `"{}[]();@^~\`) {
			return nil, "", fmt.Errorf("%q is no keyword", word)
		}
		return keyword(name), rest, nil
	}
	if word == "true" || word == "false" {
		return word == "true", rest, nil
	}
	n, err := strconv.ParseInt(word, 10, 64)
	return n, rest, err
}
