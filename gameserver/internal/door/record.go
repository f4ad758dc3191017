package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"torikumi/gameserver/internal/agones"
)

// record is what a gate leaves for the next one in the same pod: without it a
// gate that was killed would take a server full of players for one that nobody
// joined.
type record struct {
	UID      string    `json:"uid"`
	Server   string    `json:"server"`
	Match    string    `json:"match"`
	Since    time.Time `json:"since"`
	LastLeft time.Time `json:"last_left"`
	Present  []Guest   `json:"present"`
	Departed []Guest   `json:"departed"`
}

var errRecord = errors.New("presence is damaged")

// loadRecord returns nil without a file. The error is errRecord for one that no
// gate can have written, because a gate replaces the file as a whole.
func loadRecord(path string) (*record, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	r := new(record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%w %q: %w", errRecord, filepath.Base(path), err)
	}
	return r, nil
}

// restore takes over what an earlier gate knew of the same allocation; mu is
// held.
func (d *Door) restore(v agones.View) {
	r := d.stored
	d.stored = nil
	if r == nil || r.UID != v.UID || r.Server != v.Namespace+"/"+v.Name || r.Match != v.Match || r.Match == "" {
		return
	}
	s := &d.state
	s.Since, s.LastLeft = r.Since, r.LastLeft
	for _, g := range r.Present {
		s.Present[g.Player] = g
	}
	for _, g := range r.Departed {
		s.Departed[g.Player] = g
	}
	d.o.Logger.Info("presence restored", "match", s.Match, "present", len(s.Present), "departed", len(s.Departed))
}

// save writes the record; mu is held. Play goes on if it cannot be written.
func (d *Door) save() {
	if d.o.PresenceFile == "" {
		return
	}
	s := &d.state
	err := writeRecord(d.o.PresenceFile, &record{
		UID: s.Server.UID, Server: s.Server.Namespace + "/" + s.Server.Name, Match: s.Match, Since: s.Since, LastLeft: s.LastLeft,
		Present: sorted(s.Present), Departed: sorted(s.Departed),
	})
	if err != nil && !d.saveFail {
		d.o.Logger.Error("presence cannot be written, a new start of the gate would not know who is here", "error", err)
	}
	d.saveFail = err != nil
}

// writeRecord replaces the file in one step. It need not survive the machine,
// only the process, so that nothing is synced.
func writeRecord(path string, r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("marshal presence: %w", err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("write presence: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write presence: %w", err)
	}
	return nil
}
