//go:build tools

// Package tools keeps what is built here in go.mod and go.sum: `go mod tidy`.
package tools

import (
	_ "github.com/temporalio/ui-server/v2/cmd/server"
	_ "go.temporal.io/server/cmd/server"
	_ "go.temporal.io/server/cmd/tools/sql"
)
