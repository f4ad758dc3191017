package controller_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/agones"
)

// kubelet stands for scheduler and kubelets: it binds the pods of a namespace to
// nodes and runs their containers as processes: the SDK server, and the game server
// of package conformance, whose mode is the name of its image. An image
// "missing" can't be pulled.
type kubelet struct {
	t         testing.TB
	cluster   *kubetest.Cluster
	namespace string
	sdkConfig string

	pods map[types.UID]*runningPod
}

// runningPod is the processes of one pod.
type runningPod struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// startKubelet runs until the end of the test.
func startKubelet(t testing.TB, c *kubetest.Cluster, namespace string) *kubelet {
	k := &kubelet{t: t, cluster: c, namespace: namespace, sdkConfig: c.As(t, namespace, pod.ServiceAccount), pods: make(map[types.UID]*runningPod)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.loop(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		for _, p := range k.pods {
			p.cancel()
			<-p.done
		}
	})
	return k
}

func (k *kubelet) loop(ctx context.Context) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list := new(corev1.PodList)
		if err := k.cluster.Admin.List(ctx, list, client.InNamespace(k.namespace)); err != nil {
			if ctx.Err() == nil {
				k.t.Errorf("kubelet: %v", err)
			}
			return
		}
		k.sync(ctx, list.Items)
	}
}

func (k *kubelet) sync(ctx context.Context, pods []corev1.Pod) {
	for i := range pods {
		p := &pods[i]
		switch running := k.pods[p.UID]; {
		case !p.DeletionTimestamp.IsZero():
			if running != nil {
				running.cancel()
				if !isDone(running) {
					continue // it is given its time
				}
			}
			now := int64(0)
			err := k.cluster.Admin.Delete(ctx, p, client.Preconditions{UID: &p.UID}, &client.DeleteOptions{GracePeriodSeconds: &now})
			k.check(client.IgnoreNotFound(err))
		case p.Spec.NodeName == "":
			k.schedule(ctx, p, pods)
		case running == nil:
			own, cancel := context.WithCancel(context.Background())
			r := &runningPod{cancel: cancel, done: make(chan struct{})}
			k.pods[p.UID] = r
			go func() {
				defer close(r.done)
				defer cancel()
				k.run(own, p.DeepCopy())
			}()
		}
	}
	for uid, r := range k.pods {
		if isDone(r) && !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.UID == uid }) {
			delete(k.pods, uid)
		} else if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.UID == uid }) {
			r.cancel() // it was deleted without grace
		}
	}
}

func isDone(r *runningPod) bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (k *kubelet) check(err error) {
	if err != nil && !apierrors.IsConflict(err) && !errors.Is(err, context.Canceled) {
		k.t.Errorf("kubelet: %v", err)
	}
}

// schedule binds a pod to the first node on which its host ports are free.
func (k *kubelet) schedule(ctx context.Context, p *corev1.Pod, all []corev1.Pod) {
	nodes := new(corev1.NodeList)
	if err := k.cluster.Admin.List(ctx, nodes); err != nil {
		k.check(err)
		return
	}
	for _, n := range nodes.Items {
		taken := slices.ContainsFunc(all, func(other corev1.Pod) bool { return other.Spec.NodeName == n.Name && shares(&other, p) })
		if taken {
			continue
		}
		b := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: n.Name}}
		k.check(client.IgnoreNotFound(k.cluster.Admin.SubResource("binding").Create(ctx, p, b)))
		return
	}
}

func shares(a, b *corev1.Pod) bool {
	for _, port := range hostPorts(a) {
		if slices.Contains(hostPorts(b), port) {
			return true
		}
	}
	return false
}

func hostPorts(p *corev1.Pod) (ports []int32) {
	for _, c := range append(slices.Clone(p.Spec.InitContainers), p.Spec.Containers...) {
		for _, port := range c.Ports {
			ports = append(ports, port.HostPort)
		}
	}
	return ports
}

// status changes a pod's status, until it is gone.
func (k *kubelet) status(p *corev1.Pod, change func(*corev1.PodStatus)) {
	for {
		now := new(corev1.Pod)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		err := k.cluster.Admin.Get(ctx, client.ObjectKeyFromObject(p), now)
		if err == nil && now.UID == p.UID {
			change(&now.Status)
			err = k.cluster.Admin.Status().Update(ctx, now)
		}
		cancel()
		if apierrors.IsConflict(err) {
			continue
		}
		k.check(client.IgnoreNotFound(err))
		return
	}
}

