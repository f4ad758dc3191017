package frontend

import "time"

// BePatient has a frontend wait for what it could do without, however slow the machine is: what
// tests are told then does not depend on that.
func (c *Config) BePatient() { c.patience = time.Minute }
