// Package mailtest is a mail server for tests: it takes mails on loopback, keeps them, and can be told to refuse them. It
// speaks as much SMTP (RFC 5321) as it takes to be sent to, with STARTTLS and sign-in.
package mailtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a running server. It is safe for concurrent use.
type Server struct {
	Host   string
	Port   int
	CAFile string // the certificate, as a client would trust it
	// Username and Password let somebody in; set before the first connection, empty: nobody has to sign in.
	Username, Password string

	listener net.Listener
	tls      *tls.Config
	running  sync.WaitGroup

	mu    sync.Mutex
	mails []Mail
	verb  map[string]string // what to answer to a verb instead
	conns map[net.Conn]bool
	stuck chan struct{} // not nil: nothing is answered until it is closed
}

// Mail is one mail that was taken.
type Mail struct {
	From string
	To   []string
	TLS  bool // it came encrypted
	Raw  []byte
}

// Message parses a mail.
func (m Mail) Message(tb testing.TB) *mail.Message {
	tb.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		tb.Fatalf("a mail that cannot be read: %v\n%s", err, m.Raw)
	}
	return parsed
}

// New serves until the end of the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	s := &Server{Host: address.IP.String(), Port: address.Port, listener: listener, verb: map[string]string{}, conns: map[net.Conn]bool{}}
	s.certify(tb)
	s.running.Go(s.accept)
	tb.Cleanup(s.close)
	return s
}

// Mails are those that were taken so far.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Answer makes the server answer a verb (RCPT, DATA, or "." for the end of a mail) with a line of its own; "" ends that.
func (s *Server) Answer(verb, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verb[verb] = line
	if line == "" {
		delete(s.verb, verb)
	}
}

// Stall makes the server take connections and say nothing, until the function that it gives is called.
func (s *Server) Stall() (goOn func()) {
	stuck := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = stuck
	return sync.OnceFunc(func() { close(stuck) })
}

func (s *Server) certify(tb testing.TB) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(s.Host)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.CAFile = filepath.Join(tb.TempDir(), "ca.pem")
	if err := os.WriteFile(s.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) close() {
	s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		stuck := s.stuck
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			}()
			if stuck != nil {
				<-stuck
				return
			}
			(&session{server: s, conn: conn, text: textproto.NewConn(conn)}).serve()
		})
	}
}

// session is one connection.
type session struct {
	server *Server
	conn   net.Conn
	text   *textproto.Conn
	mail   Mail
	inside bool // signed in
}

func (s *session) say(line string) { _ = s.text.PrintfLine("%s", line) }

func (s *session) serve() {
	s.say("220 mailtest")
	for {
		line, err := s.text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		s.server.mu.Lock()
		instead := s.server.verb[verb]
		s.server.mu.Unlock()
		if instead != "" {
			s.say(instead)
			continue
		}
		if !s.obey(verb, rest) {
			return
		}
	}
}

// obey does what one line asks for, and reports whether the session goes on.
func (s *session) obey(verb, rest string) bool {
	switch verb {
	case "EHLO", "HELO":
		offers := []string{"250-mailtest", "250-8BITMIME", "250-SMTPUTF8", "250-ENHANCEDSTATUSCODES", "250-AUTH PLAIN"}
		if !s.mail.TLS {
			offers = append(offers, "250-STARTTLS")
		}
		s.say(strings.Join(append(offers, "250 HELP"), "\r\n"))
	case "STARTTLS":
		s.say("220 go on")
		secure := tls.Server(s.conn, s.server.tls)
		if secure.Handshake() != nil {
			return false
		}
		s.conn, s.text, s.mail.TLS = secure, textproto.NewConn(secure), true
	case "AUTH":
		_, given, _ := strings.Cut(rest, " ")
		raw, _ := base64.StdEncoding.DecodeString(given)
		if s.inside = string(raw) == "\x00"+s.server.Username+"\x00"+s.server.Password; s.inside {
			s.say("235 2.7.0 welcome")
		} else {
			s.say("535 5.7.8 not you, " + s.server.Username)
		}
	case "MAIL":
		if s.server.Username != "" && !s.inside {
			s.say("530 5.7.0 sign in first")
			return true
		}
		s.mail.From, s.mail.To = address(rest), nil
		s.say("250 2.1.0 fine")
	case "RCPT":
		s.mail.To = append(s.mail.To, address(rest))
		s.say("250 2.1.5 fine")
	case "DATA":
		return s.take()
	case "QUIT":
		s.say("221 2.0.0 bye")
		return false
	case "RSET", "NOOP":
		s.say("250 2.0.0 fine")
	default:
		s.say("502 5.5.1 no")
	}
	return true
}

func (s *session) take() bool {
	s.say("354 go on")
	raw, err := s.text.ReadDotBytes()
	if err != nil {
		return false
	}
	s.server.mu.Lock()
	instead := s.server.verb["."]
	if instead == "" {
		m := s.mail
		m.Raw = raw
		s.server.mails = append(s.server.mails, m)
		instead = "250 2.0.0 taken"
	}
	s.server.mu.Unlock()
	s.say(instead)
	return true
}

// address is what is between the angle brackets.
func address(rest string) string {
	_, rest, _ = strings.Cut(rest, "<")
	rest, _, _ = strings.Cut(rest, ">")
	return rest
}
