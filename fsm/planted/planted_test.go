package planted

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryFaultIsPlanted looks for the sites in the product's code: each is of a fault in the list, and each fault of the
// list has one.
func TestEveryFaultIsPlanted(t *testing.T) {
	sites, constants := sites(t), constants(t)
	for _, d := range All() {
		name, ok := constants[d.Fault]
		if !ok || sites[name] == 0 {
			t.Errorf("%s is in the list and planted nowhere", d.Fault)
		}
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(string(d.Fault)) || !regexp.MustCompile(`^I([1-9]|1[01])$`).MatchString(d.Invariant) || d.What == "" {
			t.Errorf("%+v is not described", d)
		}
		delete(constants, d.Fault)
		delete(sites, name)
	}
	for fault := range constants {
		t.Errorf("%s is not in the list", fault)
	}
	for name := range sites {
		t.Errorf("planted.%s is not in the list", name)
	}
}

// sites counts the calls of Is in the product's code, by the name of the constant.
func sites(t *testing.T) map[string]int {
	call, found := regexp.MustCompile(`planted\.Is\((?:planted\.)?(\w+)\)`), map[string]int{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "fsm/planted/") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range call.FindAllSubmatch(source, -1) {
			found[string(m[1])]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// constants gives the name of every constant of type Fault.
func constants(t *testing.T) map[Fault]string {
	f, err := parser.ParseFile(token.NewFileSet(), "planted.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[Fault]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if of, typed := v.Type.(*ast.Ident); typed && of.Name == "Fault" {
				names[Fault(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))] = v.Names[0].Name
			}
		}
		return true
	})
	return names
}

// TestAProductionBuildHasNoTrace builds the program as for production, and with the tag: in the first there is no fault's
// name, no variable, and no function of a planted.go; in the second there is, so that the search would find it.
func TestAProductionBuildHasNoTrace(t *testing.T) {
	if testing.Short() {
		t.Skip("two builds of the program take some time")
	}
	traces := []string{Variable, "planted"} // the latter is in the name of the package, and so of its functions and files
	for _, d := range All() {
		traces = append(traces, d.What)
	}
	for _, with := range []bool{false, true} {
		binary := filepath.Join(t.TempDir(), "holdfast")
		args := []string{"build", "-ldflags=-s -w", "-o", binary}
		if with {
			args = append(args, "-tags", "planted")
		}
		if out, err := exec.Command("go", append(args, "github.com/holdfast-db/holdfast/cmd/holdfast")...).CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
		code, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range traces {
			if strings.Contains(string(code), trace) != with {
				t.Errorf("a build with faults: %v; it has %q: %v", with, trace, !with)
			}
		}
		var version struct {
			Tags []string `json:"test_tags"`
		}
		said, err := exec.Command(binary, "version", "-o", "json").Output()
		if err = errors.Join(err, json.Unmarshal(said, &version)); err != nil || slices.Contains(version.Tags, "planted") != with {
			t.Errorf("a build with faults: %v; its version says %s, %v", with, said, err)
		}
	}
}
