package playertoken

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"torikumi/pkg/strictyaml"
	"torikumi/pkg/token"
)

// Issuer is one of those that players may come from, as a file of issuers has it.
type Issuer struct {
	// Issuer is its name, as in the claim iss.
	Issuer string `json:"issuer"`
	// Audience has to be in the claim aud, AuthorizedParty has to be the claim azp; at
	// least one has to be set.
	Audience        string `json:"audience,omitempty"`
	AuthorizedParty string `json:"authorized_party,omitempty"`
	// ServiceAudience is that of the studio's own backends; empty: there are none.
	ServiceAudience string `json:"service_audience,omitempty"`
	// JWKSURL is where its keys are; empty: it says so itself.
	JWKSURL string `json:"jwks_url,omitempty"`
	// AllowHTTP takes keys over plain HTTP from elsewhere than this machine.
	AllowHTTP bool `json:"allow_http,omitempty"`
	// Algorithms are RS256, ES256 and EdDSA; RS256 and ES256 when empty.
	Algorithms []token.Algorithm `json:"algorithms,omitempty"`
	// PlayerPrefix begins the ids of its players: two issuers may call two players the
	// same.
	PlayerPrefix string `json:"player_prefix,omitempty"`
}

// LoadIssuers reads a file of issuers. The error joins all that is wrong.
func LoadIssuers(path string) ([]Issuer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read issuers: %w", err)
	}
	all, err := ParseIssuers(text)
	if err != nil {
		return nil, fmt.Errorf("issuers in %s: %w", path, err)
	}
	return all, nil
}

// ParseIssuers is LoadIssuers of a file's content.
func ParseIssuers(text []byte) ([]Issuer, error) {
	var file struct {
		Issuers []Issuer `json:"issuers"`
	}
	if err := strictyaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if len(file.Issuers) == 0 {
		return nil, errors.New("issuers: at least one is required")
	}
	var errs []error
	for i := range file.Issuers {
		issuer := &file.Issuers[i]
		bad := func(field, rule string, args ...any) {
			errs = append(errs, fmt.Errorf("issuers[%d].%s: %w", i, field, fmt.Errorf(rule, args...)))
		}
		issuer.check(bad)
		for _, other := range file.Issuers[:i] {
			if issuer.Issuer == other.Issuer {
				bad("issuer", "must be unique, %q is there twice", issuer.Issuer)
			}
			// Else a player of one could be taken for one of the other.
			if a, b := issuer.PlayerPrefix, other.PlayerPrefix; strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
				bad("player_prefix", "must be there, and not begin with that of another issuer: %q and %q", b, a)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return file.Issuers, nil
}

// check fills in defaults.
func (i *Issuer) check(bad func(field, rule string, args ...any)) {
	if i.Issuer == "" {
		bad("issuer", "required")
	}
	if i.Audience == "" && i.AuthorizedParty == "" {
		bad("audience", "required, or authorized_party: the issuer makes tokens for other services too")
	}
	if i.ServiceAudience != "" && i.ServiceAudience == i.Audience {
		bad("service_audience", "must not be that of the players, who could then speak for each other")
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = []token.Algorithm{token.RS256, token.ES256}
	}
	if err := token.ValidateAlgorithms(i.Algorithms); err != nil {
		bad("algorithms", "%w", err)
	} else if _, err := token.NewRemoteKeys(i.remote()); i.Issuer != "" && errors.Is(err, token.ErrPlainHTTP) {
		bad("jwks_url", "%w; allow_http takes plain HTTP too", err)
	} else if i.Issuer != "" && err != nil {
		bad("jwks_url", "%w", err)
	}
	if i.PlayerPrefix != "" && (!token.ValidPlayer(i.PlayerPrefix) || len(i.PlayerPrefix) > maxPrefix) {
		bad("player_prefix", "must have at most %d characters of [A-Za-z0-9._:@|-]", maxPrefix)
	}
}

// maxPrefix leaves room for what the issuer calls its players.
const maxPrefix = 32

func (i *Issuer) remote() token.RemoteOptions {
	return token.RemoteOptions{URL: i.JWKSURL, Issuer: i.Issuer, AllowHTTP: i.AllowHTTP, Algorithms: i.Algorithms, NoKeyIDs: true}
}

// Keys fetches the issuer's keys with these options besides.
func (i *Issuer) Keys(opts token.RemoteOptions) (*token.RemoteKeys, error) {
	own := i.remote()
	opts.URL, opts.Issuer, opts.AllowHTTP, opts.Algorithms, opts.NoKeyIDs = own.URL, own.Issuer, own.AllowHTTP, own.Algorithms, own.NoKeyIDs
	return token.NewRemoteKeys(opts)
}

// Verifier checks tokens of the issuer.
func (i *Issuer) Verifier(keys token.KeySource) (*Verifier, error) {
	return NewVerifier(Options{
		Keys: keys, Issuer: i.Issuer, Audience: i.Audience, AuthorizedParty: i.AuthorizedParty, ServiceAudience: i.ServiceAudience,
		Algorithms: i.Algorithms, Prefix: i.PlayerPrefix,
	})
}

// Verifiers are those of all issuers, by their names.
type Verifiers map[string]*Verifier

// Verify checks a token as the one does whose issuer it names.
func (all Verifiers) Verify(ctx context.Context, raw string) (Claims, error) {
	if len(all) == 1 {
		for _, v := range all {
			return v.Verify(ctx, raw)
		}
	}
	issuer, err := token.Issuer(raw)
	if err != nil {
		return Claims{}, err
	}
	v, ok := all[issuer]
	if !ok {
		return Claims{}, token.Refuse(token.ReasonWrongIssuer, "iss is none of the issuers")
	}
	return v.Verify(ctx, raw)
}
