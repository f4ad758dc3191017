package ticket_test

import (
	"testing"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(_ testing.TB, l ticket.Limits) ticket.Store { return ticket.NewMemory(l) })
}
