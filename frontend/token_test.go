package frontend

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

var noon = time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)

func someToken(t *testing.T) (token, *signer, []byte) {
	t.Helper()
	by, err := newSigner(noon)
	if err != nil {
		t.Fatal(err)
	}
	return token{Event: 7, Number: 41, Position: noPosition, Index: 3, State: tokenWaiting, Key: holdfast.PlaceKey{1, 2, 3}, Path: [][32]byte{{4}, {5}}},
		by, Secret{9}.key(forPolls, 7)
}

func TestATokenSaysWhatItWasMadeFor(t *testing.T) {
	tk, by, key := someToken(t)
	text := tk.issue(key, by, noon)
	got, err := openToken(text, key, 7)
	if err != nil {
		t.Fatal(err)
	}
	if got.Number != 41 || got.Index != 3 || got.Key != tk.Key || len(got.Path) != 2 || got.Path[1] != tk.Path[1] || got.Position != noPosition || got.Signer != by.id {
		t.Errorf("read %+v", got)
	}
	if !got.fresh(noon.Add(tokenLife-time.Second)) || got.fresh(noon.Add(tokenLife)) {
		t.Error("it is not believed for exactly its life")
	}
	if got.due(noon.Add(tokenLife/2-time.Second)) || !got.due(noon.Add(tokenLife/2+time.Second)) {
		t.Error("it is not due in its second half")
	}
	if !verifySignature(text, by.public) {
		t.Error("its signature is not its maker's")
	}
	if len(text) > tokenTextMax {
		t.Errorf("%d characters, at most %d", len(text), tokenTextMax)
	}
}

// TestForgedTokensAreRefused: altered anywhere, of another event, of another fleet, cut, or not a token at all.
func TestForgedTokensAreRefused(t *testing.T) {
	tk, by, key := someToken(t)
	text := tk.issue(key, by, noon)
	for i := range strings.LastIndexByte(text, '.') {
		b := []byte(text)
		if b[i]++; b[i] == '.'+1 {
			b[i] = 'x'
		}
		if _, err := openToken(string(b), key, 7); err == nil {
			// The last character of a part has bits that mean nothing; what it says must be the same then.
			if got, _ := openToken(string(b), key, 7); got.Number != 41 || got.Key != tk.Key {
				t.Errorf("altered at %d it is believed", i)
			}
		}
	}
	for what, bad := range map[string]string{"empty": "", "a word": "token", "no MAC": strings.Join(strings.Split(text, ".")[:2], "."), "too long": text + strings.Repeat("A", tokenTextMax),
		"a part too many": text + ".AAAA", "another prefix": "hf2" + text[3:]} {
		if _, err := openToken(bad, key, 7); err == nil {
			t.Errorf("%s is believed", what)
		}
	}
	if _, err := openToken(text, Secret{9}.key(forPolls, 8), 8); err == nil {
		t.Error("it is believed for another event")
	}
	if _, err := openToken(text, key, 8); err == nil {
		t.Error("its audience is not looked at")
	}
	if _, err := openToken(text, Secret{10}.key(forPolls, 7), 7); err == nil {
		t.Error("it is believed by another fleet")
	}
	if _, err := openToken(text, Secret{9}.key(forCookies, 7), 7); err == nil {
		t.Error("a key of another purpose opens it")
	}
}

// TestASignatureIsNeverTakenFromTheToken: the algorithm and the key are not the token's to choose.
func TestASignatureIsNeverTakenFromTheToken(t *testing.T) {
	tk, by, key := someToken(t)
	text := tk.issue(key, by, noon)
	other, _ := newSigner(noon)
	if verifySignature(text, other.public) {
		t.Error("another key's signature is taken")
	}
	cut := text[:strings.LastIndexByte(text, '.')]
	if verifySignature(cut, by.public) || verifySignature(cut+".", by.public) {
		t.Error("no signature is taken for one")
	}
	if got, err := openToken(cut, key, 7); err != nil || got.Number != 41 {
		t.Error("without its signature it must still poll")
	}
	// A signature over something else by the same key is none over a token.
	payload := tk.append(nil)
	forged := tokenPrefix + b64.EncodeToString(payload) + "." + b64.EncodeToString(mac(nil, key, payload)) + "." + b64.EncodeToString(ed25519.Sign(by.private, payload))
	if verifySignature(forged, by.public) {
		t.Error("a signature without the domain is taken")
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	s := Secret{1, 2, 3}
	for _, shown := range []string{s.String(), s.GoString()} {
		if strings.Contains(shown, "1") {
			t.Errorf("it shows as %q", shown)
		}
	}
	a, b := s.key(forPolls, 1), s.key(forPolls, 2)
	if string(a) == string(b) || string(a) == string(s.key(forWork, 1)) || string(a) != string(s.key(forPolls, 1)) {
		t.Error("keys are not one for each purpose and event")
	}
}
