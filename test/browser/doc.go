// Package browser plays in a real browser: the example page of the client in
// TypeScript, against `torikumi up`. It is a module of its own for what drives the
// browser, and its tests are behind the build tag e2e.
package browser
