package ticket_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"rsc.io/qr"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/frontend/ticket"
)

func signer(t testing.TB, b byte) *ticket.Signer {
	t.Helper()
	s, err := ticket.NewSigner(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func door(t testing.TB, signers ...*ticket.Signer) *ticket.Door {
	t.Helper()
	d, err := ticket.NewDoor()
	for _, s := range signers {
		d, err = ticket.NewDoor(s.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var example = ticket.Ticket{Event: 7, Order: holdfast.OrderID{1, 2, 3}, Seat: 4711, Serial: 2}

// The code of a ticket is printed and kept for months: it must not change.
func TestACodeStaysAsItWas(t *testing.T) {
	const want = "HFTAE" // version 1 in base32, then the key's id
	code := signer(t, 1).Code(example)
	if !strings.HasPrefix(code, want) || len(code) != 155 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("the code is %s, %d characters", code, len(code))
	}
	if code != signer(t, 1).Code(example) {
		t.Error("a ticket has two codes")
	}
	const pinned = "HFTAE2HKD4YA4AAAAABAIBQAAAAAAAAAAAAAAAAAAAAM4JAAAACADQQETWFRLUB3QWEYCDSEJUYMRDAR3PUHXF2C3R2OHQZO6XCW3CLXNRWNUW6W3APYMAJ2JS7NCZZPLEFWHODDGEPHN2REODEOQE4V2YB"
	if code != pinned {
		t.Errorf("the code is\n%s, and was\n%s", code, pinned)
	}
}

func TestWhateverIsSignedIsReadAtTheDoor(t *testing.T) {
	s := signer(t, 1)
	d := door(t, s)
	rapid.Check(t, func(t *rapid.T) {
		want := ticket.Ticket{Event: holdfast.EventID(rapid.Uint32().Draw(t, "event")), Seat: holdfast.SeatIndex(rapid.Uint32().Draw(t, "seat")), Serial: rapid.Uint16().Draw(t, "serial")}
		copy(want.Order[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "order"))
		code := s.Code(want)
		for _, typed := range []string{code, " " + strings.ToLower(code) + "\n"} {
			if got, err := d.Check(typed); err != nil || got != want {
				t.Fatalf("%v was read as %v, %v", want, got, err)
			}
		}
	})
}

func TestNothingElseIsTakenAtTheDoor(t *testing.T) {
	s := signer(t, 1)
	code, d := s.Code(example), door(t, s)
	if _, err := door(t, signer(t, 2)).Check(code); !errors.Is(err, ticket.ErrUnknownKey) {
		t.Errorf("another shop's door gave %v", err)
	}
	for i := 3; i < len(code); i++ {
		for _, c := range []byte("A7") {
			changed := []byte(code)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			if got, err := d.Check(string(changed)); err == nil {
				t.Fatalf("with %c at %d it is the ticket %v", c, i, got)
			}
		}
	}
	for _, text := range []string{"", "HFT", code[:len(code)-1], code + "A", code[3:], "ZZZ" + code[3:], strings.Repeat("A", 155), "https://example.org"} {
		if _, err := d.Check(text); !errors.Is(err, ticket.ErrNoTicket) {
			t.Errorf("%.20q gave %v", text, err)
		}
	}
}

func TestKeysCanBeReplaced(t *testing.T) {
	old, next := signer(t, 1), signer(t, 2)
	d, err := ticket.NewDoor(old.Public(), next.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*ticket.Signer{old, next} {
		if got, err := d.Check(s.Code(example)); err != nil || got != example {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := ticket.NewDoor(old.Public(), old.Public()); err == nil {
		t.Error("the same key twice")
	}
	if _, err := ticket.NewDoor(old.Public()[:31]); err == nil {
		t.Error("half a key")
	}
	if _, err := ticket.NewSigner([]byte("short")); err == nil {
		t.Error("a short seed")
	}
	if shown := fmt.Sprintf("%v %+v %#v %x", old, old, old, old); strings.Contains(shown, "01") {
		t.Errorf("the key shows: %s", shown)
	}
}

func TestCodesAreGivenOutOnlyWhileTheOrderIsPaid(t *testing.T) {
	s := signer(t, 1)
	order := statement.Statement{Event: 7, Order: holdfast.OrderID{9}, State: holdfast.OrderPaid,
		Seats: []statement.Seat{{Unit: 3, Label: "Stalls, row A, seat 4", Live: true}, {Unit: 4, Label: "refunded"}}}
	codes, err := s.Codes(order)
	if err != nil || len(codes) != 1 || codes[0].Seat != 3 || codes[0].Label != "Stalls, row A, seat 4" {
		t.Errorf("a paid order has %+v, %v", codes, err)
	}
	if got, err := door(t, s).Check(codes[0].Code); err != nil || got != codes[0].Ticket {
		t.Errorf("the door reads %v, %v", got, err)
	}
	for _, state := range []holdfast.OrderState{0, holdfast.OrderCapturing, holdfast.OrderUnpaid, holdfast.OrderRefunded, holdfast.OrderCancelled} {
		order.State = state
		if codes, err := s.Codes(order); !errors.Is(err, ticket.ErrNotValid) || len(codes) != 0 {
			t.Errorf("%s gave %v, %v", state, codes, err)
		}
	}
	order.State, order.Disputed = holdfast.OrderPaid, true
	if codes, err := s.Codes(order); !errors.Is(err, ticket.ErrNotValid) || len(codes) != 0 {
		t.Errorf("a disputed order gave %v, %v", codes, err)
	}
}

// The picture is drawn again from its path and compared, module by module, with the code.
func TestThePictureIsTheCode(t *testing.T) {
	code := signer(t, 1).Code(example)
	var out bytes.Buffer
	if err := ticket.WriteSVG(&out, code, `Row "A" <1> & more`); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(out.Bytes())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("it is no XML: %v\n%s", err, out.String())
		}
	}
	want, err := qr.Encode(code, qr.Q)
	if err != nil {
		t.Fatal(err)
	}
	side := want.Size + 8
	if !strings.Contains(out.String(), fmt.Sprintf(`viewBox="0 0 %d %d"`, side, side)) {
		t.Errorf("its border is not 4 modules: %.200s", out.String())
	}
	black := map[[2]int]bool{}
	for _, m := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(out.String(), -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		n, _ := strconv.Atoi(m[3])
		if m[3] != m[4] {
			t.Fatalf("a bar that does not close: %s", m[0])
		}
		for i := range n {
			black[[2]int{x + i, y}] = true
		}
	}
	for y := range side {
		for x := range side {
			if black[[2]int{x, y}] != want.Black(x-4, y-4) {
				t.Fatalf("the module at %d, %d is wrong", x, y)
			}
		}
	}
	if err := ticket.WriteSVG(io.Discard, strings.Repeat("A", 513), ""); err == nil {
		t.Error("a code that is too long was drawn")
	}
}

func FuzzDoor(f *testing.F) {
	s := signer(f, 1)
	d := door(f, s)
	f.Add(s.Code(example))
	f.Add("HFT")
	f.Fuzz(func(t *testing.T, code string) {
		if got, err := d.Check(code); err == nil && s.Code(got) != strings.ToUpper(strings.TrimSpace(code)) {
			t.Errorf("%q is a second code of %v", code, got)
		}
	})
}
