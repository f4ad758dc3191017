//go:build unix

package gameservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// bridgeCommand makes this test's program a bridge: the arguments after it are a game
// server that speaks WebSocket at PORT. What comes over UDP at the same port is passed
// on in a WebSocket for each address, and back. So the players of the demo, who speak
// UDP, test servers that do not.
const bridgeCommand = "websocket-bridge"

func bridge(args []string) error {
	port := os.Getenv("PORT")
	socket, err := net.ListenPacket("udp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer socket.Close()
	terminated := outlive()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = socket.SetReadDeadline(time.Unix(1, 0))
		ended <- err
	}()
	pump(context.Background(), socket, "ws://127.0.0.1:"+port)
	if err := <-ended; err != nil && !terminated() {
		return fmt.Errorf("game server: %w", err)
	}
	return nil
}

// outlive has this process live on when it is to end: the game server, which is told so
// as well, has the last word. The function reports whether that has been.
func outlive() (terminated func() bool) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, os.Interrupt)
	return func() bool { return len(told) > 0 }
}

// pump returns when nothing can be read from the socket any more, and all that the server
// has said is passed on: its connections end with it.
func pump(ctx context.Context, socket net.PacketConn, url string) {
	var mu sync.Mutex
	links := map[string]*websocket.Conn{}
	var back sync.WaitGroup
	defer back.Wait()
	buf := make([]byte, 2048)
	for {
		n, from, err := socket.ReadFrom(buf)
		if err != nil {
			return
		}
		mu.Lock()
		link := links[from.String()]
		mu.Unlock()
		if link == nil {
			link, _, err = websocket.Dial(ctx, url, nil)
			if err != nil {
				continue // the player asks again
			}
			mu.Lock()
			links[from.String()] = link
			mu.Unlock()
			back.Go(func() {
				for {
					_, data, err := link.Read(ctx)
					if err != nil {
						break
					}
					_, _ = socket.WriteTo(data, from)
				}
				mu.Lock()
				defer mu.Unlock()
				delete(links, from.String())
			})
		}
		if err := link.Write(ctx, websocket.MessageText, buf[:n]); err != nil && !errors.Is(err, context.Canceled) {
			mu.Lock()
			delete(links, from.String())
			mu.Unlock()
		}
	}
}
