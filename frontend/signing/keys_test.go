package signing_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

func TestKeyFormats(t *testing.T) {
	ec := tokentest.EC()
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(tokentest.RSA())
	if err != nil {
		t.Fatal(err)
	}
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	for name, test := range map[string]struct {
		alg  token.Algorithm
		data []byte
	}{
		"PKCS #8":                  {token.RS256, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})},
		"PKCS #1":                  {token.RS256, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(tokentest.RSA())})},
		"SEC 1":                    {token.ES256, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})},
		"SEC 1 with parameters":    {token.ES256, append(params, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)},
		"PKCS #8 and a blank line": {token.RS256, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), "\n\n"...)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a.pem"), test.data)
			keys := load(t, dir, signing.KeyOptions{Algorithm: test.alg})
			raw, _, err := newMinter(t, keys, at(begin)).Mint(request)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := newVerifier(t, keys, test.alg, at(begin)).Verify(t.Context(), raw, want); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBadKeyDirectories(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	one := func(key crypto.Signer) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writePEM(t, filepath.Join(dir, "bad.pem"), key) }
	}
	text := func(s string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, "bad.pem"), []byte(s)) }
	}
	good := func(t *testing.T) []byte {
		path := writePEM(t, filepath.Join(t.TempDir(), "x.pem"), tokentest.RSA())
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, test := range map[string]struct {
		fill func(*testing.T, string)
		says string // in the error
	}{
		"empty":           {func(*testing.T, string) {}, "at least one private key"},
		"only dot files":  {func(t *testing.T, dir string) { writePEM(t, filepath.Join(dir, ".a.pem"), tokentest.RSA()) }, "at least one private key"},
		"only other ones": {func(t *testing.T, dir string) { writePEM(t, filepath.Join(dir, "a.key"), tokentest.RSA()) }, "at least one private key"},
		"P-256 for RS256": {one(tokentest.EC()), "bad.pem"},
		"P-384":           {one(p384), "bad.pem"},
		"Ed25519":         {one(ed), "bad.pem"},
		"no PEM":          {text("hello"), "bad.pem"},
		"nothing":         {text(""), "bad.pem"},
		"rubbish in PEM":  {text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "bad.pem"},
		"encrypted":       {text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), "unencrypted"},
		"public":          {text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "PUBLIC KEY"},
		"too large":       {text(strings.Repeat("#", 70000)), "larger"},
		"two in one file": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "bad.pem"), append(good(t), good(t)...))
		}, "nothing after"},
		"one twice": {func(t *testing.T, dir string) {
			writePEM(t, filepath.Join(dir, "a.pem"), tokentest.RSA())
			writePEM(t, filepath.Join(dir, "bad.pem"), tokentest.RSA())
		}, "same key"},
		"one good, one bad": {func(t *testing.T, dir string) {
			writePEM(t, filepath.Join(dir, "a.pem"), tokentest.RSA())
			write(t, filepath.Join(dir, "bad.pem"), []byte("x"))
		}, "bad.pem"},
		"impossible time": {func(t *testing.T, dir string) {
			writePEM(t, filepath.Join(dir, "20261301T000000Z-bad.pem"), tokentest.RSA())
		}, "bad.pem"},
		"link to a directory": {func(t *testing.T, dir string) {
			if err := os.Symlink(t.TempDir(), filepath.Join(dir, "bad.pem")); err != nil {
				t.Skip(err)
			}
		}, "regular file"},
		"link to nowhere": {func(t *testing.T, dir string) {
			if err := os.Symlink("gone", filepath.Join(dir, "bad.pem")); err != nil {
				t.Skip(err)
			}
		}, "bad.pem"},
		"writable by everyone": {func(t *testing.T, dir string) {
			if runtime.GOOS == "windows" {
				t.Skip("no such permission")
			}
			if err := os.Chmod(writePEM(t, filepath.Join(dir, "bad.pem"), tokentest.RSA()), 0o646); err != nil {
				t.Fatal(err)
			}
		}, "writable by everyone"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test.fill(t, dir)
			_, err := signing.LoadKeys(dir, signing.KeyOptions{Algorithm: token.RS256})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v; want one that says %q", err, test.says)
			}
		})
	}
}

func TestWeakRSAKey(t *testing.T) {
	dir := t.TempDir()
	writePEM(t, filepath.Join(dir, "weak.pem"), tokentest.WeakRSA())
	_, err := signing.LoadKeys(dir, signing.KeyOptions{Algorithm: token.RS256})
	if err == nil || !strings.Contains(err.Error(), "1024 bits") || !strings.Contains(err.Error(), "weak.pem") {
		t.Errorf("error %v; want one that names the size and the file", err)
	}
}

