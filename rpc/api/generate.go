// Package api is the contract of holdfast on the wire, generated from holdfast.proto and the files beside it. It imports protobuf and
// gRPC only.
package api

//go:generate go build -o ../../.tools/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate go build -o ../../.tools/protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc
//go:generate protoc --plugin=../../.tools/protoc-gen-go --plugin=../../.tools/protoc-gen-go-grpc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative holdfast.proto persons.proto
