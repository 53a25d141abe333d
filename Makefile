# The few commands of this project. `make` prints them.
.PHONY: help check test race fuzz browser demo bench proto clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

check: ## everything that CI runs
	.ci/run

test: ## all tests
	go test ./...

race: ## the concurrent packages under the race detector
	go test -race -short -timeout 15m ./fsm/... ./node/... ./client/... ./payment/...

fuzz: ## every fuzz target for half a minute
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' $$file); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s -fuzzminimizetime 1x ./$$(dirname $$file) || exit 1; \
		done; \
	done

browser: ## a real browser walks through the pages; pictures in dist/shots
	.ci/browser -shots $(CURDIR)/dist/shots

demo: ## an on-sale on a three-node cluster, with an audit
	go run ./cmd/holdfast demo

bench: ## claims a second, beside bare raft
	go run ./cmd/holdfast bench claims

proto: ## generate the wire code (needs protoc 3.21.12)
	go generate ./rpc/api

clean: ## what was built
	rm -rf .tools dist holdfast