func TestLoadKeysChecksOptions(t *testing.T) {
	for _, opts := range []signing.KeyOptions{{}, {Algorithm: "HS256"}, {Algorithm: token.ES256, PublishBefore: -1}} {
		if _, err := signing.LoadKeys(t.TempDir(), opts); err == nil || strings.Contains(err.Error(), "directory") {
			t.Errorf("%+v: %v; want an error about the option", opts, err)
		}
	}
	if _, err := signing.LoadKeys(filepath.Join(t.TempDir(), "none"), signing.KeyOptions{Algorithm: token.ES256}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestGenerateKey(t *testing.T) {
	for _, alg := range []token.Algorithm{token.RS256, token.ES256} {
		dir := filepath.Join(t.TempDir(), "keys")
		path, err := signing.GenerateKey(dir, alg, begin)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("mode %v, want 0600", info.Mode())
		}
		if !info.ModTime().Equal(begin) {
			t.Errorf("modified %v, want %v", info.ModTime(), begin)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("directory holds %v (%v), want the key alone", entries, err)
		}
		kid := load(t, dir, signing.KeyOptions{Algorithm: alg}).SigningKeyID()
		if base := filepath.Base(path); base != "20260301T120000Z-"+kid[:8]+".pem" {
			t.Errorf("file name %q does not tell time and key %q", base, kid)
		}
	}
	if _, err := signing.GenerateKey(t.TempDir(), "none", begin); err == nil {
		t.Error("key for algorithm none")
	}
	blocked := writePEM(t, filepath.Join(t.TempDir(), "file"), tokentest.EC())
	if _, err := signing.GenerateKey(blocked, token.ES256, begin); err == nil {
		t.Error("key in a directory that is a file")
	}
}

// generate returns the id of a new key.
func generate(t testing.TB, dir string, added time.Time) (path, kid string) {
	t.Helper()
	path, err := signing.GenerateKey(dir, token.ES256, added)
	if err != nil {
		t.Fatal(err)
	}
	single := t.TempDir()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(single, "a.pem"), data)
	return path, load(t, single, signing.KeyOptions{Algorithm: token.ES256}).SigningKeyID()
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: begin}
	opts := signing.KeyOptions{Algorithm: token.ES256, PublishBefore: 10 * time.Minute, Now: c.now}
	oldPath, old := generate(t, dir, begin.Add(-time.Hour))
	keys := load(t, dir, opts)
	newPath, next := generate(t, dir, begin)
	reload := func() {
		t.Helper()
		if err := keys.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(step, signing string, published ...string) {
		t.Helper()
		if got := keys.SigningKeyID(); got != signing {
			t.Errorf("%s: %s signs, want %s", step, got, signing)
		}
		if got := keys.KeyIDs(); !slices.Equal(got, published) {
			t.Errorf("%s: %v published, want %v", step, got, published)
		}
		// Another replica, started just now, comes to the same choice.
		if got := load(t, dir, opts).SigningKeyID(); got != signing {
			t.Errorf("%s: in a second replica %s signs, want %s", step, got, signing)
		}
	}
	expect("before reload", old, old)
	reload()
	expect("published", old, old, next)
	c.advance(10*time.Minute - 1)
	expect("nearly old enough", old, old, next)
	c.advance(1)
	expect("old enough, without reload", next, old, next)
	if err := os.Remove(oldPath); err != nil {
		t.Fatal(err)
	}
	reload()
	expect("old one gone", next, next)
	if _, err := keys.Key(t.Context(), old); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("removed key: %v, want ErrUnknownKey", err)
	}
	if err := os.Remove(newPath); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err == nil || keys.Err() == nil {
		t.Error("an empty directory is no error")
	}
	if got := keys.SigningKeyID(); got != next {
		t.Errorf("after a failed reload %s signs, want %s", got, next)
	}
}

// TestKeyMovedIn: a file may be old and yet new to the directory.
func TestKeyMovedIn(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: begin}
	_, old := generate(t, dir, begin.Add(-10*time.Hour))
	keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, PublishBefore: time.Minute, Now: c.now})
	_, next := generate(t, dir, begin.Add(-5*time.Hour))
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := keys.SigningKeyID(); got != old {
		t.Error("a key signs that has not been published")
	}
	c.advance(30 * time.Second)
	if err := keys.Reload(); err != nil { // must not begin the wait anew
		t.Fatal(err)
	}
	c.advance(30 * time.Second)
	if got := keys.SigningKeyID(); got != next {
		t.Error("a key does not sign though it has been published long enough")
	}
}

// TestOnlyKeySignsAtOnce: there is nothing else to sign with.
func TestOnlyKeySignsAtOnce(t *testing.T) {
	dir := t.TempDir()
	_, kid := generate(t, dir, begin.Add(time.Hour))
	if got := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, Now: at(begin)}).SigningKeyID(); got != kid {
		t.Errorf("%s signs, want %s", got, kid)
	}
}

func TestEquallyOldKeys(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for range 4 {
		_, kid := generate(t, dir, begin)
		ids = append(ids, kid)
	}
	slices.Sort(ids)
	keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, Now: at(begin.Add(time.Hour))})
	if got := keys.SigningKeyID(); got != ids[3] {
		t.Errorf("%s signs, want the greatest of %v", got, ids)
	}
	if got := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, Now: at(begin)}).SigningKeyID(); got != ids[0] {
		t.Errorf("%s signs while all are young, want the least of %v", got, ids)
	}
}

