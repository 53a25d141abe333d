package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/check"
)

// Player has plans played by one worker after the other. It is for one goroutine.
type Player struct {
	// Command starts a worker: a program that calls Work with its standard input and its file 3.
	Command []string
	// Keep is the folder for histories that failed, and for what workers said that died; "" keeps nothing.
	Keep string
	// Patience is how long a plan may take, in real time, until its worker counts as hung.
	Patience time.Duration

	worker *worker
	played int // workers so far
}

const (
	// plansMax is how many plans a worker plays. Goroutines that the library leaves behind (see inBubble) stay with
	// their process.
	plansMax = 200
	// lastWordsMax is how much of what a worker prints is kept. The stacks of a bubble that hangs are long.
	lastWordsMax = 1 << 20
	// dying is how long a worker has to print its stacks.
	dying = 10 * time.Second
)

// Play plays a plan. That the worker dies of it or hangs is a violation like others.
func (p *Player) Play(ctx context.Context, j Job) (Summary, error) {
	if p.worker != nil && p.worker.plans >= plansMax {
		if err := p.Close(); err != nil {
			return Summary{}, err
		}
	}
	if p.worker == nil {
		w, err := startWorker(p.Command, p.played)
		if err != nil {
			return Summary{}, err
		}
		p.worker = w
		p.played++
	}
	j.Keep = p.Keep
	s, failure := p.worker.play(ctx, j, p.Patience)
	if failure == nil {
		return s, nil
	}
	words := p.worker.end()
	p.worker = nil
	if err := ctx.Err(); err != nil {
		return Summary{}, err
	}
	s = Summary{Seed: j.Seed, Kind: j.Kind, Violations: []check.Violation{{Check: "process", Message: fmt.Sprintf("%v: %s", failure, lastLine(words))}}}
	if p.Keep == "" {
		return s, nil
	}
	plan, err := j.plan()
	if err != nil {
		return s, err
	}
	s.History = keptName(p.Keep, j.Seed) + ".stderr.txt"
	return s, errors.Join(os.WriteFile(s.History, words, 0o644), keepPlan(p.Keep, j.Seed, s.Violations[0].String(), plan))
}

// Close ends the worker.
func (p *Player) Close() error {
	if p.worker == nil {
		return nil
	}
	w := p.worker
	p.worker = nil
	if err := errors.Join(w.jobs.Close(), w.process.Wait()); err != nil {
		return fmt.Errorf("a worker that had nothing more to do: %w: %s", err, w.words.String())
	}
	return nil
}

// lastLine is what a process said when it died, or the last that it said.
func lastLine(words []byte) string {
	lines := strings.Split(strings.TrimSpace(string(words)), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// worker is a running process.
type worker struct {
	process *exec.Cmd
	jobs    interface {
		Write([]byte) (int, error)
		Close() error
	}
	answers chan Summary // closed when it says nothing more
	words   *lastWords
	plans   int
}

// startWorker starts the n-th of a player.
func startWorker(command []string, n int) (*worker, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer to.Close() // the worker has its own
	w := &worker{process: exec.Command(command[0], command[1:]...), answers: make(chan Summary), words: &lastWords{}}
	w.process.ExtraFiles = []*os.File{to}
	w.process.Stdout, w.process.Stderr = w.words, w.words // the tests' machinery prints to the former
	w.process.Env = append(os.Environ(), runtimeOf(n)...)
	if w.jobs, err = w.process.StdinPipe(); err == nil {
		err = w.process.Start()
	}
	if err != nil {
		from.Close()
		return nil, err
	}
	go func() {
		defer from.Close()
		defer close(w.answers)
		for answers := json.NewDecoder(bufio.NewReader(from)); ; {
			var s Summary
			if answers.Decode(&s) != nil {
				return // it has died: its words tell why
			}
			w.answers <- s
		}
	}()
	return w, nil
}

// runtimeOf is how the n-th worker's goroutines run: mostly on one core, since a bubble has little to do at a time and
// another core would be kept from another worker; every fourth on two, for the schedules that this makes.
func runtimeOf(n int) (env []string) {
	cores := 1
	if n%4 == 3 {
		cores = 2
	}
	for name, value := range map[string]string{"GOMAXPROCS": fmt.Sprint(cores), "GOGC": "400"} {
		if os.Getenv(name) == "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// play has a plan played.
func (w *worker) play(ctx context.Context, j Job, patience time.Duration) (Summary, error) {
	w.plans++
	line, err := json.Marshal(j)
	if err != nil {
		return Summary{}, err
	}
	if _, err := w.jobs.Write(append(line, '\n')); err != nil {
		return Summary{}, errors.New("the process has died")
	}
	tired := time.NewTimer(patience)
	defer tired.Stop()
	select {
	case s, ok := <-w.answers:
		if !ok {
			return s, errors.New("the process has died")
		}
		return s, nil
	case <-tired.C:
		return Summary{}, fmt.Errorf("no end after %v", patience)
	case <-ctx.Done():
		return Summary{}, ctx.Err()
	}
}

// end ends a worker that has died, hangs or is not needed any more, and gives its last words.
func (w *worker) end() []byte {
	_ = w.process.Process.Signal(syscall.SIGQUIT) // it prints its stacks; it may be gone already
	kill := time.AfterFunc(dying, func() { _ = w.process.Process.Kill() })
	defer kill.Stop()
	_ = w.jobs.Close()
	for range w.answers {
	}
	_ = w.process.Wait() // that it failed is known
	return w.words.bytes()
}

// lastWords keeps the first and the last of what is written. It is safe for concurrent use.
type lastWords struct {
	mu          sync.Mutex
	first, last []byte
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(b), lastWordsMax/2-len(l.first))
	l.first = append(l.first, b[:n]...)
	l.last = append(l.last, b[n:]...)
	if more := len(l.last) - lastWordsMax/2; more > 0 {
		l.last = slices.Clone(l.last[more:])
	}
	return len(b), nil
}

func (l *lastWords) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Join([][]byte{l.first, l.last}, nil)
}

func (l *lastWords) String() string { return string(l.bytes()) }
