package decide

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	v1 "torikumi/failover/api/v1"
)

// maxName is the longest name of a VM (RFC 1035 label).
const maxName = 63

// vmName is the name of the n-th VM of a failover: the same for the same
// failover and attempt, and of no other.
func vmName(prefix, node string, failover types.UID, attempt int32) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "vm/%s/%d", failover, attempt))
	suffix := "-" + hex.EncodeToString(sum[:4])
	base := prefix + strings.ReplaceAll(node, ".", "-")
	if room := maxName - len(suffix); len(base) > room {
		base = base[:room]
	}
	return strings.TrimRight(base, "-") + suffix
}

// requestID is a UUID (version 8, RFC 9562) for the n-th VM of a failover.
func requestID(failover types.UID, attempt int32) string {
	b := sha256.Sum256(fmt.Appendf(nil, "request/%s/%d", failover, attempt))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Name is that of the failover for one outage of one Node: since is
// what the Node's Ready condition says. Two controllers that see the same
// outage come to the same name.
func Name(node string, uid types.UID, since string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "failover/%s/%s/%s", node, uid, since))
	const longest = 253 - 9
	if len(node) > longest {
		node = strings.TrimRight(node[:longest], "-.")
	}
	return node + "-" + hex.EncodeToString(sum[:4])
}

// Labels are those of a failover's temporary Node.
func Labels(set *Settings, f *v1.NodeFailover, recorded *v1.RecordedNode) map[string]string {
	labels := make(map[string]string)
	if recorded != nil {
		for _, key := range set.CopyLabels {
			if v, ok := recorded.Labels[key]; ok {
				labels[key] = v
			}
		}
	}
	for k, v := range f.Spec.TargetNodeLabels {
		labels[k] = string(v)
	}
	maps.Copy(labels, set.TempLabels) // what makes it a temporary node can't be overwritten
	return labels
}

// wrongLabels tells what is wrong with the labels that a failover asks for:
// a kubelet that is given them would not start.
func wrongLabels(f *v1.NodeFailover) string {
	for _, k := range slices.Sorted(maps.Keys(f.Spec.TargetNodeLabels)) {
		if wrong := validation.IsQualifiedName(k); len(wrong) > 0 {
			return fmt.Sprintf("targetNodeLabels: %q: %s", k, wrong[0])
		}
		if WellKnown(k) && !strings.HasPrefix(k, "node.kubernetes.io/") && !strings.HasPrefix(k, "kubelet.kubernetes.io/") {
			return fmt.Sprintf("targetNodeLabels: %q: a kubelet may not set labels of kubernetes.io and k8s.io", k)
		}
	}
	return ""
}

// missing are the labels of want that have lacks.
func missing(want, have map[string]string) map[string]string {
	var diff map[string]string
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			if diff == nil {
				diff = make(map[string]string)
			}
			diff[k] = v
		}
	}
	return diff
}
