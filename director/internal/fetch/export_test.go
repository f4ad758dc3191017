package fetch

// Begin is that of the metrics.
func Begin(m *Metrics) (end func()) { return m.begin() }
