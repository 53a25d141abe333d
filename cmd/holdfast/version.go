package main

import (
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/fsm/planted"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

// buildVersion is the version that was linked in, or what the Go tool noted about the build.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: `  holdfast version -o json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.print(versionOut{Version: buildVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, TestTags: testTags()})
		},
	}
}

type versionOut struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// TestTags are the tags of a build that is for tests only: its clocks can be moved, or it can have planted faults.
	TestTags []string `json:"test_tags,omitempty"`
}

func (o versionOut) table(w io.Writer) {
	row(w, "holdfast", o.Version, o.Go, o.Platform)
	if len(o.TestTags) > 0 {
		row(w, "not for production", "built with the tags", strings.Join(o.TestTags, ","))
	}
}

// testTags are those that no production build has.
func testTags() (tags []string) {
	if seamed {
		tags = append(tags, "jepsen")
	}
	if planted.Built {
		tags = append(tags, "planted")
	}
	return tags
}
