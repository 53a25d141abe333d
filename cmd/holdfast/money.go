package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// decimalsOf are the currencies whose minor unit is not a hundredth (ISO 4217).
var decimalsOf = map[holdfast.Currency]int{
	"bif": 0, "clp": 0, "djf": 0, "gnf": 0, "isk": 0, "jpy": 0, "kmf": 0, "krw": 0, "pyg": 0, "rwf": 0, "ugx": 0, "vnd": 0, "vuv": 0,
	"xaf": 0, "xof": 0, "xpf": 0,
	"bhd": 3, "iqd": 3, "jod": 3, "kwd": 3, "lyd": 3, "omr": 3, "tnd": 3,
}

func decimals(c holdfast.Currency) int {
	if n, ok := decimalsOf[c]; ok {
		return n
	}
	return 2
}

// parsePrice reads a price as people write it: 49 or 49.00 for eur, 5000 for jpy. A price has no decimals or all of
// its currency's: 49.5 may be a slip for 49.05 or 49.50, so it is refused.
func parsePrice(text string, currency holdfast.Currency) (minor int64, err error) {
	want := decimals(currency)
	whole, fraction, dotted := strings.Cut(text, ".")
	if dotted && (want == 0 || len(fraction) != want) {
		return 0, fmt.Errorf("%q: %s", text, decimalsHint(currency))
	}
	if !dotted {
		fraction = strings.Repeat("0", want)
	}
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a price like %s", text, formatMinor(4900, currency))
	}
	minor, err = strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil || minor > command.PriceMinorMax {
		return 0, fmt.Errorf("%q is more than a seat may cost", text)
	}
	return minor, nil
}

func decimalsHint(c holdfast.Currency) string {
	if c == "" {
		c = "the currency"
	}
	if n := decimals(c); n > 0 {
		return fmt.Sprintf("%s has %d decimals: write all of them, or none", c, n)
	}
	return fmt.Sprintf("%s has no decimals", c)
}

// formatMinor is parsePrice's inverse.
func formatMinor(minor int64, currency holdfast.Currency) string {
	if minor < 0 {
		return "-" + formatMinor(-minor, currency)
	}
	n := decimals(currency)
	digits := fmt.Sprintf("%0*d", n+1, minor)
	if n == 0 {
		return digits
	}
	return digits[:len(digits)-n] + "." + digits[len(digits)-n:]
}

// formatMoney is an amount for people: 49.00 EUR.
func formatMoney(m holdfast.Money) string {
	return formatMinor(m.AmountMinor, m.Currency) + " " + strings.ToUpper(string(m.Currency))
}
