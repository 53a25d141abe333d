package stripe

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/payment"
)

// FuzzParseHint takes whatever somebody signed who knows the secret: it is a hint that can be used as it is, or refused.
func FuzzParseHint(f *testing.F) {
	files, err := filepath.Glob("testdata/webhooks/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures: ", err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	client, err := New(Config{Key: payment.Hide("sk_test_1"), WebhookSecrets: []payment.Secret{payment.Hide(webhookSecret)}, AnyVersion: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := client.ParseHint(body, signed(body, webhookSecret, time.Now()))
		switch {
		case err != nil && h != payment.Hint{}:
			t.Fatalf("refused, and yet a hint: %+v, %v", h, err)
		case err != nil, h.Kind == payment.HintNone && h.Payment == "":
		case checkRef("", h.Payment) != nil, h.Kind == payment.HintNone:
			t.Fatalf("the hint is %+v", h)
		}
		if !h.Key.IsZero() && h.Key.Check() != nil {
			t.Fatalf("the hint's key is %+v", h.Key)
		}
	})
}
