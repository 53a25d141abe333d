package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestASurgeIsSimulatedAndPlotted(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "step.svg")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"queue", "simulate", "--surge", "step", "--plot", plot, "--seconds", "-o", "json"}, &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	var got simulatedOut
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != 1 || got.Items[0].Surge != "step" || got.Items[0].Sold != got.Items[0].Units || len(got.Items[0].Samples) == 0 {
		t.Errorf("the surge was not simulated: %.200s", out.String())
	}
	if svg, err := os.ReadFile(plot); err != nil || !bytes.HasPrefix(svg, []byte("<svg ")) {
		t.Errorf("the plot is not there: %v, %.40s", err, svg)
	}
	if code := run(t.Context(), []string{"queue", "simulate", "--surge", "stepp"}, &out, &errs); code != exitUsage {
		t.Errorf("an unknown surge ends with %d, want %d", code, exitUsage)
	}
}

// The pictures in docs/ are what the program draws now.
func TestTheSurgesPicturesAreCurrent(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("where the processor adds and multiplies in one step, the last digits differ")
	}
	dir := t.TempDir()
	if *rewrite {
		dir = "../../docs/images"
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"queue", "simulate", "--plot", dir}, &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	drawn, _ := filepath.Glob(filepath.Join(dir, "surge-*.svg"))
	if len(drawn) == 0 {
		t.Fatal("nothing was drawn")
	}
	for _, file := range drawn {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		current(t, "../../docs/images/"+filepath.Base(file), want)
	}
}
