package check

import (
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// judge judges one match by the definition of one stage.
type judge struct {
	def   *ruleset.Definition
	match *rule.Match
}
