package v1

import (
	"cmp"
	"encoding/json"
)

// What the earlier version has stored is read under its present name and
// written under that alone. The earlier names go with the next version.

// UnmarshalJSON reads a spec by its present and its earlier names.
func (s *NodeFailoverSpec) UnmarshalJSON(text []byte) error {
	type plain NodeFailoverSpec // without this method
	if err := json.Unmarshal(text, (*plain)(s)); err != nil {
		return err
	}
	s.ParentFailover = cmp.Or(s.ParentFailover, s.DeprecatedAdds)
	s.SharedLoad = cmp.Or(s.SharedLoad, s.DeprecatedShare)
	s.DeprecatedAdds, s.DeprecatedShare = "", nil
	return nil
}

// UnmarshalJSON reads a status by its present and its earlier names.
func (s *NodeFailoverStatus) UnmarshalJSON(text []byte) error {
	type plain NodeFailoverStatus // without this method
	if err := json.Unmarshal(text, (*plain)(s)); err != nil {
		return err
	}
	if s.SharedLoads == nil {
		s.SharedLoads = s.DeprecatedShares
	}
	s.ParentFailover = cmp.Or(s.ParentFailover, s.DeprecatedLead)
	s.ParentFailoverUID = cmp.Or(s.ParentFailoverUID, s.DeprecatedLeadUID)
	s.DeprecatedShares, s.DeprecatedLead, s.DeprecatedLeadUID = nil, "", ""
	return nil
}
