module torikumi/failover

go 1.26.0
