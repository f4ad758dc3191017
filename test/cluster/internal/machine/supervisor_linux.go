package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// supervisor keeps services running. Only run uses it.
type supervisor struct {
	// logs is their folder. Nothing may be visible at its path any more.
	logs *os.File
	// waiting are to be started, at the time or later, when what they need is there.
	waiting map[*Service]time.Time
	running map[int]*Service
}

func newSupervisor(services []Service, logs *os.File) *supervisor {
	s := &supervisor{logs: logs, waiting: map[*Service]time.Time{}, running: map[int]*Service{}}
	for i := range services {
		s.waiting[&services[i]] = time.Now()
	}
	return s
}

type exit struct {
	pid    int
	status syscall.WaitStatus
}

// run starts services, and reaps all processes that end on the machine: those
// whose parents have ended are given to the first process.
func (s *supervisor) run() error {
	exits := make(chan exit)
	children := make(chan struct{}, 1) // told when there may be some
	go reap(exits, children)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.startDue(); err != nil {
			return err
		}
		select {
		case children <- struct{}{}:
		default:
		}
		select {
		case e := <-exits:
			s.ended(e)
		case <-tick.C:
		}
	}
}

func reap(exits chan<- exit, children <-chan struct{}) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == nil:
			exits <- exit{pid, status}
		case errors.Is(err, syscall.ECHILD):
			<-children
		}
	}
}

func (s *supervisor) ended(e exit) {
	service := s.running[e.pid]
	if service == nil {
		return
	}
	delete(s.running, e.pid)
	fmt.Printf("%s %s has ended: exit %d, signal %d\n", time.Now().Format(time.RFC3339), service.Name, e.status.ExitStatus(), e.status.Signal())
	s.waiting[service] = time.Now().Add(restartDelay)
}

func (s *supervisor) startDue() error {
	for service, due := range s.waiting {
		if time.Now().Before(due) || !exist(service.Needs) {
			continue
		}
		pid, err := s.start(service)
		if err != nil {
			fmt.Printf("start %s: %v\n", service.Name, err)
			s.waiting[service] = time.Now().Add(restartDelay)
			continue
		}
		delete(s.waiting, service)
		s.running[pid] = service
	}
	return nil
}

func exist(files []string) bool {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return false
		}
	}
	return true
}

func (s *supervisor) start(service *Service) (int, error) {
	log, err := os.OpenFile(filepath.Join(fdPath(s.logs), service.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return syscall.ForkExec(service.Args[0], service.Args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   service.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}
