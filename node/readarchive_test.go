package node_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast/node"
)

func TestAnArchiveIsReadFromAnyEntryOn(t *testing.T) {
	path := t.TempDir()
	disk, err := node.OpenFolder(path)
	must(t, err)
	s := newSale(5, 600)
	a, _ := openArchive(t, disk, node.ArchiveLimits{SegmentBytes: 10 << 10, TotalBytes: 1 << 30})
	s.append(t, a, 0, 300)
	s.base(t, a, 400)
	s.append(t, a, 400, 600)
	must(t, a.Close())
	must(t, disk.Close())

	gap := node.Gap{After: s.indexes[299], From: s.indexes[399]}
	for _, c := range []struct {
		from int // entries that the reader has
		gaps []node.Gap
	}{{0, []node.Gap{gap}}, {150, []node.Gap{gap}}, {300, []node.Gap{gap}}, {450, nil}, {600, nil}} {
		after := uint64(0)
		if c.from > 0 {
			after = s.indexes[c.from-1]
		}
		at := c.from
		gaps, err := node.ReadArchive(filepath.Join(path, "archive"), after, func(e node.Archived) error {
			if e.Index <= after {
				return nil
			}
			if at == 300 {
				at = 400
			}
			if e.Index != s.indexes[at] || !bytes.Equal(e.Entry, s.entries[at]) {
				t.Errorf("from %d: entry %d is not what was archived", c.from, e.Index)
			}
			at++
			return nil
		})
		must(t, err)
		if at != 600 || !slices.Equal(gaps, c.gaps) {
			t.Errorf("from %d: read up to %d, gaps %v", c.from, at, gaps)
		}
	}
}
