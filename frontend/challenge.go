package frontend

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
)

// A challenge makes joining cost something. It is decided before the line, never in the middle of it. A proof of work
// is bound to the event, to an epoch and to the place's key, so that work for one place is of no use for another, and
// work cannot be piled up before the line opens. Whoever has no JavaScript waits instead: a delay ticket says from when
// on the same key may join, and costs its owner time, which cannot be bought by the rack either.

const (
	// challengeEpoch is how long a challenge is good at least; it is taken in its own epoch and the next.
	challengeEpoch = 2 * time.Minute
	// delayPerBit is how long a delay ticket makes wait for each bit over delayFree: about what a phone takes for the work,
	// and several times that, so that the work stays the better way for who can do it.
	delayPerBit = 3 * time.Second
	delayFree   = 12
	delayMin    = 10 * time.Second
	// WorkBitsMax bounds what is asked of a phone: 2²⁴ hashes take it half a minute.
	WorkBitsMax = 24
)

func epochOf(now time.Time) int64 { return now.Unix() / int64(challengeEpoch/time.Second) }

// workValue is what a proof of work begins with, in hex: nobody can know it before the epoch, or for another key.
func workValue(key []byte, event holdfast.EventID, k holdfast.PlaceKey, epoch int64) string {
	msg := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32([]byte("work"), uint32(event)), uint64(epoch))
	return hex.EncodeToString(mac(nil, key, append(msg, k[:]...)))
}

// workDone reports whether SHA-256(value ":" answer) begins with so many zero bits.
func workDone(value, answer string, zeros int) bool {
	if answer == "" || len(answer) > 20 || strings.Trim(answer, "0123456789") != "" {
		return false
	}
	sum := sha256.Sum256([]byte(value + ":" + answer))
	return bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) >= zeros
}

// checkWork checks an answer to a challenge of this epoch or the one before.
func checkWork(key []byte, event holdfast.EventID, k holdfast.PlaceKey, now time.Time, value, answer string, zeros int) bool {
	for _, epoch := range []int64{epochOf(now), epochOf(now) - 1} {
		if subtle.ConstantTimeCompare([]byte(workValue(key, event, k, epoch)), []byte(value)) == 1 {
			return workDone(value, answer, zeros)
		}
	}
	return false
}

// delayOf is how long a delay ticket makes wait in place of so many bits of work.
func delayOf(zeros int) time.Duration {
	return max(delayMin, time.Duration(zeros-delayFree)*delayPerBit)
}

// delayTicket gives the ticket of a key that waits from now on: from when it is good, and a MAC.
func delayTicket(key []byte, event holdfast.EventID, k holdfast.PlaceKey, from time.Time) string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(from.UnixMilli()))
	return b64.EncodeToString(delayMAC(b, key, event, k))
}

func delayMAC(b, key []byte, event holdfast.EventID, k holdfast.PlaceKey) []byte {
	msg := binary.LittleEndian.AppendUint32([]byte("delay"), uint32(event))
	return mac(b, key, msg, b[:8], k[:])
}

// delayLife is how long a delay ticket is good once it is.
const delayLife = 10 * time.Minute

// checkDelay says how long the ticket has to wait still; false when it is not a ticket of this key, or too old.
func checkDelay(key []byte, event holdfast.EventID, k holdfast.PlaceKey, now time.Time, ticket string) (left time.Duration, ok bool) {
	raw, err := b64.DecodeString(ticket)
	if err != nil || len(raw) != 8+macBytes {
		return 0, false
	}
	want := delayMAC(append(make([]byte, 0, 8+macBytes), raw[:8]...), key, event, k)
	from := time.UnixMilli(int64(binary.LittleEndian.Uint64(raw)))
	if subtle.ConstantTimeCompare(raw, want) != 1 || now.After(from.Add(delayLife)) {
		return 0, false
	}
	return max(0, from.Sub(now)), true
}

// CaptchaConfig is a captcha provider. What the widget gives the browser is verified by one POST to VerifyURL with
// secret, response and remoteip, answered by {"success": true}: the form that hCaptcha, Turnstile and reCAPTCHA share.
type CaptchaConfig struct {
	VerifyURL string
	Secret    string // from a file; never printed
	SiteKey   string
	Script    string // the widget's script; its origin is allowed by the page's policy
	Class     string // of the element that it fills, as "h-captcha"
	Client    *http.Client
}

const (
	captchaPatience = 5 * time.Second
	captchaBytesMax = 64 << 10
)

// verify asks the provider. A provider that does not answer is a failure, not a no: the visitor is told to try again.
func (c *CaptchaConfig) verify(ctx context.Context, response, address string) (bool, error) {
	if response == "" || len(response) > 8<<10 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, captchaPatience)
	defer cancel()
	form := url.Values{"secret": {c.Secret}, "response": {response}, "remoteip": {address}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.VerifyURL, strings.NewReader(form.Encode()))
	if err != nil {
		return false, captchaDown(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := c.client().Do(r)
	if err != nil {
		return false, captchaDown(err)
	}
	defer answer.Body.Close()
	var verdict struct {
		Success bool `json:"success"`
	}
	if answer.StatusCode != http.StatusOK {
		return false, captchaDown(fmt.Errorf("status %d", answer.StatusCode))
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, captchaBytesMax)).Decode(&verdict); err != nil {
		return false, captchaDown(err)
	}
	return verdict.Success, nil
}

func (c *CaptchaConfig) client() *http.Client {
	if c.Client != nil {
		return c.Client
	}
	return http.DefaultClient
}

func captchaDown(err error) error {
	return fmt.Errorf("%w: %w", errChallengeDown, err)
}

var (
	errChallengeDown  = &refusal{http.StatusServiceUnavailable, "challenge_unavailable", "who checks the challenge does not answer; you have no place yet: try again", "challenge", 2 * time.Second}
	errChallengeOpen  = &refusal{http.StatusForbidden, "challenge_required", "this event asks for a challenge before the line; you have no place yet: fetch the challenge, answer it, join again", "challenge", 0}
	errChallengeWrong = &refusal{http.StatusForbidden, "challenge_failed", "the answer to the challenge is wrong or too old; you have no place yet: fetch a new one", "challenge", 0}
)
