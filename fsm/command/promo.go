package command

import (
	"crypto/sha256"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// PromoOf gives the hash by which a promotion code is known: case and space around it do not matter. It keeps codes
// out of descriptions, logs and feeds; who has the hash can still try all short codes, so what is worth much needs a
// long one.
func PromoOf(code string) holdfast.PromoCode {
	sum := sha256.Sum256([]byte("holdfast promotion\x00" + strings.ToUpper(strings.TrimSpace(code))))
	return holdfast.PromoCode(sum[:16])
}
