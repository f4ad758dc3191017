// Package module makes a rule in Go a WebAssembly module, which a match
// function loads while it runs. The main package of the module says which rule
// it is:
//
//	func init() { module.Serve(rivals.New) }
//
//	func main() {}
//
// and is built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o rivals.wasm .
//
// docs/custom-rules.md says what a module is, in any language.
package module
