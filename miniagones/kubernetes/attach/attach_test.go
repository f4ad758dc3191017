package attach

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// interrupted is a client whose user ends the program while a GameServer is made: it is made
// then, but an answer that is not waited for does not come.
type interrupted struct {
	client.Client
	end func()
}

func (c *interrupted) Create(ctx context.Context, obj client.Object, _ ...client.CreateOption) error {
	c.end()
	if err := ctx.Err(); err != nil {
		return err
	}
	obj.SetName("attached-1")
	obj.SetUID("u")
	return nil
}

// TestCreateInterrupted: a GameServer that is made while the program ends is known, so that
// it is deleted.
func TestCreateInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	guarded := ""
	a := &attachment{
		fleet: new(fleet),
		o: Options{
			Cluster: &Cluster{client: &interrupted{end: cancel}}, Namespace: "games",
			Guard: func(namespace, name, uid string) { guarded = namespace + "/" + name + " " + uid },
		},
	}
	gs, err := a.create(ctx)
	if err != nil || gs.Name != "attached-1" || guarded != "games/attached-1 u" {
		t.Errorf("error %v, guarded %q", err, guarded)
	}
}
