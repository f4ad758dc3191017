package v1

import (
	"encoding/json"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Instant is a point in time, written in UTC with microseconds. Unlike a
// MicroTime it is read with any fraction of a second or none, and as zero if it
// can't be read: the CRD lets all that in, and one object that cannot be read
// would hide all others.
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
	*i = Instant{}
	var s string
	if json.Unmarshal(text, &s) != nil {
		return nil
	}
	if t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s)); err == nil {
		i.Time = t.Local()
	}
	return nil
}
