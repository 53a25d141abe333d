package person_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/person"
)

var (
	anna  = person.Person{Mail: "Anna@example.org", Name: "Anna Ångström"}
	event = holdfast.EventID(7)
	hold  = holdfast.HoldID{1, 2, 3}
)

func vault(t *testing.T) (*person.Vault, *client.Client, *clienttest.Cluster) {
	cluster := clienttest.New(t, clienttest.Config{})
	c := cluster.Client()
	return person.NewVault(person.RandomMasters(), c), c, cluster
}

func TestWhatIsSealedOpensWhereItBelongsAndNowhereElse(t *testing.T) {
	v, c, _ := vault(t)
	ctx := t.Context()
	blob, err := v.Seal(ctx, event, hold, anna)
	if err != nil {
		t.Fatal(err)
	}
	if len(blob) > holdfast.PersonBytesMax || bytes.Contains(blob, []byte("example")) {
		t.Errorf("the blob is %q", blob)
	}
	if got, err := v.Open(ctx, event, hold, blob); err != nil || got != anna {
		t.Errorf("it opens as %q %q, %v", got.Mail, got.Name, err)
	}
	if _, err := v.Open(ctx, event+1, hold, blob); err == nil {
		t.Error("it opens at another event")
	}
	if _, err := v.Open(ctx, event, holdfast.HoldID{9}, blob); err == nil {
		t.Error("it opens at another hold")
	}
	for i := range blob {
		changed := bytes.Clone(blob)
		changed[i] ^= 1
		if _, err := v.Open(ctx, event, hold, changed); err == nil {
			t.Fatalf("it opens with byte %d changed", i)
		}
	}
	if _, err := person.NewVault(person.RandomMasters(), c).Open(ctx, event, hold, blob); err == nil {
		t.Error("it opens under another master key")
	}
	second, err := v.Seal(ctx, event, hold, anna)
	if err != nil || bytes.Equal(second, blob) {
		t.Errorf("the same person was encrypted to the same bytes: %v", err)
	}
}

func TestForgettingMakesEveryCopyUnreadable(t *testing.T) {
	v, c, _ := vault(t)
	ctx := t.Context()
	var copies [][]byte
	for _, mail := range []string{"ana@example.org", "anna@example.org"} { // the first had a slip in it
		blob, err := v.Seal(ctx, event, hold, person.Person{Mail: mail})
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, blob)
	}
	other, err := v.Seal(ctx, event, holdfast.HoldID{8}, anna)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := c.ForgetPersons(ctx, []holdfast.HoldID{hold}); err != nil || !f.Complete() {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, blob := range copies {
		if _, err := v.Open(ctx, event, hold, blob); !errors.Is(err, holdfast.ErrForgotten) {
			t.Errorf("a copy opens with %v", err)
		}
	}
	if _, err := v.Seal(ctx, event, hold, anna); !errors.Is(err, holdfast.ErrForgotten) {
		t.Errorf("a forgotten hold takes somebody anew: %v", err)
	}
	if _, err := v.Open(ctx, event, holdfast.HoldID{8}, other); err != nil {
		t.Errorf("somebody else was forgotten too: %v", err)
	}
}

