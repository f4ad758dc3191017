package main

import "torikumi/matchfunction/rule/module"

func init() { module.Serve(newProbe) }
