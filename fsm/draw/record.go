package draw

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/holdfast-db/holdfast"
)

// Record is everything public about a draw: who has it can recompute the order with no access to the cluster. Before
// the draw Drawn is false, and it has neither secret nor seed.
//
// Its JSON form is what the page recomputes from. Names and meaning are stable; hashes, keys and signatures are in
// lower-case hex, instants in Unix milliseconds.
type Record struct {
	Format int              // 1
	Event  holdfast.EventID // as a number in JSON

	// What was told before anybody joined.
	Commitment Hash
	DrawMs     int64           // the cut-off that was announced; 0: by hand
	Beacon     holdfast.Beacon // Kind BeaconNone: the secret alone
	FallbackMs uint32          // after how long a missing round is done without
	OpenedMs   int64           // when it was told

	// Who takes part.
	FrozenMs int64  // 0: not yet
	Cohort   uint32 // N
	Chain    Hash   // R, over the headers of the cohort
	Headers  []Header

	// What the order was drawn from.
	Drawn    bool
	DrawnMs  int64
	Secret   Revealed
	Round    *holdfast.BeaconRound // nil: none, or Fallback
	Fallback bool                  // the round did not come in time, and was done without
	Seed     Hash
}

// Revealed is a secret that is none any more.
type Revealed [32]byte

// Format is the version of a record.
const Format = 1

// Fault is why a record does not prove what it says: Field is what is wrong.
type Fault struct {
	Field   string
	Message string
}

func (f *Fault) Error() string { return "draw: " + f.Field + ": " + f.Message }

func fault(field, format string, args ...any) error {
	return &Fault{field, fmt.Sprintf(format, args...)}
}

// Verify recomputes a draw from its record: nil says that the order is what follows from the commitment, from those
// who had joined, and from the round of the beacon.
func Verify(r *Record) error {
	if r.Format != Format {
		return fault("format", "%d, this program knows %d", r.Format, Format)
	}
	if err := verifyCohort(r); err != nil {
		return err
	}
	if !r.Drawn {
		return fault("drawn", "the line is not drawn yet")
	}
	if r.DrawnMs < r.FrozenMs {
		return fault("drawn_ms", "drawn before it was frozen")
	}
	secret := holdfast.LineSecret(r.Secret)
	if Commitment(r.Event, secret) != r.Commitment {
		return fault("secret", "it is not what was committed to")
	}
	if err := verifyRound(r); err != nil {
		return err
	}
	if Seed(secret, r.Chain, r.Cohort, r.Round) != r.Seed {
		return fault("seed", "another follows from secret, headers and round")
	}
	return nil
}

// verifyCohort looks that the headers are those that the chain was made of.
func verifyCohort(r *Record) error {
	switch {
	case r.FrozenMs == 0:
		return fault("frozen_ms", "the line is not frozen yet")
	case r.FrozenMs < r.DrawMs:
		return fault("frozen_ms", "frozen before the cut-off")
	case r.FrozenMs < r.OpenedMs:
		return fault("frozen_ms", "frozen before it was opened")
	}
	chain, next := Start(r.Event), uint64(0)
	for i := range r.Headers {
		h := &r.Headers[i]
		if uint64(h.Base) != next || h.Count == 0 || h.Count > holdfast.EnterPlacesMax {
			return fault("headers", "header %d has %d places from %d, expected from %d", i, h.Count, h.Base, next)
		}
		next += uint64(h.Count)
		chain = Extend(chain, h)
	}
	if next != uint64(r.Cohort) {
		return fault("cohort", "%d places in the headers, and %d took part", next, r.Cohort)
	}
	if chain != r.Chain {
		return fault("chain", "another follows from the headers")
	}
	return nil
}

func verifyRound(r *Record) error {
	if r.Beacon.Kind == holdfast.BeaconNone {
		if r.Round != nil || r.Fallback {
			return fault("round", "there is no beacon, and a round")
		}
		return nil
	}
	if r.Beacon.Kind != holdfast.BeaconChain || r.Beacon.PeriodMs == 0 {
		return fault("beacon", "a beacon of kind %d with a round every %d ms", r.Beacon.Kind, r.Beacon.PeriodMs)
	}
	want := RoundFor(&r.Beacon, r.FrozenMs)
	switch {
	case r.Fallback:
		if r.Round != nil {
			return fault("fallback", "the round was done without, and is there")
		}
		if r.DrawnMs < r.Beacon.RoundTimeMs(want)+int64(r.FallbackMs) {
			return fault("fallback", "the round was done without too early")
		}
		return nil
	case r.Round == nil:
		return fault("round", "it is missing")
	case r.Round.Round != want:
		return fault("round", "it is %d, and %d follows from the freeze", r.Round.Round, want)
	case !ValidRound(&r.Beacon, r.Round):
		return fault("round", "the beacon's holder did not sign it")
	}
	return nil
}

// VerifyPlace looks that a place takes part with a key, and gives its position. The record itself is for Verify.
func VerifyPlace(r *Record, number holdfast.PlaceNumber, key holdfast.PlaceKey, path []Hash) (holdfast.Position, error) {
	low, high := 0, len(r.Headers)
	for low < high { // the first header that begins after the number
		if mid := (low + high) / 2; r.Headers[mid].Base > number {
			high = mid
		} else {
			low = mid + 1
		}
	}
	if low == 0 {
		return 0, fault("place", "%d is in no header", number)
	}
	h := &r.Headers[low-1]
	if !Includes(h.Root, h.Count, uint32(number-h.Base), Leaf(r.Event, key), path) {
		return 0, fault("place", "the path does not lead from this key, as number %d, to the root of its header", number)
	}
	if !r.Drawn {
		return 0, fault("drawn", "the line is not drawn yet")
	}
	return Position(r.Seed, r.Cohort, number, key), nil
}

