package frontend

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

func solve(value string, zeros int) string {
	for n := 0; ; n++ {
		if answer := strconv.Itoa(n); workDone(value, answer, zeros) {
			return answer
		}
	}
}

// TestWorkIsBoundToEventEpochAndKey: work for one place is of no use for another, for another event, or later.
func TestWorkIsBoundToEventEpochAndKey(t *testing.T) {
	secret := Secret{1}.key(forWork, 7)
	const zeros = 8
	value := workValue(secret, 7, key(1), epochOf(noon))
	answer := solve(value, zeros)
	if !checkWork(secret, 7, key(1), noon, value, answer, zeros) || !checkWork(secret, 7, key(1), noon.Add(challengeEpoch), value, answer, zeros) {
		t.Fatal("good work is refused")
	}
	for what, ok := range map[string]bool{
		"another key":   checkWork(secret, 7, key(2), noon, value, answer, zeros),
		"another event": checkWork(secret, 8, key(1), noon, value, answer, zeros),
		"too late":      checkWork(secret, 7, key(1), noon.Add(2*challengeEpoch), value, answer, zeros),
		"own value":     checkWork(secret, 7, key(1), noon, "00", solve("00", zeros), zeros),
		"too little":    checkWork(secret, 7, key(1), noon, value, answer, 40),
		"no number":     checkWork(secret, 7, key(1), noon, value, "x"+answer, zeros),
		"another fleet": checkWork(Secret{2}.key(forWork, 7), 7, key(1), noon, value, answer, zeros),
	} {
		if ok {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestADelayTicketIsGoodAfterItsTime(t *testing.T) {
	secret := Secret{1}.key(forWork, 7)
	ticket := delayTicket(secret, 7, key(1), noon.Add(time.Minute))
	if left, ok := checkDelay(secret, 7, key(1), noon, ticket); !ok || left != time.Minute {
		t.Errorf("at once: %v %v", left, ok)
	}
	if left, ok := checkDelay(secret, 7, key(1), noon.Add(time.Minute), ticket); !ok || left != 0 {
		t.Errorf("in time: %v %v", left, ok)
	}
	for what, check := range map[string]func() bool{
		"another key": func() bool { _, ok := checkDelay(secret, 7, key(2), noon.Add(time.Minute), ticket); return ok },
		"too late":    func() bool { _, ok := checkDelay(secret, 7, key(1), noon.Add(time.Hour), ticket); return ok },
		"an earlier time": func() bool {
			raw, _ := b64.DecodeString(ticket)
			raw[0]--
			_, ok := checkDelay(secret, 7, key(1), noon, b64.EncodeToString(raw))
			return ok
		},
		"nonsense": func() bool { _, ok := checkDelay(secret, 7, key(1), noon, "!"); return ok },
	} {
		if check() {
			t.Errorf("%s is taken", what)
		}
	}
	if delayOf(24) <= delayOf(20) || delayOf(1) < delayMin {
		t.Error("more work is not more delay")
	}
}

func TestACaptchaIsVerifiedByItsProvider(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.PostFormValue("secret") != "s3" || r.PostFormValue("remoteip") != "192.0.2.7":
			w.WriteHeader(http.StatusBadRequest)
		case r.PostFormValue("response") == "human":
			_, _ = w.Write([]byte(`{"success": true}`))
		case r.PostFormValue("response") == "broken":
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = w.Write([]byte(`{"success": false}`))
		}
	}))
	defer provider.Close()
	c := &CaptchaConfig{VerifyURL: provider.URL, Secret: "s3"}
	for response, want := range map[string]bool{"human": true, "robot": false, "": false} {
		if ok, err := c.verify(t.Context(), response, "192.0.2.7"); ok != want || err != nil {
			t.Errorf("%q: %v %v", response, ok, err)
		}
	}
	if ok, err := c.verify(t.Context(), "broken", "192.0.2.7"); ok || err == nil {
		t.Errorf("a provider that does not answer decided %v %v", ok, err)
	}
}
