package token_test

import (
	"testing"

	"torikumi/pkg/token/tokentest"
)

func BenchmarkVerify(b *testing.B) {
	for _, issuer := range []*tokentest.Issuer{frontend, tokentest.NewIssuer(tokentest.EC())} {
		raw := issuer.Forge(begin).Claims(nil)
		v := newVerifier(b, issuer, issuer.Algorithm(), at(begin))
		b.Run(string(issuer.Algorithm()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), raw, want); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
