package page

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
)

// funcs are what the templates can call: how numbers, money and times are said.
func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"asset":  func(name string) string { return p.assets.urls[name] },
		"money":  money,
		"count":  count,
		"clock":  clock,
		"span":   span,
		"wait":   wait,
		"utc":    utc,
		"rfc":    rfc,
		"plural": plural,
		"letter": letter,
		"hue":    func(i holdfast.TierIndex) int { return int(i) % hues },
		"image":  image,
		"intent": func(secret string) string { id, _, _ := strings.Cut(secret, "_secret_"); return id },
		"fields": fieldsOf,
		"venue":  layout,
		"add":    func(a, b uint32) uint64 { return uint64(a) + uint64(b) },
		"any":    func(i holdfast.SectionIndex) bool { return i == holdfast.AnySection },
		"anyTier": func(i holdfast.TierIndex) bool {
			return i == holdfast.AnyTier
		},
		"upto": upTo,
	}
}

// exponents lists the currencies whose minor unit is not a hundredth (ISO 4217).
var exponents = map[holdfast.Currency]int{
	"bif": 0, "clp": 0, "djf": 0, "gnf": 0, "jpy": 0, "kmf": 0, "krw": 0, "mga": 0, "pyg": 0, "rwf": 0, "ugx": 0, "vnd": 0, "vuv": 0, "xaf": 0, "xof": 0, "xpf": 0,
	"bhd": 3, "jod": 3, "kwd": 3, "omr": 3, "tnd": 3,
}

var signs = map[holdfast.Currency]string{"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥"}

// money says an amount as buyers read it: €12.50, ¥1,200, CHF 12.50.
func money(m holdfast.Money) string {
	exponent, odd := exponents[m.Currency]
	if !odd {
		exponent = 2
	}
	minus, digits := "", strconv.FormatInt(m.AmountMinor, 10)
	if m.AmountMinor < 0 {
		minus, digits = "−", digits[1:]
	}
	for len(digits) <= exponent {
		digits = "0" + digits
	}
	whole, part := grouped(digits[:len(digits)-exponent]), digits[len(digits)-exponent:]
	if exponent > 0 {
		whole += "." + part
	}
	if sign, known := signs[m.Currency]; known {
		return minus + sign + whole
	}
	if m.Currency == "" {
		return minus + whole
	}
	return minus + strings.ToUpper(string(m.Currency)) + "\u00a0" + whole
}

// count groups a number's digits: 12,345.
func count(n any) string {
	digits := fmt.Sprint(n)
	if minus, rest, ok := strings.Cut(digits, "-"); ok && minus == "" {
		return "−" + grouped(rest)
	}
	return grouped(digits)
}

func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// clock says a remaining time as on a clock: 4:59, 1:02:03. It rounds down: a page never promises more.
func clock(ms int64) string {
	s := max(0, ms/1000)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// span says a remaining time in words, to its larger unit or two: 3 days, 2 hours 5 minutes, 40 seconds.
func span(ms int64) string {
	s := max(0, ms/1000)
	switch {
	case s >= 2*86400:
		return plural(s/86400, "day", "days")
	case s >= 3600 && s/60%60 != 0:
		return plural(s/3600, "hour", "hours") + " " + plural(s/60%60, "minute", "minutes")
	case s >= 3600:
		return plural(s/3600, "hour", "hours")
	case s >= 60:
		return plural(s/60, "minute", "minutes")
	}
	return plural(s, "second", "seconds")
}

// wait says a range of waiting time, rounded up to whole minutes, or that it is not known.
func wait(low, high int64) string {
	if high <= 0 {
		return "unknown"
	}
	minutes := func(ms int64) int64 { return (ms + 59_999) / 60_000 }
	from, to := minutes(low), minutes(high)
	switch {
	case to <= 1:
		return "about a minute or less"
	case from == to:
		return "about " + span(to*60_000)
	case to < 60:
		return fmt.Sprintf("%d to %d minutes", max(1, from), to)
	}
	return span(from*60_000) + " to " + span(to*60_000)
}

// plural says a number with its noun.
func plural(n any, one, many string) string {
	if fmt.Sprint(n) == "1" {
		return "1 " + one
	}
	return count(n) + " " + many
}

// utc and rfc say an instant for people and for the element time, which the script puts into the visitor's own zone.
func utc(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 January 2006, 15:04 UTC") }
func rfc(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// letter is a tier's sign on the map, so that colour alone tells nothing: A to Z, then A1 and so on.
func letter(i holdfast.TierIndex) string {
	sign := string(rune('A' + i%26))
	if i >= 26 {
		sign += strconv.Itoa(int(i / 26))
	}
	return sign
}

// image puts an SVG document into an address of its own: shown by img, nothing in it runs.
func image(svg []byte) template.URL {
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg))
}

// upTo gives 1 to n, for the options of a number.
func upTo(n int) []int {
	list := make([]int, 0, max(0, n))
	for i := 1; i <= n; i++ {
		list = append(list, i)
	}
	return list
}

// fieldsOf hands several values to a template that takes one: fields "name" value "name" value.
func fieldsOf(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("fields: a name without a value")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("fields: %v is not a name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// hues is how many colours tiers have in the style sheet; the ninth tier has the first's colour and its own letter.
const hues = 8
