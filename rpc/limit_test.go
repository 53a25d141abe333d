package rpc

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAHandlersPanicIsAFailureOfItsCall(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	_, err := s.unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/x"}, func(context.Context, any) (any, error) { panic("as the test wished") })
	if status.Code(err) != codes.Internal {
		t.Errorf("a panic gave %v", err)
	}
	err = s.stream(nil, nil, &grpc.StreamServerInfo{FullMethod: "/x"}, func(any, grpc.ServerStream) error { panic("as the test wished") })
	if status.Code(err) != codes.Internal {
		t.Errorf("a panic in a stream gave %v", err)
	}
}

func TestEveryCallHasADeadline(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	_, err := s.unary(context.Background(), nil, &grpc.UnaryServerInfo{}, func(ctx context.Context, _ any) (any, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a handler runs without a deadline")
		}
		return nil, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limitConns(tcp, 1)
	defer l.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := dial()
	defer first.Close()
	one, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := dial() // is closed by the Accept that waits for the next one
	defer second.Close()
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("one connection too many was served")
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	_ = one.Close() // a second time counts nothing
	third := dial()
	defer third.Close()
	if c := <-accepted; c == nil || c.RemoteAddr().String() != third.LocalAddr().String() {
		t.Error("the place that became free was not given to the next")
	}
}