// The JSON form.

type recordJSON struct {
	Format     int          `json:"format"`
	Event      uint32       `json:"event"`
	Commitment string       `json:"commitment"`
	OpenedMs   int64        `json:"opened_ms"`
	DrawMs     int64        `json:"draw_ms"`
	Beacon     *beaconJSON  `json:"beacon,omitempty"`
	FrozenMs   int64        `json:"frozen_ms"`
	Cohort     uint32       `json:"cohort"`
	Chain      string       `json:"chain"`
	Headers    []headerJSON `json:"headers"`
	Drawn      bool         `json:"drawn"`
	DrawnMs    int64        `json:"drawn_ms,omitempty"`
	Secret     string       `json:"secret,omitempty"`
	Round      *roundJSON   `json:"round,omitempty"`
	Fallback   bool         `json:"fallback,omitempty"`
	Seed       string       `json:"seed,omitempty"`
}

type beaconJSON struct {
	Kind       string `json:"kind"` // chain
	PublicKey  string `json:"public_key"`
	GenesisMs  int64  `json:"genesis_ms"`
	PeriodMs   uint32 `json:"period_ms"`
	Round      uint64 `json:"round"`
	FallbackMs uint32 `json:"fallback_ms"`
}

type headerJSON struct {
	Base  uint32 `json:"base"`
	Count uint32 `json:"count"`
	Root  string `json:"root"`
}

type roundJSON struct {
	Round     uint64 `json:"round"`
	Previous  string `json:"previous"`
	Signature string `json:"signature"`
}

// MarshalJSON gives the JSON form.
func (r *Record) MarshalJSON() ([]byte, error) {
	j := recordJSON{Format: r.Format, Event: uint32(r.Event), Commitment: hex.EncodeToString(r.Commitment[:]), OpenedMs: r.OpenedMs, DrawMs: r.DrawMs,
		FrozenMs: r.FrozenMs, Cohort: r.Cohort, Chain: hex.EncodeToString(r.Chain[:]), Headers: make([]headerJSON, 0, len(r.Headers)), Drawn: r.Drawn}
	if b := &r.Beacon; b.Kind != holdfast.BeaconNone {
		j.Beacon = &beaconJSON{Kind: "chain", PublicKey: hex.EncodeToString(b.PublicKey[:]), GenesisMs: b.GenesisMs, PeriodMs: b.PeriodMs, Round: b.Round, FallbackMs: r.FallbackMs}
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		j.Headers = append(j.Headers, headerJSON{uint32(h.Base), h.Count, hex.EncodeToString(h.Root[:])})
	}
	if r.Drawn {
		j.DrawnMs, j.Secret, j.Seed, j.Fallback = r.DrawnMs, hex.EncodeToString(r.Secret[:]), hex.EncodeToString(r.Seed[:]), r.Fallback
		if r.Round != nil {
			j.Round = &roundJSON{r.Round.Round, hex.EncodeToString(r.Round.Previous[:]), hex.EncodeToString(r.Round.Signature[:])}
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads the JSON form. Whether it proves anything is for Verify to say.
func (r *Record) UnmarshalJSON(b []byte) error {
	var j recordJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	read := hexReader{}
	*r = Record{Format: j.Format, Event: holdfast.EventID(j.Event), OpenedMs: j.OpenedMs, DrawMs: j.DrawMs, FrozenMs: j.FrozenMs, Cohort: j.Cohort,
		Drawn: j.Drawn, DrawnMs: j.DrawnMs, Fallback: j.Fallback}
	read.into("commitment", j.Commitment, r.Commitment[:])
	read.into("chain", j.Chain, r.Chain[:])
	if len(j.Headers) > holdfast.EntersMax {
		return fault("headers", "%d, at most %d", len(j.Headers), holdfast.EntersMax)
	}
	for _, h := range j.Headers {
		header := Header{Base: holdfast.PlaceNumber(h.Base), Count: h.Count}
		read.into("headers", h.Root, header.Root[:])
		r.Headers = append(r.Headers, header)
	}
	if j.Beacon != nil {
		if j.Beacon.Kind != "chain" {
			return fault("beacon", "%q is not a kind of beacon that this program knows", j.Beacon.Kind)
		}
		r.Beacon = holdfast.Beacon{Kind: holdfast.BeaconChain, GenesisMs: j.Beacon.GenesisMs, PeriodMs: j.Beacon.PeriodMs, Round: j.Beacon.Round}
		r.FallbackMs = j.Beacon.FallbackMs
		read.into("beacon.public_key", j.Beacon.PublicKey, r.Beacon.PublicKey[:])
	}
	if j.Drawn {
		read.into("secret", j.Secret, r.Secret[:])
		read.into("seed", j.Seed, r.Seed[:])
		if j.Round != nil {
			r.Round = &holdfast.BeaconRound{Round: j.Round.Round}
			read.into("round.previous", j.Round.Previous, r.Round.Previous[:])
			read.into("round.signature", j.Round.Signature, r.Round.Signature[:])
		}
	}
	return read.err
}

// hexReader reads hex of a known length, and keeps the first error.
type hexReader struct{ err error }

func (h *hexReader) into(field, text string, to []byte) {
	b, err := hex.DecodeString(text)
	if h.err == nil && (err != nil || len(b) != len(to)) {
		h.err = fault(field, "%q is not %d bytes in hex", text, len(to))
		return
	}
	copy(to, b)
}
