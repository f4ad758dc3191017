// Package machine is the first process of a machine that is made of
// namespaces: it mounts what the machine has of its own, starts its services
// and keeps them running. As it is the first process of a PID namespace, the
// kernel ends everything on the machine when it ends.
package machine

// Spec describes a machine. It is written as JSON.
type Spec struct {
	// Hostname is set if it is not empty.
	Hostname string `json:"hostname,omitempty"`
	// Mounts are made in their order, in the mount namespace of the machine. Their
	// sources are the ones from before the first of them.
	Mounts []Mount `json:"mounts,omitempty"`
	// Files are written when all is mounted, by their path.
	Files map[string]string `json:"files,omitempty"`
	// Log is the folder of the services' logs.
	Log string `json:"log"`
	// Services are started when all is mounted.
	Services []Service `json:"services"`
}

// Mount is one mount. The target is made if it does not exist.
type Mount struct {
	// Type is "bind" (with all that is mounted below), or that of a file system.
	Type string `json:"type"`
	// Source is a folder or a file, if Type is "bind".
	Source string `json:"source,omitempty"`
	Target string `json:"target"`
	// Options are those of the file system.
	Options string `json:"options,omitempty"`
	// Required is false for one that may fail.
	Required bool `json:"required"`
}

// Service is a program that is started again whenever it ends.
type Service struct {
	Name string   `json:"name"`
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"`
	// Needs are files that have to exist before the start.
	Needs []string `json:"needs,omitempty"`
}
