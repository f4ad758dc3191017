module torikumi/failover

go 1.26.0

require (
	github.com/google/uuid v1.6.0
	go.uber.org/goleak v1.3.0
)

require github.com/stretchr/testify v1.12.1 // indirect

replace (
	torikumi/pkg => ../pkg
	torikumi/proto => ../proto
)
