package decide

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	v1 "torikumi/failover/api/v1"
)

// A kubelet may not be newer than the API server, and at most three minor versions
// older (kubernetes.io/releases/version-skew-policy). A VM that could not join, or of
// which nobody knows how it behaves, is not paid for.

// oldest is how many minor versions a kubelet may be older.
const oldest = 3

// Skew says why a kubelet can't run with an API server, "" if it can, or if one of the
// versions is not known.
func Skew(v Versions) (text string, known bool) { return skew(v.Image, v.image(), v.APIServer) }

// Refused is why no VM is made of the image, "" if one is. What only its name says is
// no reason.
func (v Versions) Refused() string {
	if v.Source == FromName {
		return ""
	}
	text, _ := Skew(v)
	return text
}

// skew calls the kubelet's version what is to be read of it.
func skew(number, kubelet, server string) (text string, known bool) {
	k, err := version.ParseGeneric(number)
	if err != nil {
		return "", false
	}
	s, err := version.ParseGeneric(server)
	if err != nil {
		return "", false
	}
	older := int(s.Minor()) - int(k.Minor())
	switch {
	case k.Major() != s.Major() || older < 0:
		return fmt.Sprintf("the kubelet, %s, is newer than the API server, %s", kubelet, server), true
	case older > oldest:
		return fmt.Sprintf("the kubelet, %s, is %d minor versions older than the API server, %s: %d are supported", kubelet, older, server, oldest), true
	}
	return "", true
}

// skewed reports whether the image is not for this cluster as it is, which keeps a VM
// from being asked for, unless an operator says proceed.
func (d *decision) skewed() bool {
	v := d.s.Versions
	text, known := Skew(v)
	switch {
	case !known:
		d.condition(v1.VersionsFit, metav1.ConditionUnknown, "Unknown", fmt.Sprintf("the kubelet in the image is %s, the API server %s: --vm-kubernetes-version tells the former",
			cmp.Or(v.image(), "not known"), cmp.Or(v.APIServer, "not known")))
		return false
	case text == "":
		d.fits("in the image", v.image())
		return false
	case v.Refused() == "":
		text += "; a name may be wrong: VMs are made, and their kubelets compared once they have joined; --vm-kubernetes-version tells"
		if c := meta.FindStatusCondition(d.st.Conditions, v1.VersionsFit); c == nil || c.Reason != "NameOnly" {
			d.event(Warning, "VersionSkew", text)
		}
		d.condition(v1.VersionsFit, metav1.ConditionUnknown, "NameOnly", text)
		return false
	}
	d.skewTold(text)
	if d.answered(v1.ProceedAnnotation) {
		return false
	}
	if d.st.Phase == v1.Pending {
		d.condition(v1.Admitted, metav1.ConditionFalse, "VersionSkew", text+": prepare another image; if the kubelet's version is another, set --vm-kubernetes-version; or let the VM be made all the same by the annotation "+v1.ProceedAnnotation)
	}
	d.wakeAt(d.now.Add(heldRetry))
	return true
}

func (d *decision) fits(whose, kubelet string) {
	d.condition(v1.VersionsFit, metav1.ConditionTrue, "Fits", fmt.Sprintf("the kubelet %s is %s, the API server %s", whose, kubelet, d.s.Versions.APIServer))
}

func (d *decision) skewTold(text string) {
	if c := meta.FindStatusCondition(d.st.Conditions, v1.VersionsFit); c == nil || c.Reason != "VersionSkew" {
		d.event(Warning, "VersionSkew", text)
	}
	d.condition(v1.VersionsFit, metav1.ConditionFalse, "VersionSkew", text)
}

// joinedVersion looks at the kubelet that has joined: the image may have said nothing,
// and the API server may have been upgraded meanwhile. Its games go on.
func (d *decision) joinedVersion() {
	t, ok := d.temp()
	text, known := skew(t.Kubelet, t.Kubelet, d.s.Versions.APIServer)
	switch {
	case !ok || !known:
	case text == "":
		d.fits("of the temporary node", t.Kubelet)
	default:
		d.skewTold(text)
	}
}
