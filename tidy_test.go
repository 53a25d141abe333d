package holdfast_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The house rules, as a test. Each rule is a function from what it looks at to the complaints it has, so that
// TestTheRulesBite can show every one of them something that breaks it.

const module = "github.com/holdfast-db/holdfast"

// arrows says what a package may import of ours, directly or not. What is not listed may import everything.
var arrows = map[string][]string{
	"":                    nil,
	"fsm/command":         {""},
	"fsm/planted":         nil,
	"fsm/draw":            {""},
	"fsm":                 {"", "fsm/command", "fsm/draw"},
	"fsm/directory":       {"", "fsm/command"},
	"node":                {"", "fsm", "fsm/command", "fsm/draw", "fsm/directory", "node/outbox", "payment", "node/admission", "node/holdclock"},
	"rpc/api":             nil,
	"rpc/convert":         {"", "fsm", "fsm/command", "fsm/draw", "fsm/directory", "rpc/api", "node/outbox", "payment"},
	"rpc":                 {"", "fsm", "fsm/command", "fsm/draw", "fsm/directory", "node", "rpc/api", "rpc/convert", "node/outbox", "payment", "node/admission", "node/holdclock"},
	"client":              {"", "client/retry", "fsm/command", "fsm/draw", "rpc/api"},
	"payment":             {""},
	"frontend":            {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api", "payment", "frontend/page", "frontend/person", "frontend/settle", "frontend/statement", "frontend/ticket", "frontend/yamlfile"}, // no node, no state machine: the proof that it is stateless
	"frontend/visitor":    {},
	"jepsen/history":      {""},
	"jepsen/check":        {"", "jepsen/history", "jepsen/model"},
	"jepsen/lossy":        {}, // a file system: it knows nothing of who uses it
	"jepsen/model":        {""},
	"jepsen/workload":     {"", "client", "client/retry", "fsm/command", "fsm/draw", "rpc/api", "frontend/visitor", "jepsen/history"},
	"payment/stripe":      {"", "payment"},
	"payment/sandbox":     {"", "payment"},
	"payment/paymenttest": {"", "payment"},
	"frontend/page":       {""},
	"node/outbox":         {"", "fsm", "fsm/command", "fsm/draw", "payment"}, // payment: the arithmetic of a provider's budget
	"frontend/settle":     {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api", "payment"},
	"frontend/person":     {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api"},
	"frontend/statement":  {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api"},
	"frontend/ticket":     {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api", "frontend/statement"},
	"frontend/mail":       {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api", "payment", "frontend/person", "frontend/statement", "frontend/yamlfile"},
	"frontend/notify":     {"", "fsm/command", "fsm/draw", "client", "client/retry", "rpc/api", "payment", "frontend/person", "frontend/statement", "frontend/yamlfile"},
	"frontend/yamlfile":   {},
	"client/retry":        {""},
	"node/holdclock":      {""},
	"node/admission":      {""}, // a law that a simulation can run without a cluster
}

// anywhere may be imported by every package: a leaf that is one constant in a production build.
const anywhere = "fsm/planted"

// foreign says which third-party modules a package may reach, directly or not: none for the pure ones.
var foreign = map[string]*regexp.Regexp{
	"":                regexp.MustCompile(`^$`),
	"fsm":             regexp.MustCompile(`^$`),
	"fsm/command":     regexp.MustCompile(`^$`),
	"fsm/planted":     regexp.MustCompile(`^$`),
	"fsm/draw":        regexp.MustCompile(`^$`),
	"fsm/directory":   regexp.MustCompile(`^$`),
	"rpc/api":         regexp.MustCompile(`^(google\.golang\.org|golang\.org/x)/`),
	"client":          regexp.MustCompile(`^(google\.golang\.org|golang\.org/x)/`),
	"payment":         regexp.MustCompile(`^$`),
	"payment/sandbox": regexp.MustCompile(`^$`),
	"payment/stripe":  regexp.MustCompile(`^github\.com/stripe/stripe-go/v76`),
	"frontend/page":   regexp.MustCompile(`^$`),
	"node/admission":  regexp.MustCompile(`^$`),
	"node/holdclock":  regexp.MustCompile(`^$`),
	"client/retry":    regexp.MustCompile(`^$`),
}

type listed struct {
	ImportPath string
	Deps       []string
	Standard   bool
}

func checkArrows(pkg string, deps []string) (complaints []string) {
	allowed, bound := arrows[pkg]
	for _, dep := range deps {
		ours, isOurs := strings.CutPrefix(dep, module)
		ours = strings.TrimPrefix(ours, "/")
		switch {
		case isOurs && bound && ours != anywhere && !slices.Contains(allowed, ours):
			complaints = append(complaints, fmt.Sprintf("%q may not reach %q: see the arrows in docs/architecture.md", pkg, ours))
		case !isOurs && strings.Contains(strings.Split(dep, "/")[0], ".") && foreign[pkg] != nil && !foreign[pkg].MatchString(dep):
			complaints = append(complaints, fmt.Sprintf("%q may not reach %s: it stays light", pkg, dep))
		}
	}
	return complaints
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Deps,Standard", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkg, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		pkg = strings.TrimPrefix(pkg, "/")
		seen[pkg] = true
		for _, c := range checkArrows(pkg, p.Deps) {
			t.Error(c)
		}
	}
	for _, must := range []string{"", "fsm", "fsm/command", "node", "rpc", "client", "cmd/holdfast"} {
		if !seen[must] {
			t.Errorf("package %q is gone, and with it its arrows", must)
		}
	}
}

// bannedInMachines are what a deterministic state machine may not name, with what to do instead.
var bannedInMachines = map[string]string{
	`"time"`:      "time enters only by the entry's step; for durations use the words' constants",
	`"math/rand"`: "randomness comes with the command, from the client", `"math/rand/v2"`: "randomness comes with the command, from the client",
	`"os"`: "a state machine has no I/O", `"net"`: "a state machine has no I/O",
	`"sync"`: "the owner locks, not the machine", `"sync/atomic"`: "the owner locks, not the machine",
}

// bannedExcept says which files may break a ban, and why.
var bannedExcept = map[string]string{
	"fsm/pages.go":      `"sync/atomic"`, // cuts are let go from other goroutines
	"fsm/planted/on.go": `"os"`,          // no production build has the file
}

func checkMachineFile(name string, f *ast.File) (complaints []string) {
	for _, imp := range f.Imports {
		if instead, banned := bannedInMachines[imp.Path.Value]; banned && bannedExcept[name] != imp.Path.Value {
			complaints = append(complaints, fmt.Sprintf("%s imports %s: %s", name, imp.Path.Value, instead))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			complaints = append(complaints, name+" starts a goroutine: the machine is called, it does not run")
		case *ast.Ident:
			if n.Name == "float64" || n.Name == "float32" {
				complaints = append(complaints, name+" uses "+n.Name+": replicas may not decide by floating point; use integers")
			}
		}
		return true
	})
	return complaints
}

// sizesMax are the house's limits, and the exceptions with their reason.
const (
	fileLinesMax = 500
	funcLinesMax = 70
)

var longFiles = map[string]string{
	"fsm/command/codec.go": "every codec in one place, in the order of the commands",
}

var longFuncs = map[string]string{
	"fsm/command/result.go:Append":       "one paragraph for each field, in the order of the wire",
	"fsm/command/result.go:DecodeResult": "its mirror image",
}

func checkSizes(name string, fset *token.FileSet, f *ast.File) (complaints []string) {
	if lines := fset.Position(f.End()).Line; lines > fileLinesMax && longFiles[name] == "" {
		complaints = append(complaints, fmt.Sprintf("%s has %d lines, the house keeps to %d: does it hold two ideas?", name, lines, fileLinesMax))
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
		if lines > funcLinesMax && longFuncs[name+":"+fn.Name.Name] == "" {
			complaints = append(complaints, fmt.Sprintf("%s: %s has %d lines, the house keeps to %d", name, fn.Name.Name, lines, funcLinesMax))
		}
	}
	return complaints
}

var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "models", "manager", "base", "lib"}

func checkPackageName(dir string) (complaints []string) {
	if slices.Contains(vagueNames, path.Base(dir)) {
		complaints = append(complaints, fmt.Sprintf("%s is named for a kind of code, not for a thing", dir))
	}
	return complaints
}

// leftovers are marks of unfinished work, and ways of asking errors that break when a text changes.
var leftovers = map[*regexp.Regexp]string{
	regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`): "finish it, or say it in the issue",
	errorText: "ask errors by errors.Is or errors.As, not by text",
}

var errorText = regexp.MustCompile(`strings\.Contains\(err`)

func checkLeftovers(name, source string) (complaints []string) {
	for mark, instead := range leftovers {
		if mark == errorText && strings.HasSuffix(name, "_test.go") {
			continue // a test of what a message says has to read it
		}
		if m := mark.FindString(source); m != "" {
			complaints = append(complaints, fmt.Sprintf("%s: %q: %s", name, m, instead))
		}
	}
	return complaints
}

func TestHouse(t *testing.T) {
	fset, documented, dirs := token.NewFileSet(), map[string]bool{}, map[string]bool{}
	walkGo(t, func(name, source string) {
		f, err := parser.ParseFile(fset, name, source, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(name)
		for _, c := range checkLeftovers(name, source) {
			t.Error(c)
		}
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		dirs[dir] = true
		documented[dir] = documented[dir] || f.Doc != nil
		complaints := checkSizes(name, fset, f)
		if dir == "fsm" || strings.HasPrefix(dir, "fsm/") {
			complaints = append(complaints, checkMachineFile(name, f)...)
		}
		for _, c := range complaints {
			t.Error(c)
		}
	})
	for dir := range dirs {
		if !documented[dir] {
			t.Errorf("package in %s has no comment that says what it is for", dir)
		}
		for _, c := range checkPackageName(dir) {
			t.Error(c)
		}
	}
}

// walkGo visits every Go file that people wrote.
func walkGo(t *testing.T, visit func(name, source string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go"):
			return nil
		}
		source, err := os.ReadFile(name)
		if err == nil {
			visit(filepath.ToSlash(name), string(source))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLinks follows every relative link of every page.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, _ := filepath.Glob("docs/*/*.md")
	for _, page := range append(append(pages, decisions...), "README.md") {
		f, err := os.Open(page)
		if err != nil {
			t.Fatal(err)
		}
		for scan, line := bufio.NewScanner(f), 1; scan.Scan(); line++ {
			for _, m := range link.FindAllStringSubmatch(scan.Text(), -1) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
					t.Errorf("%s:%d: the link to %s leads nowhere", page, line, m[1])
				}
			}
		}
		f.Close()
	}
}

// TestTheRulesBite gives each rule something that breaks it.
func TestTheRulesBite(t *testing.T) {
	parse := func(source string) (*token.FileSet, *ast.File) {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", source, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fset, f
	}
	fset, long := parse("package x\nfunc f() {\n" + strings.Repeat("_ = 1\n", fileLinesMax) + "}\n")
	_, impure := parse("package x\nimport \"time\"\nfunc f() { go f(); _ = float64(1); _ = time.Now }\n")
	for rule, got := range map[string]int{
		"arrow to our own":       len(checkArrows("client", []string{module + "/node"})),
		"arrow to a third party": len(checkArrows("fsm", []string{"github.com/hashicorp/raft"})),
		"long file and function": len(checkSizes("x.go", fset, long)) - 1,
		"clock in a machine":     len(checkMachineFile("fsm/x.go", impure)),
		"vague package name":     len(checkPackageName("node/util")),
		"leftover mark":          len(checkLeftovers("x.go", "// TO"+"DO: later")),
		"errors matched by text": len(checkLeftovers("x.go", `if strings.Contains(err.Error(), "x")`)),
	} {
		if got < 1 {
			t.Errorf("the rule about %s does not bite", rule)
		}
	}
	if n := len(checkMachineFile("fsm/x.go", impure)); n != 3 {
		t.Errorf("clock, goroutine and float gave %d complaints, want 3", n)
	}
}
