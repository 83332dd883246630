// Parses a job file with Nomad's own parser and prints what it understood as JSON, with Nomad's defaults filled in.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/nomad/jobspec2"
)

func main() {
	file := os.Args[1]
	body, err := os.ReadFile(file)
	if err == nil {
		err = parse(file, body, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func parse(file string, body []byte, variables []string) error {
	job, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: file, Body: body, ArgVars: variables, Strict: true})
	if err != nil {
		return err
	}
	job.Canonicalize()
	return json.NewEncoder(os.Stdout).Encode(job)
}
