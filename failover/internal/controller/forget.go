package controller

import (
	"context"
	"errors"
	"fmt"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
)

// forgetScript takes the startup script out of the cloud's hands once its VM has
// joined: the token in it is void by then, but a join hook may have a key of its own.
// A VM that keeps no copy would be lost with its next boot: its script stays. All this
// comes after what is decided, and nothing waits for it; what fails is tried again at a
// later look, but for what would fail again.
func (r *Reconciler) forgetScript(ctx context.Context, s *decide.State) {
	f := s.Failover
	p, ok := r.opts.Cloud.(cloud.ScriptForgetter)
	if !ok || f.Status.Phase != v1.Active || f.Status.VM == nil || f.Status.VM.GaveUp != "" || len(f.Status.VM.TokenIDs) > 0 {
		return
	}
	now := r.opts.Clock.Now()
	v, _ := r.scripts.Load(f.UID)
	if last, _ := v.(script); last.vm == f.Status.GCPVMName && (last.over || now.Sub(last.at) < r.opts.Settings.Watch) {
		return
	}
	if !s.Temp.Exists || s.Temp.ProviderID != "" && f.Status.VM.ProviderID != "" && s.Temp.ProviderID != f.Status.VM.ProviderID {
		return // what the VM keeps is not known
	}
	if s.Temp.Labels[join.ScriptKeptLabel] == "" {
		r.scripts.Store(f.UID, script{at: now, vm: f.Status.GCPVMName, over: true})
		r.opts.event(f, decide.Event{Kind: decide.Warning, Reason: "ScriptLeft", Message: fmt.Sprintf("the startup script of %s, with the join hook, stays in its metadata: the VM was made by an earlier version or could keep no copy, and needs it after a reboot", f.Status.GCPVMName)})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := p.ForgetScript(ctx, ref(f), r.owner(f))
	over := err == nil || errors.Is(err, cloud.ErrNotFound) || errors.Is(err, cloud.ErrForeign) || errors.Is(err, cloud.ErrInvalid)
	r.scripts.Store(f.UID, script{at: now, vm: f.Status.GCPVMName, over: over})
	switch {
	case err == nil:
		r.opts.Log.Info("the cloud has the startup script no more", "vm", f.Status.GCPVMName, "failover", f.Name)
	case errors.Is(err, cloud.ErrInvalid):
		r.opts.event(f, decide.Event{Kind: decide.Warning, Reason: "ScriptLeft", Message: fmt.Sprintf("the startup script of %s, with the join hook, stays in its metadata: %v", f.Status.GCPVMName, err)})
	case !over:
		r.opts.Log.Warn("the startup script can't be taken away yet", "vm", f.Status.GCPVMName, "error", err)
	}
}
