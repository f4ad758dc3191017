package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"torikumi/pkg/atomicfile"
	"torikumi/pkg/token"
)

// A journal is a text file. The first line is the magic and the start time in
// nanoseconds since 1970 (0: there is none); each further line is a used id and
// when its token expires, in seconds since 1970.
const journalMagic = "torikumi-replay-1"

// journalState is what a journal tells.
type journalState struct {
	// start is the time before which uses may be missing; zero means that none
	// are.
	start time.Time
	used  map[string]int64
}

// journal is an append-only file that is durable after every write.
type journal struct {
	path string
	file *os.File // nil after a failure, until the next rewrite
	lock *os.File
}

// readJournal returns the recorded state, and whether the record is whole. A
// last line without an end is a use that was never answered, and does not count.
func readJournal(path string) (state journalState, whole bool, err error) {
	state.used = map[string]int64{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, false, nil
	}
	if err != nil {
		return state, false, fmt.Errorf("read journal: %w", err)
	}
	lines := strings.Split(string(data[:bytes.LastIndexByte(data, '\n')+1]), "\n")
	magic, start, _ := strings.Cut(lines[0], " ")
	nanos, err := strconv.ParseInt(start, 10, 64)
	whole = magic == journalMagic && err == nil
	if whole && nanos != 0 {
		state.start = time.Unix(0, nanos)
	}
	for _, line := range lines[1:] {
		if line == "" {
			continue
		}
		id, exp, _ := strings.Cut(line, " ")
		seconds, err := strconv.ParseInt(exp, 10, 64)
		if err != nil || !validUsedID(id) {
			whole = false
			continue
		}
		state.used[id] = seconds
	}
	return state, whole, nil
}

// validUsedID keeps line ends and spaces out of the journal.
func validUsedID(id string) bool { return token.Matches(id, "_-", 64) }

func journalLine(id string, exp int64) string {
	return id + " " + strconv.FormatInt(exp, 10) + "\n"
}

// rewrite replaces the file by one that holds just the state, and opens it for
// more.
func (j *journal) rewrite(state *journalState) error {
	j.close()
	var nanos int64
	if !state.start.IsZero() {
		nanos = state.start.UnixNano()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d\n", journalMagic, nanos)
	for id, exp := range state.used {
		b.WriteString(journalLine(id, exp))
	}
	if err := atomicfile.Write(j.path, b.Bytes(), time.Time{}); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	j.file = f
	return nil
}

// add records one use. After an error nobody knows how much of it is in the
// file, so that it takes a rewrite before the next.
func (j *journal) add(id string, exp int64) error {
	_, err := j.file.WriteString(journalLine(id, exp))
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.close()
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// close closes the file: all that counts in it has been synced.
func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}

// lockJournal keeps a second process from using the same journal; the lock ends
// with the process.
func lockJournal(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock journal %q: %w", filepath.Base(path), err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock journal %q, which another process may be using: %w", filepath.Base(path), err)
	}
	return f, nil
}
