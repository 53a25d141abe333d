package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const referencePage = "../../docs/reference/cli.md"

// TestReferenceIsCurrent holds docs/reference/cli.md to what the commands say of themselves.
func TestReferenceIsCurrent(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# Command line\n\nWritten from the commands themselves by `go test ./cmd/holdfast -run Reference -rewrite`.\n")
	root := (&app{}).rootCommand(nil)
	fmt.Fprintf(&page, "\nEvery command takes:\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	describe(&page, root)
	if *rewrite {
		if err := os.WriteFile(referencePage, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Errorf("docs/reference/cli.md is not what the commands say; run go test ./cmd/holdfast -run Reference -rewrite")
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
