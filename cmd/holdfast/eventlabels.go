package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// Labels of rows and sections come in runs: A-Z, 101-124, AA-AD. These are the short forms of the event file.

// labelsMax bounds what one short form stands for.
const labelsMax = command.RowsMax

// expandLabels reads labels separated by commas, each one a label or a run of them.
func expandLabels(text string) ([]string, error) {
	var labels []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		from, to, run := strings.Cut(part, "-")
		if !run {
			if part == "" {
				return nil, fmt.Errorf("%q has an empty label", text)
			}
			labels = append(labels, part)
			continue
		}
		more, err := expandRun(strings.TrimSpace(from), strings.TrimSpace(to))
		if err != nil {
			return nil, err
		}
		if labels = append(labels, more...); len(labels) > labelsMax {
			return nil, fmt.Errorf("%q stands for more than %d labels", text, labelsMax)
		}
	}
	return labels, nil
}

// expandRun counts from one label to another: numbers as 1-20 or 01-20, letters as A-Z or Y-AC (after Z comes AA).
func expandRun(from, to string) ([]string, error) {
	for _, s := range labelSequences {
		first, ok1 := s.number(from)
		last, ok2 := s.number(to)
		if !ok1 || !ok2 {
			continue
		}
		if last < first || last-first >= labelsMax {
			return nil, fmt.Errorf("%s-%s does not count up, or too far", from, to)
		}
		labels := make([]string, 0, last-first+1)
		for n := first; n <= last; n++ {
			labels = append(labels, s.label(n, len(from)))
		}
		return labels, nil
	}
	return nil, fmt.Errorf("%s-%s is not a run of numbers, as 1-20, or of letters, as A-Z", from, to)
}

// labelSequence is a way of counting: label(number(x), len(x)) is x.
type labelSequence struct {
	number func(label string) (int, bool)
	label  func(n, width int) string
}

var labelSequences = []labelSequence{
	{numberOfDigits, func(n, width int) string { return fmt.Sprintf("%0*d", width, n) }},
	{func(s string) (int, bool) { return numberOfLetters(s, 'A') }, func(n, _ int) string { return lettersOf(n, 'A') }},
	{func(s string) (int, bool) { return numberOfLetters(s, 'a') }, func(n, _ int) string { return lettersOf(n, 'a') }},
}

func numberOfDigits(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && strings.Trim(s, "0123456789") == ""
}

// numberOfLetters counts A=1 … Z=26, AA=27 ….
func numberOfLetters(s string, first byte) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < first || c > first+25 || len(s) > 4 {
			return 0, false
		}
		n = n*26 + int(c-first) + 1
	}
	return n, s != ""
}

func lettersOf(n int, first byte) string {
	var b []byte
	for ; n > 0; n = (n - 1) / 26 {
		b = append([]byte{first + byte((n-1)%26)}, b...)
	}
	return string(b)
}

// labelRun gives how many of the labels, from the first on, one run stands for, and its short form.
func labelRun(labels []string) (n int, text string) {
	for _, s := range labelSequences {
		first, ok := s.number(labels[0])
		if !ok {
			continue
		}
		for n = 1; n < min(len(labels), labelsMax); n++ {
			if number, ok := s.number(labels[n]); !ok || number != first+n || labels[n] != s.label(number, len(labels[0])) {
				break
			}
		}
		if n > 1 {
			return n, labels[0] + "-" + labels[n-1]
		}
	}
	return 1, labels[0]
}

// numberRange is numbers From to To, both included.
type numberRange struct{ From, To uint32 }

// parseRange reads 12 or 5-28.
func parseRange(text string) (numberRange, error) {
	from, to, run := strings.Cut(text, "-")
	if !run {
		to = from
	}
	a, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 31)
	b, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 31)
	if err1 != nil || err2 != nil || a > b {
		return numberRange{}, fmt.Errorf("%q is not a number or a range like 5-28", text)
	}
	return numberRange{uint32(a), uint32(b)}, nil
}

// parseRanges reads ranges separated by commas.
func parseRanges(text string) ([]numberRange, error) {
	var ranges []numberRange
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func (r numberRange) String() string {
	if r.From == r.To {
		return strconv.FormatUint(uint64(r.From), 10)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}
