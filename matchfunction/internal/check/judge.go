package check

import (
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// judge judges one match by the definition of one stage.
type judge struct {
	checker *Checker
	stage   int
	def     *ruleset.Definition
	match   *rule.Match
}
