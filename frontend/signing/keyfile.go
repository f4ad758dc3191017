package signing

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"torikumi/pkg/atomicfile"
	"torikumi/pkg/token"
)

const (
	keySuffix = ".pem"
	// stampLayout is how a file name says when its key was added, in UTC.
	stampLayout    = "20060102T150405Z"
	maxKeyFileSize = 64 << 10
	newRSABits     = 2048
)

var stampPattern = regexp.MustCompile(`[0-9]{8}T[0-9]{6}Z`)

// signingKey is one private key with its place in the order of keys.
type signingKey struct {
	kid     string
	private crypto.Signer
	file    string
	// added orders the keys, in the same way for every reader of the directory.
	added time.Time
	// stamped says that added comes from the file's name.
	stamped bool
	// published is since when this process has shown the key, as far as known.
	published time.Time
}

// readKeys returns the keys of a directory, oldest first; equally old ones are
// in the order of their ids.
func readKeys(dir string, alg token.Algorithm) ([]signingKey, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read key directory: %w", err)
	}
	var keys []signingKey
	var projected bool
	for _, e := range entries {
		// Kubernetes keeps the files of a Secret in "..data" and links to them.
		projected = projected || e.Name() == "..data"
		if strings.HasPrefix(e.Name(), ".") || filepath.Ext(e.Name()) != keySuffix || e.IsDir() {
			continue
		}
		key, err := readKey(filepath.Join(dir, e.Name()), alg)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("key directory %q: must hold at least one private key in a file named *%s", dir, keySuffix)
	}
	slices.SortFunc(keys, func(a, b signingKey) int {
		return cmp.Or(a.added.Compare(b.added), strings.Compare(a.kid, b.kid))
	})
	return keys, checkSet(keys, projected)
}

func checkSet(keys []signingKey, projected bool) error {
	files := map[string]string{}
	for _, k := range keys {
		if other, ok := files[k.kid]; ok {
			return fmt.Errorf("key files %q and %q: must not hold the same key", other, k.file)
		}
		files[k.kid] = k.file
		// A mounted Secret is written anew, all files at once and in no
		// order, on every change and on every node.
		if projected && len(keys) > 1 && !k.stamped {
			return fmt.Errorf("key file %q: in a mounted Secret with several keys the name must hold the time when the key was added, like %q",
				k.file, stampLayout+keySuffix)
		}
	}
	return nil
}

func readKey(path string, alg token.Algorithm) (signingKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return signingKey{}, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return signingKey{}, fmt.Errorf("stat key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return signingKey{}, fmt.Errorf("key file %q: must be a regular file", path)
	}
	// Windows has no such bits and reports them all as set.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 {
		return signingKey{}, fmt.Errorf("key file %q: must not be writable by everyone (mode %v)", path, info.Mode())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFileSize+1))
	if err != nil {
		return signingKey{}, fmt.Errorf("read key file %q: %w", path, err)
	}
	if len(data) > maxKeyFileSize {
		return signingKey{}, fmt.Errorf("key file %q: must not be larger than %d bytes", path, maxKeyFileSize)
	}
	private, err := parsePEM(data)
	if err != nil {
		return signingKey{}, fmt.Errorf("key file %q: %w", path, err)
	}
	if err := alg.CheckPublicKey(private.Public()); err != nil {
		return signingKey{}, fmt.Errorf("key file %q: %w", path, err)
	}
	kid, err := thumbprint(private.Public())
	if err != nil {
		return signingKey{}, fmt.Errorf("key file %q: %w", path, err)
	}
	key := signingKey{kid: kid, private: private, file: path, added: info.ModTime()}
	if stamp := stampPattern.FindString(filepath.Base(path)); stamp != "" {
		if key.added, err = time.Parse(stampLayout, stamp); err != nil {
			return signingKey{}, fmt.Errorf("key file %q: the time in its name: %w", path, err)
		}
		key.stamped = true
	}
	key.published = key.added
	return key, nil
}

// parsePEM reads exactly one private key, with nothing else around it.
func parsePEM(data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	// "openssl ecparam -genkey" puts the name of the curve first.
	if block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("must hold a private key in PEM")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("must hold one private key and nothing after it")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("PEM block %q: must be an unencrypted PKCS #8, PKCS #1 or SEC 1 private key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// GenerateKey makes a new private key and puts it into dir, which it makes if it
// must, as a file that only the owner can read. The file's name and modification
// time say now. The file appears complete or not at all. It is meant for
// development: in production an operator makes the keys.
func GenerateKey(dir string, alg token.Algorithm, now time.Time) (path string, err error) {
	private, err := generate(alg)
	if err != nil {
		return "", err
	}
	kid, err := thumbprint(private.Public())
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", fmt.Errorf("marshal key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make key directory: %w", err)
	}
	path = filepath.Join(dir, now.UTC().Format(stampLayout)+"-"+kid[:8]+keySuffix)
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := atomicfile.Write(path, data, now); err != nil {
		return "", fmt.Errorf("write key file: %w", err)
	}
	return path, nil
}

func generate(alg token.Algorithm) (crypto.Signer, error) {
	if err := alg.Validate(); err != nil {
		return nil, err
	}
	var key crypto.Signer
	var err error
	if alg == token.ES256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, newRSABits)
	}
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", alg, err)
	}
	return key, nil
}

// thumbprint returns the RFC 7638 thumbprint (SHA-256, base64url) of key.
func thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint of key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
