package v1

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Instant is a point in time, written in UTC with microseconds. Unlike a
// MicroTime it is read with any fraction of a second or none: the CRD lets
// those in, and one object that cannot be read would hide all others.
//
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:Format=date-time
type Instant struct {
	metav1.MicroTime `json:",inline"`
}

// At is the instant t.
func At(t time.Time) *Instant { return &Instant{MicroTime: metav1.MicroTime{Time: t}} }

// UnmarshalJSON reads RFC 3339.
func (i *Instant) UnmarshalJSON(text []byte) error {
	var s *string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("an instant: %w", err)
	}
	if s == nil || *s == "" {
		*i = Instant{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, *s)
	if err != nil {
		return fmt.Errorf("an instant: %w", err)
	}
	i.Time = t.Local()
	return nil
}
