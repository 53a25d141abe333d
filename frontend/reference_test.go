package frontend

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var rewrite = flag.Bool("rewrite", false, "write the reference anew")

// TestTheReferenceIsWrittenFromTheDescription: docs/reference/http.md says what openapi.yaml says.
func TestTheReferenceIsWrittenFromTheDescription(t *testing.T) {
	const path = "../docs/reference/http.md"
	want := reference(t)
	if *rewrite {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what openapi.yaml says; write it anew: go test ./frontend -run Reference -rewrite", path)
	}
}

// node walks a YAML document by keys; its order is the file's.
type node struct{ *yaml.Node }

func (n node) get(keys ...string) node {
	for _, key := range keys {
		if n.Node == nil || n.Kind != yaml.MappingNode {
			return node{}
		}
		found := node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				found = node{n.Content[i+1]}
			}
		}
		n = found
	}
	return n
}

func (n node) text() string {
	if n.Node == nil {
		return ""
	}
	return strings.TrimSpace(n.Value)
}

func (n node) each(f func(key string, v node)) {
	if n.Node == nil {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, node{n.Content[i+1]})
	}
}

func reference(t *testing.T) []byte {
	var doc yaml.Node
	if err := yaml.Unmarshal(openAPIYAML, &doc); err != nil {
		t.Fatal(err)
	}
	root := node{doc.Content[0]}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The HTTP API\n\nWritten from `frontend/openapi.yaml` by `go test ./frontend -run Reference -rewrite`; every frontend serves the same as\n`GET /api/v1/openapi.json`. How it behaves under load, who is who, and how to embed it is in [frontend](../frontend.md).\n\n%s\n\n## Methods\n", root.get("info", "description").text())
	root.get("paths").each(func(path string, item node) {
		item.each(func(method string, op node) {
			if method == "parameters" {
				return
			}
			fmt.Fprintf(&b, "\n### %s %s\n\n%s.", strings.ToUpper(method), path, op.get("summary").text())
			if d := op.get("description").text(); d != "" {
				fmt.Fprintf(&b, " %s", d)
			}
			b.WriteString("\n")
			body := op.get("requestBody", "content", "application/json", "schema", "$ref").text()
			if body != "" {
				fmt.Fprintf(&b, "Body: %s.\n", link(body))
			}
			op.get("responses").each(func(status string, r node) {
				if status == "default" {
					return
				}
				fmt.Fprintf(&b, "\n- %s: %s", status, r.get("description").text())
				if ref := r.get("content", "application/json", "schema", "$ref").text(); ref != "" {
					fmt.Fprintf(&b, ", %s", link(ref))
				}
			})
			b.WriteString("\n")
		})
	})
	fmt.Fprintf(&b, "\nAny other status is a [Failure](#failure): %s\n\n## Bodies\n", root.get("components", "responses", "Failure", "description").text())
	root.get("components", "schemas").each(func(name string, schema node) {
		fmt.Fprintf(&b, "\n### %s\n\n| field | type | always | what it is |\n|---|---|---|---|\n", name)
		fields(&b, "", schema)
	})
	return b.Bytes()
}

func link(ref string) string {
	name := ref[strings.LastIndexByte(ref, '/')+1:]
	return "[" + name + "](#" + strings.ToLower(name) + ")"
}

// fields writes the fields of an object, and those of what is inside it.
func fields(b *bytes.Buffer, prefix string, schema node) {
	var required []string
	if r := schema.get("required"); r.Node != nil {
		for _, n := range r.Content {
			required = append(required, n.Value)
		}
	}
	schema.get("properties").each(func(name string, s node) {
		always := ""
		if slices.Contains(required, name) {
			always = "yes"
		}
		what := s.get("description").text()
		if e := s.get("enum"); e.Node != nil {
			values := make([]string, len(e.Content))
			for i, v := range e.Content {
				values[i] = "`" + v.Value + "`"
			}
			what = strings.TrimPrefix(what+": "+strings.Join(values, ", "), ": ")
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, name, kind(s), always, strings.ReplaceAll(what, "|", "\\|"))
		if items := s.get("items"); items.get("properties").Node != nil {
			fields(b, prefix+name+"[].", items)
		} else if s.get("properties").Node != nil {
			fields(b, prefix+name+".", s)
		}
	})
}

func kind(s node) string {
	if ref := s.get("$ref").text(); ref != "" {
		return link(ref)
	}
	switch t := s.get("type"); {
	case t.Node == nil:
		return "text"
	case t.Kind == yaml.SequenceNode:
		all := make([]string, len(t.Content))
		for i, v := range t.Content {
			all[i] = v.Value
		}
		sort.Strings(all)
		return strings.Join(all, " or ")
	case t.Value == "array":
		return "list of " + kind(s.get("items"))
	case t.Value == "string":
		return "text"
	default:
		return t.Value
	}
}
