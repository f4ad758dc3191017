package director_test

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/eventually"
)

type response struct {
	code int
	body string
}

func get(t *testing.T, i *instance, path string) response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + i.addrs.HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, string(b)}
}

// metric reads one series; 0 if it is not there yet.
func metric(t *testing.T, i *instance, series string) float64 {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(get(t, i, "/metrics").body))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// TestMetricsAreDocumented: the table of docs/director.md and what a director serves
// are the same.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/director.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| metric (`torikumi_director_…`)")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := make(map[string]bool)
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for _, name := range strings.Split(cells[1], ",") {
			if name = strings.Trim(name, " `"); strings.Contains(name, "_") {
				documented["torikumi_director_"+name] = true
			}
		}
	}
	h := newHarness(t)
	h.addServers(2)
	h.hook = failing("AssignTickets", "before", 1, status.Error(codes.PermissionDenied, "no"))
	ids := h.addTickets(2)
	i := start(t, h, nil)
	eventually.True(t, "assigned at the second try", func() bool { return h.assigned(ids...) == 2 })
	eventually.True(t, "the first try is counted", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="released",queue="session"}`) == 1
	})
	served := make(map[string]bool)
	for line := range strings.Lines(get(t, i, "/metrics").body) {
		name, ok := strings.CutPrefix(line, "# TYPE torikumi_director_")
		if ok {
			name, _, _ = strings.Cut(name, " ")
			served["torikumi_director_"+name] = true
		}
	}
	delete(documented, "torikumi_director_reclaimed_servers_total") // of the Kubernetes API alone
	if !maps.Equal(documented, served) {
		t.Errorf("documented %v\nserved %v", slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(served)))
	}
	if n := metric(t, i, `torikumi_director_released_tickets_total{cause="assignment_refused"}`); n != 2 {
		t.Errorf("%v tickets were released", n)
	}
}
