package node_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// tracer runs a process and sees its syncs. What lies in a file or folder when a sync of it begins is durable when
// that sync has ended without an error.
type tracer struct {
	dir      string                             // syncs elsewhere are of no interest
	overlook func(path string, isDir bool) bool // nil: none

	mu     sync.Mutex
	pid    int
	killed bool
	root   inode
	images map[inode]image
	isDir  map[inode]bool
	counts map[string]int // syncs by path below dir, those too that are overlooked
}

func newTracer(dir string, overlook func(string, bool) bool) *tracer {
	return &tracer{dir: dir, overlook: overlook, images: map[inode]image{}, isDir: map[inode]bool{}, counts: map[string]int{}}
}

// kill ends the process.
func (tr *tracer) kill() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.killed = true; tr.pid != 0 {
		syscall.Kill(tr.pid, syscall.SIGKILL)
	}
}

// synced counts the syncs of a file.
func (tr *tracer) synced(path string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.counts[path]
}

const (
	wait4Thread  = 0x20000000 // __WNOTHREAD: children of this thread only, not those of other tests
	wait4All     = 0x40000000 // __WALL
	optExitKill  = 0x100000   // PTRACE_O_EXITKILL: the process does not outlive us
	syscallTrap  = syscall.SIGTRAP | 0x80
	callFsync    = 74
	callDatasync = 75
)

// run starts the process and traces it until it ends. out is closed here once the process has it.
func (tr *tracer) run(cmd *exec.Cmd, out io.Closer) error {
	runtime.LockOSThread() // only the thread that started a process may trace it
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	err := cmd.Start()
	out.Close()
	if err != nil {
		return err
	}
	tr.mu.Lock()
	if tr.pid = cmd.Process.Pid; tr.killed {
		syscall.Kill(tr.pid, syscall.SIGKILL)
	}
	tr.mu.Unlock()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(tr.pid, &status, 0, nil); err != nil { // it stops at its exec
		return err
	}
	if err := syscall.PtraceSetOptions(tr.pid, syscall.PTRACE_O_TRACECLONE|syscall.PTRACE_O_TRACESYSGOOD|optExitKill); err != nil {
		return err
	}
	if err := syscall.PtraceSyscall(tr.pid, 0); err != nil {
		return err
	}
	defer cmd.Process.Release()
	return tr.loop()
}

// loop handles stops of all threads until the process has ended.
func (tr *tracer) loop() error {
	pending := map[int]func(){} // by thread: what is durable when its sync ends well
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &status, wait4All|wait4Thread, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return err
		case status.Exited() || status.Signaled():
			if tid == tr.pid {
				return nil
			}
			continue
		}
		forward := 0
		switch signal := status.StopSignal(); {
		case signal == syscallTrap:
			if err := tr.call(tid, pending); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		case signal == syscall.SIGTRAP || signal == syscall.SIGSTOP: // a thread begins
		default:
			forward = int(signal)
		}
		if err := syscall.PtraceSyscall(tid, forward); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
}

// call looks at a system call, as it begins or ends.
func (tr *tracer) call(tid int, pending map[int]func()) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	if regs.Orig_rax != callFsync && regs.Orig_rax != callDatasync {
		return nil
	}
	if result := int64(regs.Rax); result != -int64(syscall.ENOSYS) { // it ends
		if done := pending[tid]; done != nil && result == 0 {
			done()
		}
		delete(pending, tid)
		return nil
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, regs.Rdi))
	if errors.Is(err, os.ErrNotExist) {
		return nil // the process was killed meanwhile: this sync will make nothing durable
	}
	if err != nil {
		return err
	}
	done, err := tr.begins(path)
	pending[tid] = done
	return err
}

// begins looks at what a sync of path makes durable.
func (tr *tracer) begins(path string) (done func(), err error) {
	rel, err := filepath.Rel(tr.dir, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	count := func() {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.counts[rel]++
	}
	if tr.overlook != nil && tr.overlook(path, st.IsDir()) {
		return count, nil
	}
	at, img := inodeOf(st), image{isDir: st.IsDir()}
	if st.IsDir() {
		img.names, err = tr.list(path)
	} else {
		img.data, err = readToLastHole(path)
		img.size = st.Size()
	}
	return func() {
		count()
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.images[at] = img
		if rel == "." {
			tr.root = at
		}
	}, err
}

// readToLastHole reads a file up to where it has only a hole left. bbolt makes its files much larger than it fills them.
func readToLastHole(path string) ([]byte, error) {
	const seekData, seekHole = 3, 4
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end := int64(0)
	for {
		data, err := f.Seek(end, seekData)
		if errors.Is(err, syscall.ENXIO) { // no more of it
			break
		}
		if err != nil {
			return nil, err
		}
		if end, err = f.Seek(data, seekHole); err != nil {
			return nil, err
		}
	}
	data := make([]byte, end)
	_, err = f.ReadAt(data, 0)
	return data, err
}

// list gives what a folder holds.
func (tr *tracer) list(path string) (map[string]inode, error) {
	entries, err := os.ReadDir(path)
	names := map[string]inode{}
	for _, e := range entries {
		st, err := os.Lstat(filepath.Join(path, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // another thread has just removed it
		}
		if err != nil {
			return nil, err
		}
		names[e.Name()] = inodeOf(st)
		tr.isDir[inodeOf(st)] = st.IsDir()
	}
	return names, err
}

func inodeOf(st os.FileInfo) inode {
	sys := st.Sys().(*syscall.Stat_t)
	return inode{sys.Dev, sys.Ino}
}
