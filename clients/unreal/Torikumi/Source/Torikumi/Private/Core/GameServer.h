// The dedicated server's side: admission, departures and presence through the gate, and
// signs of life to Agones (docs/game-server.md).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "Json.h"
#include "Transport.h"

namespace torikumi {

// A connection of a player, by a number that the caller gives out and never again.
using ConnectionId = std::uint64_t;

struct Admitted {
	std::string Player, Team, MatchId, Admission;
	bool Reconnect = false;
};

// Reason is one of docs/gate.md, or no_token, replaced, gate_unavailable.
struct Refused {
	std::string Reason;
	bool Retryable = false, Renewable = false;
};

class GameServer {
public:
	struct Options {
		std::string Gate = "http://127.0.0.1:8085";
		std::string Sdk = "http://127.0.0.1:9358";
		// Say Ready and Health to Agones; off if something else in the server does.
		bool SpeakAgones = true;
		// All in seconds.
		double TokenDeadline = 10;     // for the token to come
		double AdmissionPatience = 10;  // for the gate to decide
		double PresenceInterval = 10;
		double GateLost = 60;  // without a gate and without players the server ends
	};

	struct Events {
		std::function<void(ConnectionId, const Admitted&)> OnAdmitted;
		// The connection is to be closed; Left need not be called, and may be.
		std::function<void(ConnectionId, const Refused&)> OnRefused;
		std::function<void(const std::string& MatchId)> OnAllocated;
	};

	GameServer(Transport& World, const Options& Set, const Events& On);

	// Somebody has connected: from now on the time for the token runs.
	void Connected(ConnectionId Who);
	// Their token has come. Another one for the same connection is passed over.
	void Present(ConnectionId Who, const std::string& Token);
	// The connection is gone.
	void Left(ConnectionId Who);

	// Whether the gate is to have more players found for this match. The gate is told until
	// it has understood, and remembers it until the match is over.
	void WantPlayers(bool More);

	// To be called some times a second.
	void Tick();

	size_t Players() const;

private:
	enum class Phase { Waiting, Asking, In };
	struct Visit {
		Phase Where = Phase::Waiting;
		double Deadline = 0, Due = 0;
		bool Sent = false, Gone = false;
		std::string Token, Key;
		Admitted Who;
		Backoff Pause{0.05};
	};
	struct Departure {
		std::string Player;
		double Due = 0;
		bool Sent = false;
		Backoff Pause{0.2};
	};

	Transport& World;
	const Options Set;
	const Events On;
	std::map<ConnectionId, Visit> Visits;
	std::map<std::string, Departure> Departures;  // by admission
	std::string MatchId;  // of the last roster
	size_t Admissions = 0;
	bool Ready = false, ReadyUnclear = false, AskingReady = false, Allocated = false, AskingRoster = false, AskingPresence = false, AskingShutdown = false;
	bool Wanted = false, WantedUntold = false, AskingWanted = false;
	Backoff WantedPause{0.2};
	double WantedDue = 0;
	double ReadyDue = 0, HealthDue = 0, RosterDue = 0, PresenceDue = 0, ShutdownDue = 0;
	// GateAway: since then requests to the gate have got no answer.
	bool GateAway = false;
	double GateAwaySince = 0;
	Backoff ReadyPause;
	Lifetime Alive;

	void AskGate(ConnectionId Who, Visit& V);
	void Decided(ConnectionId Who, const Response& Answer);
	void LetIn(ConnectionId Who, const Json& Document);
	void Refuse(ConnectionId Who, const Refused& Why);
	void Depart(const Admitted& Who);
	void TellDepartures(double Time);
	void TellPresence(double Time);
	void TakePresence(const Response& Answer);
	void LookAtRoster(double Time);
	void TellWanted(double Time);
	void TakeMatch(bool Now, const std::string& Id);
	void Heard(const Response& Answer);
	void SpeakToAgones(double Time);
	void EndWithoutGate(double Time);
	Request ToGate(const std::string& Method, const std::string& Path, const std::string& Content) const;
	Request ToSdk(const std::string& Path) const;
};

}  // namespace torikumi
