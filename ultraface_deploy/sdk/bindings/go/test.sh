#!/bin/sh
# Vet, format, tests and programs, with nothing from elsewhere.
set -e
cd "$(dirname "$0")"
export GOFLAGS=-mod=mod GOPROXY=off
[ -z "$(gofmt -l .)" ]
go vet ./...
go build -ldflags=-s -o build/ ./cmd/...
go test -count=1 ./...
[ "$(build/faces build/gray.png | wc -l)" -ge 1 ]
