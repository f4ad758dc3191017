// Package strictyaml decodes files of settings in YAML that people write: what would be
// passed over is an error.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// Unmarshal decodes one YAML document by the json tags of into. Fields that do not exist
// or come twice are errors, and so is a second document: after "---" or "..." nothing would be read.
func Unmarshal(text []byte, into any) error {
	if err := OneDocument(text); err != nil {
		return err
	}
	return yaml.UnmarshalStrict(text, into)
}

// OneDocument is the error of a text that has a second document which is not empty. That
// the first is no YAML is left to whoever reads it.
func OneDocument(text []byte) error {
	decoder := yamlv3.NewDecoder(bytes.NewReader(text))
	var document yamlv3.Node
	if decoder.Decode(&document) != nil {
		return nil
	}
	for {
		document = yamlv3.Node{}
		err := decoder.Decode(&document)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("there must be one YAML document, and what follows is none: %w", err)
		case len(document.Content) == 1 && document.Content[0].Tag != "!!null":
			return fmt.Errorf(`line %d: there must be one YAML document, and a second one begins here ("---" or "..." is before it)`, document.Content[0].Line)
		}
	}
}
