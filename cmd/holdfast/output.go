package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Answers are printed as tables for people and as JSON for programs: one document, snake_case, money as amount_minor
// and currency, durations as integers in _ms, ids with their prefix, states as words. Fields are only ever added.

// The formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml" // the event file; only where a command says so
)

// yamlOK marks commands that can print YAML.
const yamlOK = "holdfast/yaml"

func (a *app) checkFormat(cmd *cobra.Command) error {
	switch {
	case a.format == formatTable, a.format == formatJSON, a.format == formatYAML && cmd.Annotations[yamlOK] != "":
		return nil
	}
	given := a.format
	a.format = formatTable
	return usage(cmd, "--output is table or json, not %q", given)
}

// answer is what a command prints: itself as JSON, or as a table.
type answer interface {
	table(w io.Writer)
}

// print prints an answer in the format asked for.
func (a *app) print(v answer) error {
	if a.format == formatJSON {
		return printJSON(a.out, v)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	v.table(w)
	return w.Flush()
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printLine prints one of many answers, as a line of JSON.
func printLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// row writes cells of a table.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, c)
	}
	fmt.Fprintln(w)
}

// countsOut are units by state.
type countsOut struct {
	Capacity int `json:"capacity"`
	Free     int `json:"free"`
	Held     int `json:"held"`
	Paying   int `json:"paying"`
	Sold     int `json:"sold"`
	Blocked  int `json:"blocked"`
}

func countsOf(c client.Counts) countsOut {
	return countsOut{Capacity: c.Free + c.Held + c.Paying + c.Sold + c.Blocked, Free: c.Free, Held: c.Held, Paying: c.Paying, Sold: c.Sold, Blocked: c.Blocked}
}

// seatOut is one unit: its number, and what people call it.
type seatOut struct {
	Seat  holdfast.SeatIndex `json:"seat"`
	Label string             `json:"label,omitempty"`
}

// seatsOf names units by a layout; without one they keep their numbers.
func seatsOf(layout *command.Layout, seats []holdfast.SeatIndex) []seatOut {
	out := make([]seatOut, len(seats))
	for i, s := range seats {
		out[i].Seat = s
		if layout != nil {
			out[i].Label = layout.Label(s)
		}
	}
	return out
}

func (s seatOut) String() string {
	if s.Label != "" {
		return s.Label
	}
	return fmt.Sprintf("unit %d", s.Seat)
}

// yesNo is a fact for people.
func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}
