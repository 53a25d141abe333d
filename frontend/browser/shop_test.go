package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/frontend/mail/mailtest"
)

// realShop is the product itself: `holdfast demo --no-crowd`, three members, two frontends and the sandbox, each frontend
// and member a process that can be killed, with a mail server of the test's.
type realShop struct {
	t         testing.TB
	Event     string   `json:"event"`
	Addresses []string `json:"addresses"`
	Sandbox   string   `json:"sandbox"`
	Endpoints []string `json:"endpoints"`
	Processes []process
	mails     *mailtest.Server

	mu      sync.Mutex // guards running
	running map[string]process
}

type process struct {
	Name, Role, Address string
	PID                 int
}

// openReal opens a shop for one test.
func openReal(t testing.TB, flags ...string) *realShop {
	t.Helper()
	if *holdfast == "" {
		t.Skip("needs the product: -holdfast names its binary, .ci/browser builds it")
	}
	s := &realShop{t: t, mails: mailtest.New(t), running: map[string]process{}}
	config := filepath.Join(t.TempDir(), "mail.yaml")
	text := fmt.Sprintf("{host: %s, port: %d, tls: none, from: Tickets <tickets@example.org>}\n", s.mails.Host, s.mails.Port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(*holdfast, append([]string{"demo", "--no-crowd", "--mail-config", config, "-o", "json"}, flags...)...)
	errs := &bytes.Buffer{}
	cmd.Stderr = errs
	lines, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(lines)
	first, err := reader.ReadBytes('\n')
	told := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-told // the pipe ends before Wait may close it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the shop ended with %v\n%s", err, errs)
		}
	})
	if err == nil {
		err = json.Unmarshal(first, s)
	}
	for _, p := range s.Processes {
		s.running[p.Name] = p
	}
	go func() { defer close(told); s.listen(reader) }()
	if err != nil {
		t.Fatalf("the shop does not open: %v\n%s", err, errs)
	}
	return s
}

// listen learns of processes that are started again.
func (s *realShop) listen(lines *bufio.Reader) {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var p process
		if json.Unmarshal(line, &p) == nil && p.Name != "" {
			s.mu.Lock()
			s.running[p.Name] = p
			s.mu.Unlock()
		}
	}
}

func (s *realShop) process(name string) process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[name]
}

// kill ends a process as a power cut would. back waits until it was started again.
func (s *realShop) kill(name string) (back func()) {
	s.t.Helper()
	before := s.process(name)
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		s.t.Helper()
		s.until(name+" is back", func() bool { return s.process(name).PID != before.PID })
	}
}

// stall stops a process where it stands, until the function that it gives is called.
func (s *realShop) stall(name string) (goOn func()) {
	s.t.Helper()
	send := func(signal syscall.Signal) {
		if err := syscall.Kill(s.process(name).PID, signal); err != nil {
			s.t.Error(err)
		}
	}
	send(syscall.SIGSTOP)
	return func() { send(syscall.SIGCONT) }
}

// until waits for what the browser cannot see.
func (s *realShop) until(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(*patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not within %v", what, *patience)
		}
	}
}

// ask runs a command of the operator's and gives what it prints, and its exit code.
func (s *realShop) ask(input string, args ...string) (out string, code int) {
	s.t.Helper()
	cmd := exec.Command(*holdfast, append(args, "--endpoints", strings.Join(s.Endpoints, ","))...)
	cmd.Stdin = strings.NewReader(input)
	both, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return string(both), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (s *realShop) must(args ...string) string {
	s.t.Helper()
	out, code := s.ask("", args...)
	if code != 0 {
		s.t.Fatalf("holdfast %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// answer runs a command and decodes the document that it prints.
func answer[T any](s *realShop, args ...string) (v T) {
	s.t.Helper()
	out := s.must(append(args, "-o", "json")...)
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatalf("holdfast %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// apply creates an event from a file that lacks its name and what all have.
func (s *realShop) apply(name, file string) {
	s.t.Helper()
	text := fmt.Sprintf("name: %s\ntitle: The Small House\ncurrency: eur\ncheckout: {mode: test, account: acct_demo}\n%s", name, file)
	if out, code := s.ask(text, "event", "apply", "-f", "-"); code != 0 {
		s.t.Fatalf("%s\n%s", out, text)
	}
	for _, address := range s.Addresses { // a frontend reads the list of events every two seconds
		s.until("the event is shown", func() bool {
			a, err := http.Get(address + "/e/" + name)
			if err == nil {
				a.Body.Close()
			}
			return err == nil && a.StatusCode == http.StatusOK
		})
	}
}

// sell opens an event's line, draws it and opens the sale.
func (s *realShop) sell(name, file string) {
	s.t.Helper()
	s.apply(name, file)
	s.must("queue", "open", name)
	s.must("queue", "draw", name)
	s.must("event", "open", name)
}