func TestAMasterKeyCanBeReplaced(t *testing.T) {
	line := func(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	cluster := clienttest.New(t, clienttest.Config{})
	at := func(lines ...string) *person.Vault {
		file := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(file, []byte("# keys\n\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := person.ReadMasters(file)
		if err != nil {
			t.Fatal(err)
		}
		return person.NewVault(m, cluster.Client())
	}
	old, both, wrong := at(line(1)), at(line(1), line(2)), at(line(2))
	blob, err := old.Seal(t.Context(), event, hold, anna)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open(t.Context(), event, hold, blob); err != nil || got != anna {
		t.Errorf("after the change it opens with %v", err)
	}
	newer, err := both.Seal(t.Context(), event, hold, anna)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open(t.Context(), event, hold, newer); err == nil {
		t.Error("the new key was not used")
	}
	if _, err := wrong.Open(t.Context(), event, hold, blob); err == nil {
		t.Error("it opens without the key that wrapped it")
	}
	for _, same := range []string{strings.Repeat("01", 32), strings.Repeat("\x01", 32)} { // in hex, and as it is
		m, err := person.ParseMasters([]byte(same))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := person.NewVault(m, cluster.Client()).Open(t.Context(), event, hold, blob); err != nil || got != anna {
			t.Errorf("the same key written as %q opens with %v", same, err)
		}
	}
	if old.Contact(event, "a@b.c") != both.Contact(event, "a@b.c") {
		t.Error("after the change people are not found by their address any more")
	}
	for _, bad := range []string{"", "short", line(1) + "\n" + line(1), strings.Repeat("x", 100_000)} {
		if _, err := person.ParseMasters([]byte(bad)); err == nil || (len(bad) > 20 && strings.Contains(err.Error(), bad[:20])) {
			t.Errorf("%.20q gave %v", bad, err)
		}
	}
}

func TestAContactIsOfOneEventAndOfOnePerson(t *testing.T) {
	v := person.NewVault(person.RandomMasters(), nil)
	c := v.Contact(event, "anna@example.org")
	if c != v.Contact(event, " ANNA@Example.org ") {
		t.Error("capitals make another person")
	}
	if c == v.Contact(event+1, "anna@example.org") || c == v.Contact(event, "anne@example.org") {
		t.Error("two contacts are the same")
	}
	if v.Contact(event, "nobody") != (holdfast.ContactID{}) || c == (holdfast.ContactID{}) {
		t.Error("what is no address has a contact, or what is one has none")
	}
	if other := person.NewVault(person.RandomMasters(), nil); other.Contact(event, "anna@example.org") == c {
		t.Error("the hash has no key")
	}
}

func TestAPersonNeverShows(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "person", anna, "pointer", &anna, "inside", struct{ P person.Person }{anna}, "masters", person.RandomMasters())
	fmt.Fprintf(&out, "%v %+v %#v %s %q %v %+v\n", anna, anna, anna, anna, &anna, []person.Person{anna}, struct{ P person.Person }{anna})
	if b, err := json.Marshal(anna); err == nil {
		out.Write(b)
	}
	if strings.Contains(out.String(), "example") || strings.Contains(out.String(), "Ångström") {
		t.Errorf("it shows: %s", out.String())
	}
	_, err := person.Clean(person.Person{Mail: "not an address of anna"})
	if !errors.Is(err, holdfast.Invalid) || strings.Contains(err.Error(), "anna") {
		t.Errorf("the refusal repeats what was given: %v", err)
	}
}

func TestOnlyPlausiblePeopleAreTaken(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, mail := range []string{"", "a", "@b.c", "a@", "a@b@c", "a b@c.d", "a@b\r\nBcc: c@d.e", "a@b..c", ".a@b.c", "a.@b.c", "a,b@c.d",
		"Anna <a@b.c>", "a@-b.c", long + "@b.c", "a@" + long + ".c", "a@b.c\x00", "a\u202e@b.c"} {
		if _, err := person.Clean(person.Person{Mail: mail}); err == nil {
			t.Errorf("%q was taken", mail)
		}
	}
	for _, mail := range []string{"a@b", "anna+tickets@mail.example.org", "ünï@exämple.org", " a@b.c "} {
		if p, err := person.Clean(person.Person{Mail: mail}); err != nil || p.Mail != strings.TrimSpace(mail) {
			t.Errorf("%q was refused: %v", mail, err)
		}
	}
	for _, name := range []string{long, "a\nb", "a\x00b", "a\u202eb"} {
		if _, err := person.Clean(person.Person{Mail: "a@b.c", Name: name}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

func TestWhateverIsTakenFitsABlobAndComesBack(t *testing.T) {
	v, _, _ := vault(t)
	hold := holdfast.HoldID{}
	rapid.Check(t, func(t *rapid.T) {
		p := person.Person{Mail: rapid.StringN(1, 60, 64).Draw(t, "local") + "@example.org", Name: rapid.StringN(0, 200, 200).Draw(t, "name")}
		p, err := person.Clean(p)
		if err != nil {
			t.Skip("not a person")
		}
		hold[0]++
		hold[1] += hold[0] / 255
		blob, err := v.Seal(t.Context(), event, hold, p)
		if err != nil || len(blob) > holdfast.PersonBytesMax {
			t.Fatalf("%d bytes, %v", len(blob), err)
		}
		if got, err := v.Open(t.Context(), event, hold, blob); err != nil || got != p {
			t.Fatalf("%q came back as %q, %v", p.Name, got.Name, err)
		}
	})
}

// anyKey gives the same key for whatever is asked for.
type anyKey struct{ kept holdfast.PersonKey }

func (k *anyKey) PutPersonKey(_ context.Context, kept holdfast.PersonKey) error {
	k.kept = kept
	return nil
}

func (k *anyKey) PersonKey(context.Context, holdfast.HoldID, [holdfast.PersonSaltBytes]byte) (holdfast.PersonKey, error) {
	return k.kept, nil
}

func FuzzOpen(f *testing.F) {
	v := person.NewVault(person.RandomMasters(), &anyKey{})
	blob, err := v.Seal(f.Context(), event, hold, anna)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add(blob[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := v.Open(t.Context(), event, hold, b); err == nil && p != anna {
			t.Errorf("%x opens as somebody else", b)
		}
	})
}
