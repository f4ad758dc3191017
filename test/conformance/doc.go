// Package conformance says, in tests, what any Open Match must do: how its
// frontend, backend and query services answer, over gRPC and over REST. The tests
// run against minimatch, or against any Open Match whose addresses they are given;
// docs/openmatch.md says how. Beside them stand the tests of what minimatch
// promises beyond that.
package conformance
