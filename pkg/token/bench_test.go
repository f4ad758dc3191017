package token_test

import (
	"path/filepath"
	"testing"
	"time"
)

func BenchmarkMint(b *testing.B) {
	for alg, key := range signers(b) {
		m := newMinter(b, loaded(b, alg, key), nil)
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Mint(request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for alg, key := range signers(b) {
		keys := loaded(b, alg, key)
		raw, _, err := newMinter(b, keys, at(begin)).Mint(request)
		if err != nil {
			b.Fatal(err)
		}
		v := newVerifier(b, keys, alg, at(begin))
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), raw, want); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReplayUse(b *testing.B) {
	for name, path := range map[string]string{"memory": "", "journal": filepath.Join(b.TempDir(), "used")} {
		r := openReplay(b, path, at(begin))
		n := 0
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n++
				if err := r.Use(id(n), begin.Add(time.Minute), begin); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
