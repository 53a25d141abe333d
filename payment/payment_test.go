package payment_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

func TestKeysSurviveBeingPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := payment.Key{
			Cluster: rapid.StringMatching(`[a-zA-Z0-9._-]{1,64}`).Draw(t, "cluster"), Incarnation: holdfast.Incarnation(rapid.Uint32().Draw(t, "incarnation")),
			Event: holdfast.EventID(rapid.Uint32().Draw(t, "event")), Hold: holdfast.HoldID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hold")),
			Attempt: holdfast.Attempt(rapid.Uint32().Draw(t, "attempt")),
		}
		if got, err := payment.ParseKey(k.String()); err != nil || got != k {
			t.Fatalf("%s came back as %s: %v", k, got, err)
		}
		if n := len(k.String()); n > 200 {
			t.Fatalf("%d bytes leave too little of an idempotency key's 255", n)
		}
	})
}

func TestAKeyHasOneSpelling(t *testing.T) {
	const hold = "hold_000102030405060708090a0b0c0d0e0f"
	if _, err := payment.ParseKey("main:1:evt_7:" + hold + ":1"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"", "main:1:evt_7:" + hold, ":1:evt_7:" + hold + ":1", "ma in:1:evt_7:" + hold + ":1", "main:01:evt_7:" + hold + ":1", "main:1:evt_07:" + hold + ":1",
		"main:1:7:" + hold + ":1", "main:1:evt_7:" + hold + ":+1", "main:1:evt_7:" + hold + ":4294967296", "main:1:evt_7:" + strings.ToUpper(hold) + ":1",
		"main:1:evt_7:" + hold + ":1:2", strings.Repeat("x", 65) + ":1:evt_7:" + hold + ":1",
	} {
		if k, err := payment.ParseKey(s); payment.KindOf(err) != payment.Invalid {
			t.Errorf("%q is %v, %v", s, k, err)
		}
	}
}

func TestASecretIsNeverSeen(t *testing.T) {
	const text = "sk_live_of_the_shop"
	s := payment.Hide(text)
	encoded, err := json.Marshal(map[string]any{"secret": s, "inside": payment.Payment{ClientSecret: s}})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", s, "payment", payment.Payment{ClientSecret: s})
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", payment.Payment{ClientSecret: s}, &s, []payment.Secret{s}),
		string(encoded), logged.String(),
	} {
		if strings.Contains(shown, "of_the_shop") || strings.Contains(shown, fmt.Sprintf("%x", "of_the_shop")) || !strings.Contains(shown, "***") {
			t.Errorf("shown as %s", shown)
		}
	}
	if s.Reveal() != text {
		t.Error("the secret cannot be used")
	}
}

func TestSecretsComeFromAFileOrTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := write("open", "sk_test_file\n")
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PAYMENT_TEST_SECRET", "sk_test_env")
	for _, c := range []struct{ file, variable, want string }{
		{write("good", "sk_test_file\n"), "PAYMENT_TEST_SECRET", "sk_test_file"},
		{"", "PAYMENT_TEST_SECRET", "sk_test_env"},
		{"", "PAYMENT_TEST_NOTHING", ""},
		{open, "PAYMENT_TEST_SECRET", ""},
		{write("empty", "\n"), "PAYMENT_TEST_SECRET", ""},
		{write("two", "sk_test_a\nsk_test_b\n"), "", ""},
		{write("large", strings.Repeat("x", 5000)), "", ""},
		{filepath.Join(dir, "none"), "PAYMENT_TEST_SECRET", ""},
	} {
		got, err := payment.ReadSecret(c.file, c.variable)
		if got.Reveal() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("file %q, variable %q: %q, %v", c.file, c.variable, got.Reveal(), err)
		}
		if err != nil && strings.Contains(err.Error(), "sk_test") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestAmountsThatCanBeCharged(t *testing.T) {
	for _, c := range []struct {
		amount   int64
		currency holdfast.Currency
		decimals int
		ok       bool
	}{
		{50, "eur", 2, true}, {49, "eur", 2, false}, {0, "eur", 2, false}, {-50, "eur", 2, false}, {99_999_999, "eur", 2, true}, {100_000_000, "eur", 2, false},
		{30, "gbp", 2, true}, {29, "gbp", 2, false}, {17_500, "huf", 2, true}, {17_499, "huf", 2, false}, {200_000_000, "huf", 2, true},
		{50, "jpy", 0, true}, {49, "jpy", 0, false}, {1, "krw", 0, true}, {1, "isk", 0, true},
		{10, "kwd", 3, true}, {5_120, "kwd", 3, true}, {5_124, "kwd", 3, false}, {0, "kwd", 3, false},
		{1, "zar", 2, true}, {100, "EUR", 0, false}, {100, "", 0, false}, {100, "euro", 0, false},
	} {
		m := holdfast.Money{AmountMinor: c.amount, Currency: c.currency}
		if err := payment.CheckAmount(m); (err == nil) != c.ok {
			t.Errorf("%v: %v", m, err)
		}
		if got := payment.Decimals(c.currency); got != c.decimals {
			t.Errorf("%s has %d decimals, want %d", c.currency, got, c.decimals)
		}
	}
}

func TestErrorsAreAskedByKind(t *testing.T) {
	names := map[string]bool{}
	for _, k := range payment.Kinds() {
		err := fmt.Errorf("while settling: %w", &payment.Error{Kind: k, Op: "capture", Err: os.ErrDeadlineExceeded})
		if !errors.Is(err, k) || payment.KindOf(err) != k || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v is not found in %v", k, err)
		}
		for _, other := range payment.Kinds() {
			if other != k && errors.Is(err, other) {
				t.Errorf("%v is also %v", k, other)
			}
		}
		names[k.String()] = true
	}
	if len(names) != len(payment.Kinds()) {
		t.Errorf("two kinds have one name: %v", names)
	}
	if payment.KindOf(errors.New("x")) != payment.Unknown || payment.KindOf(nil) != 0 {
		t.Error("an error of no kind may have happened; nil did not")
	}
}

func TestOldTriesHaveToLook(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for first, want := range map[time.Time]bool{{}: true, now: false, now.Add(-19 * time.Hour): false, now.Add(-20 * time.Hour): true, now.Add(-30 * time.Hour): true} {
		if got := payment.MustLook(first, now); got != want {
			t.Errorf("first tried %v: %v", first, got)
		}
	}
}
