package command_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestResultsSurviveTheRoundTrip: a machine's output, cut at its ends, decodes to the results that went in, into
// one Result that is used again, as a client does.
func TestResultsSurviveTheRoundTrip(t *testing.T) {
	var used command.Result
	var out command.Output
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(result), 0, 5).Draw(t, "results")
		out.Reset()
		for i := range want {
			out.Add(&want[i])
		}
		rest, begin := out.Results, uint32(0)
		for i := range want {
			packed := rest
			var err error
			if rest, err = command.DecodeResult(rest, &used); err != nil {
				t.Fatal(err)
			}
			packed = packed[:len(packed)-len(rest)]
			if !sameResult(&used, &want[i]) {
				t.Fatalf("decoded\n%+v\nfrom\n%+v", used, want[i])
			}
			if again := used.Append(nil); !bytes.Equal(again, packed) {
				t.Fatalf("encoded again it differs:\n%x\n%x", again, packed)
			}
			if !bytes.Equal(out.Results[begin:out.Ends[i]], packed) {
				t.Fatalf("slot %d ends at %d, not where its result ends", i, out.Ends[i])
			}
			begin = out.Ends[i]
		}
		if len(rest) != 0 || len(out.Ends) != len(want) {
			t.Fatalf("%d results, %d ends, %d bytes left", len(want), len(out.Ends), len(rest))
		}
	})
}

// sameResult compares as the wire does: an empty list is an absent one.
func sameResult(a, b *command.Result) bool {
	x, y := *a, *b
	same := slices.Equal(x.Seats, y.Seats) && slices.Equal(x.Taken, y.Taken) && slices.Equal(x.Near, y.Near)
	x.Seats, x.Taken, x.Near, y.Seats, y.Taken, y.Near = nil, nil, nil, nil, nil, nil
	return same && reflect.DeepEqual(x, y)
}

func TestThePackedResultIsPinned(t *testing.T) {
	r := command.Result{Outcome: holdfast.SeatSold, Repeated: true, Hold: holdfast.HoldID{0xD0, 15: 0xD1}, Deadline: 1,
		Amount: holdfast.Money{AmountMinor: 2, Currency: "eur"}, Seats: []holdfast.SeatIndex{3, 4}, Attempt: 5, Taken: []holdfast.SeatIndex{6},
		Near: []holdfast.SeatIndex{7}, Allowance: 8, RetryAfterMs: 9, Event: 10, Shard: 11, Version: 12, Place: 13, Position: 14, Served: 15, Session: 16}
	const want = "6500" + "29" + "ffff0100" + "d00000000000000000000000000000d1" + "0100000000000000" + "0200000000000000657572" + "02" + "03000000" + "04000000" +
		"05000000" + "01" + "06000000" + "01" + "07000000" + "0800" + "09000000" + "0a000000" + "0b000000" + "0c000000" + "0d000000" + "0e000000" + "0f000000" + "1000000000000000"
	if got := hex.EncodeToString(r.Append(nil)); got != want {
		t.Errorf("the packed result changed its form:\n got %s\nwant %s", got, want)
	}
	r = command.Result{Outcome: holdfast.OK}
	if got := hex.EncodeToString(r.Append(nil)); got != "05000100000000" {
		t.Errorf("an empty result is packed as %s", got)
	}
}

// TestResultsHaveOneForm: what says nothing may not be there, and nothing may be missing or left over.
func TestResultsHaveOneForm(t *testing.T) {
	for name, packed := range map[string]string{
		"nothing":                        "",
		"length cut off":                 "03",
		"shorter than the least":         "040001000000",
		"longer than what is there":      "06000100000000",
		"no outcome":                     "05000000000000",
		"a bit of a newer server":        "05000100000200",
		"field cut off":                  "0600010001000000",
		"bytes left over":                "0600010000000000",
		"a hold of zeros":                "15000102000000" + "00000000000000000000000000000000",
		"a deadline of zero":             "0d000104000000" + "0000000000000000",
		"a negative amount":              "10000108000000" + "ffffffffffffffff657572",
		"a currency in upper case":       "10000108000000" + "0100000000000000455552",
		"an empty list of seats":         "06000110000000" + "00",
		"attempt zero":                   "09000120000000" + "00000000",
		"an empty list of taken seats":   "06000140000000" + "00",
		"an empty list of near seats":    "06000180000000" + "00",
		"65 seats, and as many as said":  "0a01011000000041" + hex.EncodeToString(make([]byte, 65*4)),
		"a seat beyond any event":        "0a000110000000" + "01" + "00002000",
		"an allowance of zero":           "07000100010000" + "0000",
		"to be tried again after 0 ms":   "09000100020000" + "00000000",
		"event zero":                     "09000100040000" + "00000000",
		"shard zero":                     "09000100080000" + "00000000",
		"place zero":                     "09000100200000" + "00000000",
		"position zero":                  "09000100400000" + "00000000",
		"served zero":                    "09000100800000" + "00000000",
		"a session of zero":              "0d000100000100" + "0000000000000000",
		"version zero":                   "09000100100000" + "00000000",
		"more seats than there are":      "0a000110000000" + "02" + "01000000",
		"a second field that is missing": "0d000106000000" + "0100000000000000",
	} {
		b, err := hex.DecodeString(packed)
		if err != nil {
			t.Fatal(err)
		}
		var r command.Result
		if _, err := command.DecodeResult(b, &r); err == nil {
			t.Errorf("%s: %s was read as %+v", name, packed, r)
		} else if f := fieldOf(err); f == "" {
			t.Errorf("%s: no field in %v", name, err)
		}
	}
}

func TestTheLargestResultFits(t *testing.T) {
	all := make([]holdfast.SeatIndex, command.ResultSeatsMax)
	r := command.Result{Outcome: holdfast.OK, Hold: holdfast.HoldID{1}, Deadline: 1, Amount: holdfast.Money{Currency: "eur"}, Seats: all, Taken: all, Near: all,
		Attempt: 1, Allowance: 1, RetryAfterMs: 1, Event: 1, Shard: 1, Version: 1, Place: 1, Position: 1, Served: 1, Session: 1}
	var back command.Result
	if rest, err := command.DecodeResult(r.Append(nil), &back); err != nil || len(rest) != 0 || !sameResult(&r, &back) {
		t.Errorf("%+v: %v", back, err)
	}
}
