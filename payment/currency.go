package payment

import (
	"fmt"

	"github.com/holdfast-db/holdfast"
)

// currencyRule is what a provider asks of amounts in a currency.
type currencyRule struct {
	decimals uint8 // digits behind the point: an amount of holdfast counts units of the last
	minimum  int64 // the least that can be charged, in minor units; 0: none is stated
	maximum  int64 // the most, in minor units; 0: amountMax
	step     int64 // amounts are multiples of it; 0: of 1
}

// amountMax is Stripe's general limit: eight digits.
const amountMax = 99_999_999

// currencies holds what Stripe states for cards (docs.stripe.com/currencies, 2026): the currencies without decimals,
// those with three of which the last must be 0, the least charge where one is stated, and higher limits. What is not
// listed has two decimals, no stated minimum, and eight digits.
var currencies = map[holdfast.Currency]currencyRule{
	"aed": {decimals: 2, minimum: 200}, "aud": {decimals: 2, minimum: 50}, "bgn": {decimals: 2, minimum: 100},
	"brl": {decimals: 2, minimum: 50}, "cad": {decimals: 2, minimum: 50}, "chf": {decimals: 2, minimum: 50},
	"czk": {decimals: 2, minimum: 1500}, "dkk": {decimals: 2, minimum: 250}, "eur": {decimals: 2, minimum: 50},
	"gbp": {decimals: 2, minimum: 30}, "hkd": {decimals: 2, minimum: 400}, "huf": {decimals: 2, minimum: 17500, maximum: 9_999_999_999},
	"inr": {decimals: 2, minimum: 50, maximum: 999_999_999}, "mxn": {decimals: 2, minimum: 1000}, "myr": {decimals: 2, minimum: 200},
	"nok": {decimals: 2, minimum: 300}, "nzd": {decimals: 2, minimum: 50}, "pln": {decimals: 2, minimum: 200},
	"ron": {decimals: 2, minimum: 200}, "sek": {decimals: 2, minimum: 300}, "sgd": {decimals: 2, minimum: 50},
	"thb": {decimals: 2, minimum: 1000}, "usd": {decimals: 2, minimum: 50},
	"cop": {decimals: 2, maximum: 9_999_999_999}, "idr": {decimals: 2, maximum: 999_999_999_999}, "lbp": {decimals: 2, maximum: 999_999_999_999},

	"jpy": {minimum: 50, maximum: 9_999_999_999},
	"bif": {}, "clp": {}, "djf": {}, "gnf": {}, "kmf": {}, "krw": {}, "mga": {}, "pyg": {}, "rwf": {}, "vnd": {}, "vuv": {},
	"xaf": {}, "xof": {}, "xpf": {}, "isk": {}, "ugx": {},

	"bhd": {decimals: 3, step: 10}, "jod": {decimals: 3, step: 10}, "kwd": {decimals: 3, step: 10},
	"omr": {decimals: 3, step: 10}, "tnd": {decimals: 3, step: 10},
}

// rule gives what holds for a currency, and whether its name has the form of one.
func rule(c holdfast.Currency) (currencyRule, bool) {
	if len(c) != 3 {
		return currencyRule{}, false
	}
	for _, letter := range []byte(c) {
		if letter < 'a' || letter > 'z' {
			return currencyRule{}, false
		}
	}
	r, listed := currencies[c]
	if !listed {
		r = currencyRule{decimals: 2}
	}
	if r.maximum == 0 {
		r.maximum = amountMax
	}
	r.step = max(r.step, 1)
	return r, true
}

// Decimals is how many digits of an amount stand behind the point: 0, 2 or 3.
func Decimals(c holdfast.Currency) int {
	r, _ := rule(c)
	return int(r.decimals)
}

// Minimum is the least that can be charged, in minor units. A smaller amount that is not zero cannot be paid.
func Minimum(c holdfast.Currency) int64 {
	r, _ := rule(c)
	return max(r.minimum, r.step)
}

// CheckAmount refuses an amount that no payment can be made for.
func CheckAmount(m holdfast.Money) error {
	r, ok := rule(m.Currency)
	bad := func(format string, args ...any) error {
		return &Error{Kind: Invalid, Op: "check amount", Message: m.String() + " cannot be charged: " + fmt.Sprintf(format, args...)}
	}
	switch least := Minimum(m.Currency); {
	case !ok:
		return bad("a currency has three lower-case letters")
	case m.AmountMinor < least:
		return bad("the least is %d", least)
	case m.AmountMinor > r.maximum:
		return bad("the most is %d", r.maximum)
	case m.AmountMinor%r.step != 0:
		return bad("amounts in this currency are multiples of %d", r.step)
	}
	return nil
}
