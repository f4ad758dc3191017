module torikumi/docs/examples/wasm/go

go 1.26.0

require torikumi/matchfunction v0.0.0

require torikumi/pkg v0.0.0 // indirect

replace (
	torikumi/matchfunction => ../../../../matchfunction
	torikumi/pkg => ../../../../pkg
	torikumi/proto => ../../../../proto
)
