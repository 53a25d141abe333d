// Package yamlfile reads the files by which an operator configures a frontend.
package yamlfile

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// Read decodes a YAML file of at most so many bytes into what v points to. Fields that v does not have are refused by name.
func Read(path string, most int64, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > most {
		return fmt.Errorf("it has %d bytes, and may have %d", info.Size(), most)
	}
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	return decoder.Decode(v)
}
