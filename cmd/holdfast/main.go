package main

import _ "embed"

//go:embed event.yaml
var arenaFile []byte

func main() {}
