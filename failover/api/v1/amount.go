package v1

import (
	"encoding/json"
	"regexp"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Amount is a quantity that is not negative and written without an exponent:
// reading "1e999999999" would cost minutes and a gigabyte. What the CRD would not
// let in, and some object may have from another one, is read as 0: one object
// that cannot be read would hide all others.
//
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:MaxLength=24
// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$`
type Amount struct {
	resource.Quantity `json:",inline"`
}

const longestAmount = 24

var amount = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$`)

// Milli is n thousandths.
func Milli(n int64) Amount { return Amount{*resource.NewMilliQuantity(n, resource.DecimalSI)} }

// Bytes is n bytes.
func Bytes(n int64) Amount { return Amount{*resource.NewQuantity(n, resource.BinarySI)} }

// UnmarshalJSON reads a string, or a number as it is.
func (a *Amount) UnmarshalJSON(text []byte) error {
	*a = Amount{}
	s := string(text)
	if json.Unmarshal(text, &s) != nil {
		s = string(text)
	}
	if len(s) > longestAmount || !amount.MatchString(s) {
		return nil
	}
	if q, err := resource.ParseQuantity(s); err == nil {
		a.Quantity = q
	}
	return nil
}
