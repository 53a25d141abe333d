//go:build linux

package lossy

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	// fileSystem is what mounts are called in /proc/self/mounts, after "fuse.".
	fileSystem = "holdfast-lossy"
	// attributesLast: nothing changes but by this mount, so the kernel knows; and after a cut all inodes are new.
	attributesLast = time.Hour
	requestBytes   = 1 << 20
)

// mount serves a store below a folder. Names are asked for each time, since a cut changes them behind the kernel's back;
// the page cache is kept, and is that of inodes which a cut makes void.
func mount(s *Store, at string) (*fuse.Server, error) {
	attributes, names := attributesLast, time.Duration(0)
	return fs.Mount(at, &node{store: s, in: s.Root()}, &fs.Options{
		EntryTimeout: &names, NegativeTimeout: &names, AttrTimeout: &attributes, NullPermissions: true,
		RootStableAttr: &fs.StableAttr{Ino: rootNumber},
		MountOptions: fuse.MountOptions{
			FsName: fmt.Sprintf("hfj%d", os.Getpid()), Name: fileSystem, DirectMount: os.Geteuid() == 0, AllowOther: os.Geteuid() == 0,
			MaxWrite: requestBytes, DisableXAttrs: true, ExplicitDataCacheControl: true, DisableReadDirPlus: true,
		},
	})
}

// node is an inode as the library wants it.
type node struct {
	fs.Inode
	store *Store
	in    *Inode
}

// handle is an open file.
type handle struct{}

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeReleaser  = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

// errno is what the kernel is told of an error.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	return fs.ToErrno(err)
}

func typeOf(st Stat) uint32 {
	if st.Folder {
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

func fill(out *fuse.Attr, st Stat) {
	out.Ino, out.Mode, out.Size, out.Nlink = st.Number, typeOf(st)|st.Mode, uint64(st.Size), 1
	out.Blocks, out.Blksize = uint64(st.Size+511)/512, 4096
	out.SetTimes(&st.Born, &st.Born, &st.Born)
}

// child is the library's inode for one of ours: the same one each time, as the numbers are.
func (n *node) child(ctx context.Context, in *Inode, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	st, err := n.store.Stat(in)
	if err != nil {
		return nil, errno(err)
	}
	fill(&out.Attr, st)
	return n.NewInode(ctx, &node{store: n.store, in: in}, fs.StableAttr{Mode: typeOf(st), Ino: st.Number}), 0
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	in, err := n.store.Lookup(n.in, name)
	if err != nil {
		return nil, errno(err)
	}
	return n.child(ctx, in, out)
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	all, err := n.store.List(n.in)
	if err != nil {
		return nil, errno(err)
	}
	entries := make([]fuse.DirEntry, 0, len(all))
	for _, e := range all {
		entries = append(entries, fuse.DirEntry{Name: e.Name, Mode: typeOf(e.Stat), Ino: e.Number})
	}
	return fs.NewListDirStream(entries), 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	st, err := n.store.Stat(n.in)
	fill(&out.Attr, st)
	return errno(err)
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if err := n.store.Truncate(n.in, int64(size)); err != nil {
			return errno(err)
		}
	}
	if mode, ok := in.GetMode(); ok {
		if err := n.store.SetMode(n.in, mode); err != nil {
			return errno(err)
		}
	}
	return n.Getattr(ctx, f, out)
}

func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	in, err := n.store.Create(n.in, name, mode)
	if err == nil {
		err = n.store.Open(in)
	}
	if err != nil {
		return nil, nil, 0, errno(err)
	}
	child, failed := n.child(ctx, in, out)
	return child, &handle{}, 0, failed
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	in, err := n.store.Mkdir(n.in, name, mode)
	if err != nil {
		return nil, errno(err)
	}
	return n.child(ctx, in, out)
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return errno(n.store.Unlink(n.in, name))
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return errno(n.store.Rmdir(n.in, name))
}

func (n *node) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	const noReplace = 1
	other, ours := to.(*node)
	if !ours || flags&^noReplace != 0 {
		return syscall.EINVAL
	}
	return errno(n.store.Rename(n.in, name, other.in, newName, flags == noReplace))
}

func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return &handle{}, fuse.FOPEN_KEEP_CACHE, errno(n.store.Open(n.in))
}

func (n *node) Release(context.Context, fs.FileHandle) syscall.Errno {
	n.store.Release(n.in)
	return 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	got, err := n.store.Read(n.in, dest, off)
	return fuse.ReadResultData(dest[:got]), errno(err)
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	put, err := n.store.Write(n.in, data, off)
	return uint32(put), errno(err)
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errno(n.store.Sync(n.in))
}

// Statfs tells how much the real disk has left.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	var st syscall.Statfs_t
	if err := syscall.Statfs(n.store.options.Dir, &st); err != nil {
		return errno(err)
	}
	out.FromStatfsT(&st)
	return 0
}
