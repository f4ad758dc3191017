package fleet

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
)

// identities are the tokens of the gates that run, each as good as the token of a pod
// in a cluster. It holds their hashes only, and compares no secrets.
type identities struct {
	mu    sync.Mutex
	names map[[sha256.Size]byte]string
}

// issue makes a token for the gate of a server, good until revoke.
func (i *identities) issue(name string) (token string, revoke func()) {
	token = rand.Text()
	hash := sha256.Sum256([]byte(token))
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.names == nil {
		i.names = make(map[[sha256.Size]byte]string)
	}
	i.names[hash] = name
	return token, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.names, hash)
	}
}

// owner returns the name of the server to whose gate a token was given.
func (i *identities) owner(token string) (name string, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	name, ok = i.names[sha256.Sum256([]byte(token))]
	return name, ok
}
