package fsm

import (
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestOrphans names seats under the rule against orphans. Where they are refused, instead is drawn with * for the
// seats that may be named; where they are allowed there is none.
func TestOrphans(t *testing.T) {
	for _, c := range []struct {
		rule           string
		rows           []string
		named, instead []string
	}{
		{"none left alone", []string{"......"}, []string{"**...."}, nil},
		{"alone at the row's end", []string{"......"}, []string{".**..."}, []string{"**...."}},
		{"alone at both ends", []string{"......"}, []string{".****."}, []string{"****.."}},
		{"alone beside a taken seat", []string{"h......."}, []string{"..**...."}, []string{"h**....."}},
		{"alone beside a blocked seat", []string{"b......."}, []string{"..**...."}, []string{"b**....."}},
		{"alone between two that were named", []string{"......"}, []string{"*.*..."}, []string{"**...."}},
		{"two apart, two seats between", []string{"......"}, []string{"*..*.."}, nil},
		{"alone before, and still", []string{".s...."}, []string{"..**.."}, nil},
		{"cannot be helped: every choice leaves one", []string{"s...s"}, []string{".**.."}, nil},
		{"can be helped elsewhere in the row", []string{"...s..s"}, []string{"**....."}, []string{"...s**s"}},
		{"only the row is looked at", []string{"...", "...."}, []string{"**.", "...."}, nil},
		{"one seat of three: the middle leaves two alone, an end none", []string{"s...s"}, []string{"..*.."}, []string{"s*..s"}},
		{"one seat of two leaves one, always", []string{"s..s"}, []string{".*.."}, nil},
		{"a free seat of others is company", []string{"a......."}, []string{"..**...."}, nil},
		{"a free seat of others may not be left alone", []string{"sa......"}, []string{"..**...."}, []string{"sa.**..."}},
		{"what is offered is of the same allocation", []string{"...aa"}, []string{".**.."}, []string{"**..."}},
		{"own seats are free: between them and the end", []string{"oo..s"}, []string{".**.."}, []string{"**..."}},
		{"own seats that are kept", []string{"oo...s"}, []string{"***..."}, nil},
		{"two rows, one at fault: both are offered", []string{"....", "......"}, []string{"**..", ".**..."}, []string{"**..", "**...."}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := drawHouse(t, c.rows...)
			a := &ask{own: d.own, noOrphans: true, wants: []command.Want{{Kind: command.WantSeats, Seats: starred(c.named...)}}}
			want := holdfast.OK
			if c.instead != nil {
				want = holdfast.SeatOrphaned
			}
			var got choice
			o := got.choose(d.v, a)
			if o != want {
				t.Fatalf("got %s, want %s", o, want)
			}
			got.explain(d.v, a, o)
			if want := starred(c.instead...); !slices.Equal(got.near, want) {
				t.Errorf("offered %v, want %v", got.near, want)
			}
			if o != holdfast.OK {
				again := &ask{own: d.own, noOrphans: true, wants: []command.Want{{Kind: command.WantSeats, Seats: got.near}}}
				if o := new(choice).choose(d.v, again); o != holdfast.OK {
					t.Errorf("what is offered is refused: %s", o)
				}
			}
			a.noOrphans = false
			if o := got.choose(d.v, a); o != holdfast.OK {
				t.Errorf("without the rule: %s", o)
			}
			if wrong := d.v.check(); len(wrong) > 0 {
				t.Error(wrong)
			}
		})
	}
}

func TestBestKeepsToTheRuleAgainstOrphans(t *testing.T) {
	for _, c := range []struct {
		rule       string
		rows, best []string
		n          uint8
	}{
		{"off the middle", []string{"......."}, []string{"*****.."}, 5},
		{"of two as near the lower number", []string{"....."}, []string{"**..."}, 2},
		{"in another run of the row", []string{"..s...s"}, []string{"**s...s"}, 2},
		{"but not in another row", []string{"...", "...."}, []string{"**.", "...."}, 2},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := drawHouse(t, c.rows...)
			a := bestOf(c.n, true)
			var got choice
			if o := got.choose(d.v, a); o != holdfast.OK {
				t.Fatal(o)
			}
			if want := starred(c.best...); !slices.Equal(got.units, want) {
				t.Errorf("chose %v, want %v", got.units, want)
			}
		})
	}
}
