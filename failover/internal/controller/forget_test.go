package controller

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
)

// forgetter is a cloud that counts and answers.
type forgetter struct {
	cloud.Provider
	calls int
	err   error
}

func (c *forgetter) ForgetScript(context.Context, cloud.Ref, cloud.Owner) error {
	c.calls++
	return c.err
}

// The script is asked for once per VM that has joined; what may pass is tried again
// later, what will not is told once.
func TestForgetScript(t *testing.T) {
	c := &forgetter{}
	clock := testclock.NewFakeClock(time.Now())
	recorder := events.NewFakeRecorder(10)
	r := NewReconciler(&Options{Cloud: c, Log: slog.New(slog.DiscardHandler), Events: recorder, Clock: clock, Settings: &decide.Settings{Watch: time.Minute}})
	f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "f", UID: "u"}, Status: v1.NodeFailoverStatus{Phase: v1.Creating, GCPVMName: "vm", VM: &v1.VMStatus{TokenIDs: []string{"abcdef"}}}}
	temp := decide.Temp{Exists: true, Labels: map[string]string{join.ScriptKeptLabel: "true"}}
	look := func(want int, what string) {
		t.Helper()
		r.forgetScript(t.Context(), &decide.State{Failover: f, Temp: temp})
		if c.calls != want {
			t.Errorf("%s: %d calls, want %d", what, c.calls, want)
		}
	}
	look(0, "before the join")
	f.Status.Phase = v1.Active
	look(0, "while the token is valid")
	f.Status.VM.TokenIDs = nil
	c.err = errors.New("it may pass")
	look(1, "once joined")
	look(1, "at once again")
	clock.SetTime(clock.Now().Add(time.Minute))
	c.err = cloud.ErrInvalid
	look(2, "later")
	clock.SetTime(clock.Now().Add(time.Hour))
	look(2, "without the permission")
	if n := len(recorder.Events); n != 1 {
		t.Errorf("%d events", n)
	}
	f.Status.GCPVMName, c.err = "next", nil
	look(3, "the next VM")
	look(3, "again")

	f.Status.GCPVMName, f.Status.VM.ProviderID = "without a copy", "its"
	for _, temp = range []decide.Temp{
		{},
		{Exists: true, ProviderID: "another's"},
		{Exists: true, ProviderID: "its", Labels: map[string]string{"hardware": "game-runner"}},
		{Exists: true, ProviderID: "its"}, // it is told once
	} {
		look(3, "a VM that may need its script")
	}
	if n := len(recorder.Events); n != 2 {
		t.Errorf("%d events", n)
	}
}
