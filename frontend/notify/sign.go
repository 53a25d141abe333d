package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a notification.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// sign gives the signatures of a notification, one for each secret.
func sign(secrets [][]byte, id string, at time.Time, body []byte) string {
	var all []string
	for _, secret := range secrets {
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(signature(secret, id, strconv.FormatInt(at.Unix(), 10), body)))
	}
	return strings.Join(all, " ")
}

func signature(secret []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return mac.Sum(nil)
}

// Tolerance is how far a notification's timestamp may be from the receiver's clock.
const Tolerance = 5 * time.Minute

// Verify is what a receiver does: it tells whether a notification was signed with the secret (whsec_…), and lately. The
// id tells whether it came before.
func Verify(secret string, header http.Header, body []byte, now time.Time) (id string, err error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return "", errors.New("the secret is no secret of a webhook")
	}
	id, timestamp := header.Get(headerID), header.Get(headerTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > Tolerance {
		return "", errors.New("the timestamp is missing, or too far away")
	}
	want := signature(key, id, timestamp, body)
	for one := range strings.FieldsSeq(header.Get(headerSignature)) {
		encoded, ok := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(encoded)
		if ok && err == nil && hmac.Equal(got, want) {
			return id, nil
		}
	}
	return "", errors.New("no signature is right")
}
