package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// The reference pages are what the program says of itself; -rewrite writes them anew.

func TestCommandReferenceIsCurrent(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# Command line\n\nWritten from the commands themselves by `go test ./cmd/holdfast -run Reference -rewrite`.\n")
	root := (&app{}).rootCommand(nil)
	fmt.Fprintf(&page, "\nEvery command takes:\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	describe(&page, root)
	current(t, "../../docs/reference/cli.md", page.Bytes())
}

func TestAnswerReferenceIsCurrent(t *testing.T) {
	var page bytes.Buffer
	page.WriteString(`# Answers

Written from the code by ` + "`go test ./cmd/holdfast -run Reference -rewrite`" + `.

## Outcomes

What a shard decided about a command, in order of precedence: a command to which several refusals apply gets the first.

| number | name | exit code | what it says |
|---|---|---|---|
`)
	for _, o := range holdfast.Outcomes() {
		exit := exitOK
		if o != holdfast.OK {
			exit = exitCode(&client.Refusal{Outcome: o})
		}
		fmt.Fprintf(&page, "| %d | `%s` | %d | %s |\n", uint8(o), o.String(), exit, o.Error())
	}
	page.WriteString(`
## Failures

The system could not decide. The kind is the reason of the ` + "`ErrorInfo`" + ` on the wire.

| number | kind | gRPC code | exit code |
|---|---|---|---|
`)
	for _, k := range holdfast.Kinds() {
		err := &holdfast.Error{Kind: k}
		fmt.Fprintf(&page, "| %d | `%s` | %s | %d |\n", uint8(k), k, status.Code(convert.Status(err)), exitCode(err))
	}
	current(t, "../../docs/reference/answers.md", page.Bytes())
}

// current holds a page to what it should say.
func current(t *testing.T, name string, want []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is not current; run go test ./cmd/holdfast -run Reference -rewrite, and read the diff", name)
	}
}

// describe writes a section for each command that does something, and for each topic of help.
func describe(page *bytes.Buffer, c *cobra.Command) {
	if c.Hidden {
		return // not for people
	}
	if c.HasParent() && !c.HasAvailableSubCommands() {
		about := c.Long
		if about == "" {
			about = c.Short
		}
		fmt.Fprintf(page, "\n## %s\n\n```\n%s\n", c.CommandPath(), strings.TrimSpace(about))
		if c.Runnable() {
			fmt.Fprintf(page, "\n%s\n", c.UseLine())
		}
		if c.HasExample() {
			fmt.Fprintf(page, "\n%s\n", strings.Trim(c.Example, "\n"))
		}
		if flags := c.LocalNonPersistentFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(page, "\n%s", flags)
		}
		page.WriteString("```\n")
	}
	for _, sub := range c.Commands() {
		describe(page, sub)
	}
}
