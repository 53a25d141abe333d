package yamlfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	for _, c := range []struct{ text, refused string }{
		{"name: one\n", ""},
		{"nmae: one\n", "nmae"},
		{"name: [\n", "yaml"},
		{"name: " + strings.Repeat("x", 100), "it has 106 bytes, and may have 64"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var v struct{ Name string }
		err := Read(path, 64, &v)
		switch {
		case c.refused == "" && (err != nil || v.Name != "one"):
			t.Errorf("%q gives %+v, %v", c.text, v, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%q is refused with %v, want %q in it", c.text, err, c.refused)
		}
	}
	if err := Read(path+"x", 64, &struct{}{}); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}
