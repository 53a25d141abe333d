package sim

import (
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/holdfast-db/holdfast/node"
)

// dir is a folder. Names are durable as of its last sync; what was done to them since survives a crash up to some
// point, as a file system's journal has it.
type dir struct {
	seen, durable map[string]*file
	journal       []func(names map[string]*file) // changes to names since the last sync
}

// change does something to the names.
func (f *dir) change(do func(names map[string]*file)) {
	do(f.seen)
	f.journal = append(f.journal, do)
}

// afterCrash is what a crash leaves of the folder.
func (f *dir) afterCrash(d *Disk) *dir {
	names := maps.Clone(f.durable)
	if len(f.journal) > 0 {
		for _, do := range f.journal[:d.random.IntN(len(f.journal)+1)] {
			do(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		names[name] = names[name].afterCrash(d)
	}
	return &dir{seen: names, durable: maps.Clone(names)}
}

// file is append-only but for Truncate. data and synced share memory; what lies in both is never written again.
type file struct {
	data, synced []byte
}

func (f *file) afterCrash(d *Disk) *file {
	kept := slices.Clone(f.synced)
	if tail := len(f.data) - len(f.synced); tail > 0 && d.faults.TearTails {
		n := d.random.IntN(tail + 1)
		kept = append(kept, f.data[len(f.synced):len(f.synced)+n]...)
		for i := len(kept) - d.random.IntN(n+1); i < len(kept); i++ {
			kept[i] = byte(d.random.Uint32())
		}
	}
	return &file{data: kept, synced: kept}
}

// dirHandle is a process's way to a folder.
type dirHandle struct {
	mount *mount
	name  string
}

func (h *dirHandle) locked(f func(folder *dir, d *Disk) error) error {
	return h.mount.locked(func(d *Disk) error { return f(d.dirs[h.name], d) })
}

func (h *dirHandle) missing(op, name string) error {
	return &fs.PathError{Op: op, Path: h.name + "/" + name, Err: fs.ErrNotExist}
}

func (h *dirHandle) Names() (names []string, err error) {
	err = h.locked(func(folder *dir, _ *Disk) error { names = slices.Sorted(maps.Keys(folder.seen)); return nil })
	return names, err
}

func (h *dirHandle) Open(name string) (node.File, error) {
	out := &fileHandle{mount: h.mount, name: h.name + "/" + name, readOnly: true}
	err := h.locked(func(folder *dir, _ *Disk) error {
		if out.file = folder.seen[name]; out.file == nil {
			return h.missing("open", name)
		}
		return nil
	})
	return out, err
}

func (h *dirHandle) Append(name string) (node.File, error) {
	out := &fileHandle{mount: h.mount, name: h.name + "/" + name}
	err := h.locked(func(folder *dir, d *Disk) error {
		if out.file = folder.seen[name]; out.file != nil {
			return nil
		}
		f := &file{}
		out.file = f
		folder.change(func(names map[string]*file) { names[name] = f })
		return d.write(0)
	})
	return out, err
}

func (h *dirHandle) Rename(from, to string) error {
	err := h.locked(func(folder *dir, d *Disk) error {
		f := folder.seen[from]
		if f == nil {
			return h.missing("rename", from)
		}
		folder.change(func(names map[string]*file) {
			delete(names, from)
			names[to] = f
		})
		return d.write(0)
	})
	h.mount.tell(Step{Name: h.name + "/" + to, Do: Rename, Done: true})
	return err
}

func (h *dirHandle) Remove(name string) error {
	return h.locked(func(folder *dir, _ *Disk) error {
		if folder.seen[name] == nil {
			return h.missing("remove", name)
		}
		folder.change(func(names map[string]*file) { delete(names, name) })
		return nil
	})
}

func (h *dirHandle) Sync() error {
	return h.mount.sync(Step{Name: h.name, Do: SyncNames}, func(d *Disk) {
		folder := d.dirs[h.name]
		folder.durable, folder.journal = maps.Clone(folder.seen), nil
	})
}

// fileHandle is a process's way to a file.
type fileHandle struct {
	mount    *mount
	name     string
	file     *file
	at       int // where it reads
	readOnly bool
}

func (h *fileHandle) Read(b []byte) (n int, err error) {
	err = h.mount.locked(func(*Disk) error {
		if h.at >= len(h.file.data) && len(b) > 0 {
			return io.EOF
		}
		n = copy(b, h.file.data[h.at:])
		h.at += n
		return nil
	})
	return n, err
}

func (h *fileHandle) Write(b []byte) (n int, err error) {
	err = h.mount.locked(func(d *Disk) error {
		if h.readOnly {
			return fs.ErrPermission
		}
		if err := d.write(len(b)); err != nil {
			return err
		}
		h.file.data = append(h.file.data, b...)
		n = len(b)
		return nil
	})
	return n, err
}

func (h *fileHandle) Size() (size int64, err error) {
	err = h.mount.locked(func(*Disk) error { size = int64(len(h.file.data)); return nil })
	return size, err
}

func (h *fileHandle) Truncate(size int64) error {
	return h.mount.locked(func(d *Disk) error {
		h.file.data = slices.Clone(h.file.data[:size])
		return d.write(0)
	})
}

func (h *fileHandle) Sync() error {
	return h.mount.sync(Step{Name: h.name, Do: SyncFile}, func(*Disk) { h.file.synced = slices.Clip(h.file.data) })
}

func (h *fileHandle) Close() error { return nil }
