package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The load of bench queue: visitors as bytes on a connection. An HTTP client would take more of the machine than the
// frontend that is measured; here requests are made beforehand, and of answers no more is read than is needed.

// visitPatience bounds how long a visitor waits for one answer.
const visitPatience = 15 * time.Second

// loaded is what came of a load.
type loaded struct {
	tokens     [][]byte // of those who joined
	took       []time.Duration
	lasted     time.Duration
	errors     int
	firstError error
}

// lane is one connection.
type lane struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte // of the last answer
}

func dialLane(address string) (*lane, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &lane{conn: conn, in: bufio.NewReaderSize(conn, 8<<10)}, nil
}

var (
	statusOK      = []byte("HTTP/1.1 200 OK\r\n")
	contentLength = []byte("Content-Length: ")
)

// answerMax bounds an answer: a place with its path and token.
const answerMax = 64 << 10

// ask sends a request and reads the answer, which must be a 200.
func (l *lane) ask(request []byte) error {
	if err := l.conn.SetDeadline(time.Now().Add(visitPatience)); err != nil {
		return err
	}
	if _, err := l.conn.Write(request); err != nil {
		return err
	}
	length, status := -1, ""
	for first := true; ; first = false {
		line, err := l.in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.Equal(line, statusOK):
			status = string(bytes.TrimSpace(line))
		case bytes.HasPrefix(line, contentLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return err
			}
		}
		if len(line) == len("\r\n") {
			break
		}
	}
	if length < 0 || length > answerMax {
		return fmt.Errorf("an answer of %d bytes", length)
	}
	if cap(l.body) < length {
		l.body = make([]byte, length, 2*length)
	}
	l.body = l.body[:length]
	if _, err := io.ReadFull(l.in, l.body); err != nil {
		return err
	}
	if status != "" {
		return fmt.Errorf("%s: %s", status, l.body)
	}
	return nil
}

// says finds the text of a field in the last answer.
func (l *lane) says(field string) ([]byte, bool) {
	_, rest, ok := bytes.Cut(l.body, []byte(`"`+field+`":"`))
	text, _, closed := bytes.Cut(rest, []byte(`"`))
	return text, ok && closed
}

// run lets so many connections work at the same time, each until its work says that there is no more. Connections are
// made before the time is taken.
func (b *queueBench) run(ctx context.Context, lanes int, work func(ctx context.Context, lane *lane, number int, l *loaded) error) (all loaded) {
	open := make([]*lane, lanes)
	for i := range open {
		lane, err := dialLane(b.address)
		if err != nil {
			all.errors, all.firstError = all.errors+1, errors.Join(all.firstError, err)
			return all
		}
		defer lane.conn.Close()
		open[i] = lane
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for i, lane := range open {
		wg.Go(func() {
			var l loaded
			err := work(ctx, lane, i, &l)
			mu.Lock()
			defer mu.Unlock()
			all.tokens, all.took = append(all.tokens, l.tokens...), append(all.took, l.took...)
			if err != nil {
				if all.errors++; all.firstError == nil {
					all.firstError = err
				}
			}
		})
	}
	wg.Wait()
	all.lasted = time.Since(began)
	return all
}

// join lets so many visitors join, each with a secret of their own.
func (b *queueBench) join(ctx context.Context, visitors, lanes int) loaded {
	var left atomic.Int64
	left.Store(int64(visitors))
	return b.run(ctx, min(lanes, visitors), func(ctx context.Context, lane *lane, _ int, l *loaded) error {
		for left.Add(-1) >= 0 && ctx.Err() == nil {
			request := joinRequest()
			sent := time.Now()
			if err := lane.ask(request); err != nil {
				return err
			}
			l.took = append(l.took, time.Since(sent))
			token, ok := lane.says("token")
			if !ok {
				return fmt.Errorf("joined, and given no token: %s", lane.body)
			}
			l.tokens = append(l.tokens, bytes.Clone(token))
		}
		return nil
	})
}

func joinRequest() []byte {
	var secret [32]byte
	rand.Read(secret[:])
	body := `{"secret":"` + base64.RawURLEncoding.EncodeToString(secret[:]) + `"}`
	return fmt.Appendf(nil, "POST /api/v1/events/%s/line HTTP/1.1\r\nHost: f1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", queueEvent, len(body), body)
}

func pollRequest(token []byte) []byte {
	return fmt.Appendf(nil, "GET /api/v1/events/%s/line/place HTTP/1.1\r\nHost: f1\r\nAuthorization: Place %s\r\n\r\n", queueEvent, token)
}

// poll lets the visitors poll, as quickly as they are answered.
func (b *queueBench) poll(ctx context.Context, tokens [][]byte, lanes int, duration time.Duration) loaded {
	end := time.Now().Add(duration)
	return b.run(ctx, lanes, func(ctx context.Context, lane *lane, number int, l *loaded) error {
		var mine [][]byte
		for i := number; i < len(tokens) && len(mine) < pollersPerLane; i += lanes {
			mine = append(mine, pollRequest(tokens[i]))
		}
		for i := 0; len(mine) > 0 && ctx.Err() == nil; i++ {
			sent := time.Now()
			if sent.After(end) {
				return nil
			}
			if err := lane.ask(mine[i%len(mine)]); err != nil {
				return err
			}
			l.took = append(l.took, time.Since(sent))
			if state, _ := lane.says("state"); string(state) != "waiting" {
				return fmt.Errorf("a poll was answered with %s", lane.body)
			}
		}
		return nil
	})
}

// pollersPerLane is how many visitors share a connection at most.
const pollersPerLane = 64

// drawn waits until the frontend knows where everybody stands.
func (b *queueBench) drawn(ctx context.Context, tokens [][]byte) error {
	lane, err := dialLane(b.address)
	if err != nil {
		return err
	}
	defer lane.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for pause(ctx, lookEvery) {
		if err := lane.ask(pollRequest(tokens[0])); err != nil {
			return err
		}
		if !bytes.Contains(lane.body, []byte(`"position":null`)) {
			return nil
		}
	}
	return fmt.Errorf("the frontend does not hear of the draw: %w", ctx.Err())
}