func TestPlainNames(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for i, name := range []string{"z.pem", "a.pem"} {
		key := tokentest.EC()
		path := writePEM(t, filepath.Join(dir, name), key)
		modified := begin.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, loaded(t, token.ES256, key).SigningKeyID())
	}
	keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, Now: at(begin.Add(24 * time.Hour))})
	if got := keys.KeyIDs(); !slices.Equal(got, ids) {
		t.Errorf("order %v, want %v", got, ids)
	}
}

// mountSecret lays files out and swaps them in as the kubelet does.
func mountSecret(t *testing.T, dir, version string, files map[string]crypto.Signer) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, key := range files {
		if err := os.Chmod(writePEM(t, filepath.Join(dir, version, name), key), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
		t.Skip(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
}

func TestMountedSecret(t *testing.T) {
	dir := t.TempDir()
	first, second := tokentest.EC(), tokentest.EC()
	firstID, secondID := loaded(t, token.ES256, first).SigningKeyID(), loaded(t, token.ES256, second).SigningKeyID()
	const stamp1, stamp2 = "20260301T100000Z.pem", "20260301T115000Z.pem"
	mountSecret(t, dir, "..2026_1", map[string]crypto.Signer{stamp1: first})
	opts := signing.KeyOptions{Algorithm: token.ES256, PublishBefore: 15 * time.Minute, Now: at(begin)}
	keys := load(t, dir, opts)
	mountSecret(t, dir, "..2026_2", map[string]crypto.Signer{stamp1: first, stamp2: second})
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := keys.KeyIDs(); !slices.Equal(got, []string{firstID, secondID}) {
		t.Errorf("published %v, want both", got)
	}
	if got := keys.SigningKeyID(); got != firstID {
		t.Errorf("%s signs, want the older %s", got, firstID)
	}
	// A replica that starts now sees files that are all equally young.
	opts.Now = at(begin.Add(5 * time.Minute))
	if got := load(t, dir, opts).SigningKeyID(); got != secondID {
		t.Errorf("after 15 minutes %s signs, want %s", got, secondID)
	}
}

func TestMountedSecretWithoutTimes(t *testing.T) {
	dir := t.TempDir()
	mountSecret(t, dir, "..2026_1", map[string]crypto.Signer{"current.pem": tokentest.EC()})
	keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256})
	mountSecret(t, dir, "..2026_2", map[string]crypto.Signer{"current.pem": tokentest.EC(), "next.pem": tokentest.EC()})
	if err := keys.Reload(); err == nil || !strings.Contains(err.Error(), "20060102T150405Z.pem") {
		t.Errorf("Reload: %v; want an error that says how to name the files", err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, old := generate(t, dir, time.Now())
		logged := &tokentest.Log{}
		keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, PublishBefore: time.Minute, Logger: logged.Logger()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- keys.Watch(ctx, 10*time.Second) }()
		wait := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		broken := filepath.Join(dir, "broken.pem")
		write(t, broken, []byte("x"))
		wait(35 * time.Second)
		if keys.Err() == nil || keys.SigningKeyID() != old {
			t.Errorf("broken directory: error %v, %s signs", keys.Err(), keys.SigningKeyID())
		}
		if got := logged.Count("signing keys not reloaded, the last good ones stay in use"); got != 1 {
			t.Errorf("broken directory logged %d times, want once", got)
		}
		if err := os.Remove(broken); err != nil {
			t.Fatal(err)
		}
		_, next := generate(t, dir, time.Now())
		wait(10 * time.Second)
		if err := keys.Err(); err != nil || !slices.Equal(keys.KeyIDs(), []string{old, next}) || keys.SigningKeyID() != old {
			t.Errorf("after repair: error %v, published %v, %s signs", err, keys.KeyIDs(), keys.SigningKeyID())
		}
		wait(time.Minute)
		if got := keys.SigningKeyID(); got != next {
			t.Errorf("%s signs, want the next key", got)
		}
		for _, message := range []string{"signing keys can be read again", "published keys changed", "signing key changed"} {
			if got := logged.Count(message); got != 1 {
				t.Errorf("%q logged %d times, want once", message, got)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v after cancel", err)
		}
	})
	if err := loaded(t, token.ES256, tokentest.EC()).Watch(t.Context(), 0); err == nil {
		t.Error("Watch with interval 0: no error")
	}
}

// TestReloadWhileMinting: readers never see half a set.
func TestReloadWhileMinting(t *testing.T) {
	dir := t.TempDir()
	generate(t, dir, begin)
	keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, Now: at(begin.Add(time.Hour))})
	m, v := newMinter(t, keys, at(begin)), newVerifier(t, keys, token.ES256, at(begin))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				raw, _, err := m.Mint(request)
				if err == nil {
					_, err = v.Verify(t.Context(), raw, want)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 20 {
		generate(t, dir, begin.Add(time.Duration(i)*time.Second))
		if err := keys.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}