// run runs a pod until ctx ends or its game server does.
func (k *kubelet) run(ctx context.Context, p *corev1.Pod) {
	game := p.Spec.Containers[0]
	if game.Image == "missing" {
		k.status(p, func(s *corev1.PodStatus) {
			s.Phase = corev1.PodPending
			s.ContainerStatuses = []corev1.ContainerStatus{{Name: game.Name, State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "there is no such image"},
			}}}
		})
		<-ctx.Done()
		return
	}
	sdk, err := k.sidecar(ctx, p)
	if err != nil {
		if ctx.Err() == nil {
			k.t.Errorf("kubelet: %s: the SDK server: %v", p.Name, err)
		}
		return
	}
	defer sdk.stop()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), conformance.ModeVariable+"="+game.Image, fmt.Sprintf("PORT=%d", game.Ports[0].HostPort),
		agones.SDKGRPCPortEnv+"="+sdk.grpc, agones.SDKHTTPPortEnv+"="+sdk.http)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		k.t.Errorf("kubelet: %v", err)
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait() // how it ended is in its state
	}()
	k.status(p, func(s *corev1.PodStatus) {
		s.Phase = corev1.PodRunning
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: game.Name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
	})
	k.follow(ctx, game, sdk, child, ended)
	code := int32(child.ProcessState.ExitCode())
	k.status(p, func(s *corev1.PodStatus) {
		s.Phase = corev1.PodSucceeded
		if code != 0 {
			s.Phase = corev1.PodFailed
		}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: game.Name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}}
	})
}

// follow probes a game server until it ends, and ends it when ctx does.
func (k *kubelet) follow(ctx context.Context, game corev1.Container, sdk *sidecarProcess, child *exec.Cmd, ended <-chan struct{}) {
	var probe <-chan time.Time
	if game.LivenessProbe != nil {
		tick := time.NewTicker(time.Duration(game.LivenessProbe.PeriodSeconds) * time.Second)
		defer tick.Stop()
		probe = tick.C
	}
	for {
		select {
		case <-ended:
			return
		case <-probe:
			if resp, err := http.Get("http://" + sdk.health + game.LivenessProbe.HTTPGet.Path); err == nil {
				_ = resp.Body.Close()
			}
		case <-ctx.Done():
			_ = child.Process.Signal(syscall.SIGTERM) // it may have ended
			select {
			case <-ended:
			case <-time.After(5 * time.Second):
				_ = child.Process.Kill()
				<-ended
			}
			return
		}
	}
}

type sidecarProcess struct {
	cmd                *exec.Cmd
	grpc, http, health string
}

func (s *sidecarProcess) stop() {
	_ = s.cmd.Process.Kill() // it has nothing to lose
	_ = s.cmd.Wait()
}

var listening = regexp.MustCompile(`grpc=127\.0\.0\.1:(\d+) http=127\.0\.0\.1:(\d+) health=(\S+)`)

// sidecar runs the pod's first init container, with the arguments that it has but
// on ports of its own, and waits until it is healthy.
func (k *kubelet) sidecar(ctx context.Context, p *corev1.Pod) (*sidecarProcess, error) {
	c := p.Spec.InitContainers[0]
	if c.Name != pod.SidecarName || c.Args[0] != "sdk" {
		return nil, fmt.Errorf("the first init container is %q with arguments %v", c.Name, c.Args)
	}
	var args []string
	for _, a := range c.Args[1:] {
		if name, _, _ := strings.Cut(a, "="); strings.HasSuffix(name, "-listen") {
			a = name + "=127.0.0.1:0"
		}
		args = append(args, a)
	}
	s := &sidecarProcess{cmd: exec.Command(os.Args[0], append(args, "--kubeconfig="+k.sdkConfig)...)}
	s.cmd.Env = append(os.Environ(), programVariable+"=sdk")
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			s.grpc, s.http, s.health = m[1], m[2], m[3]
			break
		}
	}
	if s.grpc == "" {
		s.stop()
		return nil, errors.New("it does not listen")
	}
	for ctx.Err() == nil {
		if resp, err := http.Get("http://" + s.health + c.StartupProbe.HTTPGet.Path); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.stop()
	return nil, ctx.Err()
}
