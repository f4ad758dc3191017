package api

import "testing"

func TestClient(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "2001:db8::1", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:4711", nil, "203.0.113.9"},
		{"203.0.113.9:4711", []string{"1.1.1.1"}, "203.0.113.9"}, // no proxy: its word does not count
		{"10.1.2.3:80", nil, "10.1.2.3"},
		{"10.1.2.3:80", []string{"203.0.113.9"}, "203.0.113.9"},
		{"10.1.2.3:80", []string{"6.6.6.6, 203.0.113.9"}, "203.0.113.9"}, // the left one is made up
		{"10.1.2.3:80", []string{"6.6.6.6", "203.0.113.9, 10.9.9.9"}, "203.0.113.9"},
		{"10.1.2.3:80", []string{"10.9.9.9"}, "10.9.9.9"},
		{"10.1.2.3:80", []string{"rubbish"}, "10.1.2.3"},
		{"10.1.2.3:80", []string{""}, "10.1.2.3"},
		{"192.0.2.7:1", []string{"203.0.113.9:5555"}, "203.0.113.9"},
		{"[2001:db8::1]:1", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		{"[2001:db8:5:6:7::1]:1", nil, "2001:db8:5:6::/64"},
		{"[::ffff:203.0.113.9]:1", nil, "203.0.113.9"},
		{"[fe80::1%eth0]:1", nil, "fe80::/64"},
		{"bufconn", nil, ""},
		{"", []string{"203.0.113.9"}, ""},
	} {
		if got := proxies.Client(c.peer, c.forwarded); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.peer, c.forwarded, got, c.want)
		}
	}
	for _, wrong := range []string{"", "10.0.0.0/33", "host"} {
		if _, err := ParseProxies([]string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// FuzzClient: nobody who is no proxy decides from where they come.
func FuzzClient(f *testing.F) {
	f.Add("1.2.3.4, ::1")
	f.Fuzz(func(t *testing.T, forwarded string) {
		proxies, err := ParseProxies([]string{"10.0.0.0/8"})
		if err != nil {
			t.Fatal(err)
		}
		if got := proxies.Client("203.0.113.9:1", []string{forwarded}); got != "203.0.113.9" {
			t.Errorf("%q: %q", forwarded, got)
		}
		if got := proxies.Client("10.0.0.1:1", []string{forwarded, "203.0.113.9"}); got != "203.0.113.9" {
			t.Errorf("%q: %q", forwarded, got)
		}
	})
}
