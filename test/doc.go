// Package test proves the whole path of a player across all services: in one
// process, and with each service as a process of its own that is killed,
// restarted, doubled and stopped while players come and go. It has no code but
// its tests.
package test
