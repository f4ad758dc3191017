// Package sbom writes down what an image holds, as an SPDX 2.3 document, from
// what the Go linker has put into each program.
package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"torikumi/images/internal/build"
)

const unknown = "NOASSERTION"

// Roots is the module that the base's certificate authorities come from.
const Roots = "golang.org/x/crypto/x509roots/fallback"

// Document describes the image of a program, whose files are given by their
// architecture. rootsVersion is that of the module Roots.
func Document(name string, files map[string]string, stamp build.Stamp, rootsVersion string) ([]byte, error) {
	d := &document{stamp: stamp, name: name, seen: make(map[common.ElementID]bool)}
	whole := sha256.New()
	for _, arch := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(files[arch])
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		whole.Write(sum[:])
		info, err := buildinfo.Read(bytes.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("what %s is built from: %w", files[arch], err)
		}
		d.program(arch, info, hex.EncodeToString(sum[:]))
	}
	d.relate(d.image(), common.TypeRelationshipContains, d.module(Roots, rootsVersion, ""))
	var out bytes.Buffer
	err := json.Write(d.finish(hex.EncodeToString(whole.Sum(nil))), &out, json.Indent("  "))
	return out.Bytes(), err
}

type document struct {
	name      string
	stamp     build.Stamp
	packages  []*spdx.Package
	relations []*spdx.Relationship
	seen      map[common.ElementID]bool
}

func (d *document) image() common.ElementID { return id("image", d.name) }

// program adds one and the modules in it.
func (d *document) program(arch string, info *buildinfo.BuildInfo, sum string) {
	self := id("program", d.name+"-"+arch)
	d.add(&spdx.Package{
		PackageName: info.Path, PackageSPDXIdentifier: self, PackageVersion: d.stamp.Tag, PackageFileName: "/" + d.name,
		PackageChecksums:      []common.Checksum{{Algorithm: common.SHA256, Value: sum}},
		PackageComment:        "linux/" + arch + ", commit " + d.stamp.Revision,
		PrimaryPackagePurpose: "APPLICATION", PackageLicenseDeclared: "Apache-2.0",
	})
	d.relate(d.image(), common.TypeRelationshipContains, self)
	std := d.module("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")
	d.relate(self, common.TypeRelationshipDependsOn, std)
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = cmp.Or(dep.Replace, dep)
		}
		d.relate(self, common.TypeRelationshipDependsOn, d.module(dep.Path, dep.Version, dep.Sum))
	}
}

// module adds a Go module, once. Those of this repository have no version of
// their own.
func (d *document) module(path, version, sum string) common.ElementID {
	own := strings.HasPrefix(path, "torikumi/")
	if own {
		version = d.stamp.Tag
	}
	self := id("module", path+"-"+version)
	p := &spdx.Package{PackageName: path, PackageSPDXIdentifier: self, PackageVersion: version, PrimaryPackagePurpose: "LIBRARY"}
	if own {
		p.PackageLicenseDeclared = "Apache-2.0"
	} else {
		p.PackageExternalReferences = []*spdx.PackageExternalReference{{
			Category: "PACKAGE-MANAGER", RefType: "purl", Locator: "pkg:golang/" + path + "@" + version,
		}}
	}
	// The sum of a module is the SHA-256 of its files' sums.
	if text, ok := strings.CutPrefix(sum, "h1:"); ok {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(raw)}}
		}
	}
	d.add(p)
	return self
}

func (d *document) add(p *spdx.Package) {
	if d.seen[p.PackageSPDXIdentifier] {
		return
	}
	d.seen[p.PackageSPDXIdentifier] = true
	p.PackageDownloadLocation = unknown
	p.PackageLicenseConcluded, p.PackageCopyrightText = unknown, unknown
	p.PackageLicenseDeclared = cmp.Or(p.PackageLicenseDeclared, unknown)
	d.packages = append(d.packages, p)
}

func (d *document) relate(from common.ElementID, how string, to common.ElementID) {
	d.relations = append(d.relations, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: from}, Relationship: how, RefB: common.DocElementID{ElementRefID: to},
	})
}

// finish adds the image and the head. The namespace has to be the document's
// alone: it has the digest of all programs.
func (d *document) finish(digest string) *spdx.Document {
	d.add(&spdx.Package{
		PackageName: "torikumi/" + d.name, PackageSPDXIdentifier: d.image(), PackageVersion: d.stamp.Tag,
		PackageComment: "commit " + d.stamp.Revision, PrimaryPackagePurpose: "CONTAINER", PackageLicenseDeclared: "Apache-2.0",
	})
	const self = common.ElementID("DOCUMENT")
	d.relate(self, common.TypeRelationshipDescribe, d.image())
	slices.SortFunc(d.packages, func(a, b *spdx.Package) int {
		return cmp.Compare(a.PackageSPDXIdentifier, b.PackageSPDXIdentifier)
	})
	return &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: self,
		DocumentName:      "torikumi/" + d.name,
		DocumentNamespace: "https://spdx.org/spdxdocs/torikumi-" + d.name + "-" + digest,
		CreationInfo: &spdx.CreationInfo{
			Created:  d.stamp.Time.Format("2006-01-02T15:04:05Z"),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "torikumi-images-" + d.stamp.Tag}},
		},
		Packages: d.packages, Relationships: d.relations,
	}
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// id makes an identifier: letters, digits, dots and dashes. A hash keeps apart
// what would look the same.
func id(kind, name string) common.ElementID {
	sum := sha256.Sum256([]byte(name))
	return common.ElementID(kind + "-" + notInID.ReplaceAllString(name, "-") + "-" + hex.EncodeToString(sum[:4]))
}
