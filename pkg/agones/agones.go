// Package agones holds the names of Agones (https://agones.dev) that several
// modules use: states, labels, annotations, and where a game server finds its
// SDK. The names of our own labels and annotations are in package contract.
package agones

// Group and Version are those of Agones's API in Kubernetes.
const (
	Group   = "agones.dev"
	Version = "v1"
)

// States of a GameServer, in the order in which it goes through them.
const (
	PortAllocation = "PortAllocation"
	Creating       = "Creating"
	Starting       = "Starting"
	Scheduled      = "Scheduled"
	// RequestReady: the game server has asked to be Ready.
	RequestReady = "RequestReady"
	Ready        = "Ready"
	Reserved     = "Reserved"
	Allocated    = "Allocated"
	Shutdown     = "Shutdown"
	Error        = "Error"
	Unhealthy    = "Unhealthy"
)

// Labels and annotations that Agones puts on a GameServer or on its pod.
const (
	FleetLabel = "agones.dev/fleet"
	// SetLabel holds the name of the GameServerSet.
	SetLabel = "agones.dev/gameserverset"
	// RoleLabel, with the value RoleGameServer, is on the pods of game servers.
	RoleLabel      = "agones.dev/role"
	RoleGameServer = "gameserver"
	// SDKPrefix stands before the key of a label or annotation that the game
	// server sets through its SDK.
	SDKPrefix = "agones.dev/sdk-"
	// LastAllocatedAnnotation holds the time of the last allocation (RFC 3339).
	LastAllocatedAnnotation = "agones.dev/last-allocated"
	// DevAddressAnnotation is on a server that Agones has not started, with its IP address.
	DevAddressAnnotation = "agones.dev/dev-address"
)

// The SDK server of a game server listens on localhost. Agones sets the
// variables in the containers of the pod.
const (
	SDKGRPCPort    = 9357
	SDKHTTPPort    = 9358
	SDKGRPCPortEnv = "AGONES_SDK_GRPC_PORT"
	SDKHTTPPortEnv = "AGONES_SDK_HTTP_PORT"
	NameEnv        = "GAMESERVER_NAME"
	NamespaceEnv   = "POD_NAMESPACE"
)
