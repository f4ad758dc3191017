package v1_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	v1 "torikumi/failover/api/v1"
)

// Whatever the CRD lets in, and what an older one has let in, can be read: else
// one object would hide all others.
func TestEveryListCanBeRead(t *testing.T) {
	list := func(status, share string) (v1.NodeFailover, error) {
		var l v1.NodeFailoverList
		text := fmt.Sprintf(`{"items":[{"metadata":{"name":"a"},"spec":{"onpremNodeName":"w","adds":"x","share":{"number":2,"gameServers":1,"memory":"1",%s}},"status":{"phase":"Completed",%s}}]}`, share, status)
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return v1.NodeFailover{}, err
		}
		return l.Items[0], nil
	}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-01-02T12:00:00Z"`:             noon,
		`"2026-01-02T12:00:00.5Z"`:           noon.Add(time.Second / 2),
		`"2026-01-02T12:00:00.000001Z"`:      noon.Add(time.Microsecond),
		`"2026-01-02T14:00:00.000000+02:00"`: noon,
		`"2026-01-02t12:00:00z"`:             noon,
		`""`:                                 {},
		`"yesterday"`:                        {},
		`"2026-01-02T12:00:00+99:00"`:        {},
		`17`:                                 {},
	} {
		f, err := list(`"failedAt":`+text, `"cpu":"1"`)
		if err != nil || !f.Status.FailedAt.Time.Equal(want) {
			t.Errorf("%s: %v, %v", text, f.Status.FailedAt, err)
		}
	}
	for text, want := range map[string]int64{
		`"250m"`: 250, `"2"`: 2000, `2`: 2000, `"1.5"`: 1500, `"1Gi"`: 1 << 30 * 1000,
		`"1e3"`: 0, `"1e1.5"`: 0, `"1e99999999999999999999"`: 0, `"1e-999999999"`: 0, `"1e2147483648"`: 0, `"-1"`: 0, `null`: 0, `{}`: 0,
		`"1111111111111111111111111111111111111111"`: 0,
	} {
		f, err := list(`"failedAt":null`, `"cpu":`+text)
		if err != nil || f.Spec.SharedLoad.CPU.MilliValue() != want {
			t.Errorf("%s: %v, %v", text, f.Spec.SharedLoad.CPU.String(), err)
		}
	}
}

func TestMarshal(t *testing.T) {
	text, err := json.Marshal(struct {
		I *v1.Instant
		A []v1.Amount
	}{v1.At(time.Date(2026, 1, 2, 12, 0, 0, 1000, time.UTC)), []v1.Amount{v1.Milli(250), v1.Milli(2000), v1.Bytes(3 << 30), {}}})
	if want := `{"I":"2026-01-02T12:00:00.000001Z","A":["250m","2","3Gi","0"]}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
}
