#include "GameServer.h"

namespace torikumi {

namespace {

constexpr size_t MaxToken = 8192;
constexpr double HealthInterval = 2, RosterInterval = 2, ShutdownInterval = 5;

// Reports whether a text can be a token at all.
bool Plain(const std::string& Token) {
	return !Token.empty() && Token.size() <= MaxToken &&
		   Token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
}

std::string StayJson(const std::string& Player, const std::string& Admission) {
	return "{\"player\":" + Json::Quote(Player) + ",\"admission\":" + Json::Quote(Admission) + "}";
}

}  // namespace

GameServer::GameServer(Transport& Use, const Options& Chosen, const Events& Listener) : World(Use), Set(Chosen), On(Listener) {}

Request GameServer::ToGate(const std::string& Method, const std::string& Path, const std::string& Content) const {
	Request Out;
	Out.Method = Method;
	Out.Url = Set.Gate + Path;
	Out.Body = Content;
	Out.Headers.emplace_back("Content-Type", "application/json");
	Out.Timeout = 3;
	return Out;
}

Request GameServer::ToSdk(const std::string& Path) const {
	Request Out = ToGate("POST", "", "{}");
	Out.Url = Set.Sdk + Path;
	return Out;
}

size_t GameServer::Players() const {
	size_t Count = 0;
	for (const auto& [Id, V] : Visits) Count += V.Where == Phase::In ? 1 : 0;
	return Count;
}

void GameServer::Connected(ConnectionId Who) {
	Visit& V = Visits[Who];
	V = Visit();
	V.Deadline = World.Now() + Set.TokenDeadline;
}

void GameServer::Present(ConnectionId Who, const std::string& Token) {
	const auto Found = Visits.find(Who);
	if (Found == Visits.end() || Found->second.Where != Phase::Waiting || Found->second.Gone) return;
	if (!Plain(Token)) {
		Refuse(Who, Refused{Token.size() > MaxToken ? "too_large" : "malformed"});
		return;
	}
	Visit& V = Found->second;
	V.Where = Phase::Asking;
	V.Token = Token;
	// One key for the connection, from here alone: asked again, the gate says the same again.
	V.Key = World.RandomName();
	V.Deadline = World.Now() + Set.AdmissionPatience;
	AskGate(Who, V);
}

void GameServer::AskGate(ConnectionId Who, Visit& V) {
	V.Sent = true;
	Request Out = ToGate("POST", "/v1/admissions", "{\"token\":" + Json::Quote(V.Token) + "}");
	Out.Headers.emplace_back("Idempotency-Key", V.Key);
	World.Send(Out, Alive.Guard([this, Who](const Response& Answer) { Decided(Who, Answer); }));
}

void GameServer::Decided(ConnectionId Who, const Response& Answer) {
	const auto Found = Visits.find(Who);
	if (Found == Visits.end()) return;
	Visit& V = Found->second;
	V.Sent = false;
	Heard(Answer);
	Json Document;
	const bool Readable = Json::Parse(Answer.Body, Document);
	if (Answer.Status == 200 && Readable && !Document["admission"].Text().empty()) {
		LetIn(Who, Document);
		return;
	}
	const bool Passing = Answer.Status == 0 || Answer.Status >= 500 || Answer.Status == 200 || Document["retryable"].Truth();
	if (V.Gone && !Passing) {
		Visits.erase(Found);
		return;
	}
	const double Wait = V.Pause.Next(Answer.Status >= 500 ? 0 : Answer.RetryAfter);
	if (Passing && World.Now() + Wait < V.Deadline) {
		V.Due = World.Now() + Wait;
		return;
	}
	if (V.Gone) {  // whom the gate may have let in all the same lapses
		Visits.erase(Found);
		return;
	}
	const std::string& Reason = Document["reason"].Text();
	const std::string Fallback = Passing ? "gate_unavailable" : "malformed";
	Refuse(Who, Refused{Reason.empty() ? Fallback : Reason, Passing, Document["renewable"].Truth()});
}

void GameServer::LetIn(ConnectionId Who, const Json& Document) {
	Admitted In{Document["player"].Text(), Document["team"].Text(), Document["match_id"].Text(), Document["admission"].Text(), Document["reconnect"].Truth()};
	Admissions++;
	if (In.MatchId != MatchId) RosterDue = 0;
	if (Visits[Who].Gone) {
		Visits.erase(Who);
		Depart(In);
		return;
	}
	Visit& V = Visits[Who];
	V.Where = Phase::In;
	V.Token.clear();
	V.Who = In;
	std::vector<ConnectionId> Older;
	for (const auto& [Id, Other] : Visits)
		if (Id != Who && Other.Where == Phase::In && Other.Who.Player == In.Player) Older.push_back(Id);
	for (const ConnectionId Id : Older) {
		Visits.erase(Id);  // the gate has ended that stay already
		if (On.OnRefused) On.OnRefused(Id, Refused{"replaced"});
	}
	if (On.OnAdmitted) On.OnAdmitted(Who, In);
}

// Refuse forgets a connection whose player was not let in.
void GameServer::Refuse(ConnectionId Who, const Refused& Why) {
	Visits.erase(Who);
	if (On.OnRefused) On.OnRefused(Who, Why);
}

void GameServer::Left(ConnectionId Who) {
	const auto Found = Visits.find(Who);
	if (Found == Visits.end()) return;
	if (Found->second.Where == Phase::Asking) {
		Found->second.Gone = true;  // the gate may be about to let them in
		return;
	}
	const Visit Was = Found->second;
	Visits.erase(Found);
	if (Was.Where == Phase::In) Depart(Was.Who);
}

void GameServer::Depart(const Admitted& Who) {
	Departures[Who.Admission].Player = Who.Player;
	TellDepartures(World.Now());
}

void GameServer::Tick() {
	const double Time = World.Now();
	std::vector<ConnectionId> Late, Again;
	for (const auto& [Id, V] : Visits) {
		if (V.Where == Phase::Waiting && Time >= V.Deadline) Late.push_back(Id);
		if (V.Where == Phase::Asking && !V.Sent && Time >= V.Due) Again.push_back(Id);
	}
	for (const ConnectionId Id : Late) Refuse(Id, Refused{"no_token"});
	for (const ConnectionId Id : Again) {
		const auto Found = Visits.find(Id);
		if (Found != Visits.end()) AskGate(Id, Found->second);
	}
	TellDepartures(Time);
	TellPresence(Time);
	LookAtRoster(Time);
	TellWanted(Time);
	if (Set.SpeakAgones) {
		SpeakToAgones(Time);
		EndWithoutGate(Time);
	}
}

void GameServer::TellDepartures(double Time) {
	for (auto& [Admission, D] : Departures) {
		if (D.Sent || Time < D.Due) continue;
		D.Sent = true;
		World.Send(ToGate("POST", "/v1/departures", StayJson(D.Player, Admission)), Alive.Guard([this, Which = Admission](const Response& Answer) {
			const auto Found = Departures.find(Which);
			if (Found == Departures.end()) return;
			Heard(Answer);
			if (Answer.Status == 204 || Answer.Status == 404) {
				Departures.erase(Found);
				return;
			}
			Found->second.Sent = false;
			Found->second.Due = World.Now() + Found->second.Pause.Next();
		}));
	}
}

void GameServer::TellPresence(double Time) {
	if (MatchId.empty() || AskingPresence || Time < PresenceDue) return;
	std::string List;
	for (const auto& [Id, V] : Visits)
		if (V.Where == Phase::In && V.Who.MatchId == MatchId) List += (List.empty() ? "" : ",") + StayJson(V.Who.Player, V.Who.Admission);
	AskingPresence = true;
	PresenceDue = Time + Set.PresenceInterval;
	const std::string Content = "{\"match_id\":" + Json::Quote(MatchId) + ",\"players\":[" + List + "]}";
	World.Send(ToGate("PUT", "/v1/presence", Content), Alive.Guard([this](const Response& Answer) {
		AskingPresence = false;
		TakePresence(Answer);
	}));
}

void GameServer::TakePresence(const Response& Answer) {
	Heard(Answer);
	Json Document;
	if (Answer.Status != 200 || !Json::Parse(Answer.Body, Document)) return;
	for (const Json& Stay : Document["refused"].Items()) {
		for (const auto& [Id, V] : Visits) {
			if (V.Where != Phase::In || V.Who.Admission != Stay["admission"].Text()) continue;
			const bool Newer = Stay["reason"].Text() == "superseded";
			Refuse(Id, Refused{Newer ? "replaced" : "not_admitted", false, !Newer});
			break;  // Visits has changed
		}
	}
}

void GameServer::WantPlayers(bool More) {
	Wanted = More;
	WantedUntold = true;
	WantedDue = 0;
	WantedPause.Reset();
}

void GameServer::TellWanted(double Time) {
	if (!WantedUntold || AskingWanted || Time < WantedDue) return;
	AskingWanted = true;
	Request Out = ToGate(Wanted ? "POST" : "DELETE", "/v1/backfill", Wanted ? "{}" : "");
	World.Send(Out, Alive.Guard([this, Told = Wanted](const Response& Answer) {
		AskingWanted = false;
		Heard(Answer);
		if (Answer.Status == 0 || Answer.Status >= 500) {
			WantedDue = World.Now() + WantedPause.Next();
			return;
		}
		WantedUntold = WantedUntold && Told != Wanted;  // a match that cannot be filled up stays as it is
	}));
}

void GameServer::LookAtRoster(double Time) {
	if (AskingRoster || Time < RosterDue) return;
	AskingRoster = true;
	RosterDue = Time + (Allocated ? Set.PresenceInterval : RosterInterval);
	Request Out = ToGate("GET", "/v1/roster", "");
	Out.Headers.clear();
	World.Send(Out, Alive.Guard([this, Before = Admissions](const Response& Answer) {
		AskingRoster = false;
		Heard(Answer);
		Json Document;
		if (Answer.Status != 200 || !Json::Parse(Answer.Body, Document)) return;
		const std::string& State = Document["state"].Text();
		if (ReadyUnclear && !AskingReady) {
			// Only the answer may have been lost. Another Ready would take the server away
			// from the match that it may have been allocated for meanwhile.
			ReadyUnclear = false;
			Ready = !State.empty() && State != "Creating" && State != "Starting" && State != "Scheduled" && State != "PortAllocation";
		}
		if (Admissions == Before) {
			TakeMatch(State == "Allocated", Document["match_id"].Text());
		} else {
			RosterDue = 0;  // the roster may be of before the match that somebody has come in for
		}
	}));
}

// TakeMatch takes in which match the server is there for; empty: it is free.
void GameServer::TakeMatch(bool Now, const std::string& Id) {
	const bool Another = Now && (!Allocated || Id != MatchId);
	Allocated = Now;
	MatchId = Id;
	if (Another || !Now) WantedUntold = false;  // that was for an earlier match
	if (Another && On.OnAllocated) On.OnAllocated(Id);
	std::vector<ConnectionId> Over;
	for (const auto& [Who, V] : Visits)
		if (V.Where == Phase::In && V.Who.MatchId != Id) Over.push_back(Who);
	for (const ConnectionId Who : Over) Refuse(Who, Refused{"match_over"});  // for the gate they are gone
}

void GameServer::SpeakToAgones(double Time) {
	if (!Ready && !ReadyUnclear && !AskingReady && Time >= ReadyDue) {
		AskingReady = true;
		World.Send(ToSdk("/ready"), Alive.Guard([this](const Response& Answer) {
			AskingReady = false;
			Ready = Answer.Status == 200;
			ReadyUnclear = !Ready;
			ReadyDue = World.Now() + ReadyPause.Next();
		}));
	}
	if (Time >= HealthDue) {
		HealthDue = Time + HealthInterval;
		World.Send(ToSdk("/health"), [](const Response&) {});
	}
}

// Heard takes note of whether the gate has answered. Nothing is concluded from hearing
// nothing: a game thread that stands still hears nobody.
void GameServer::Heard(const Response& Answer) {
	if (Answer.Status > 0) {
		GateAway = false;
	} else if (!GateAway) {
		GateAway = true;
		GateAwaySince = World.Now();
	}
}

// A gate that stays away lets nobody in, and nobody else would end the server.
void GameServer::EndWithoutGate(double Time) {
	if (!GateAway || Time - GateAwaySince < Set.GateLost || Players() > 0 || AskingShutdown || Time < ShutdownDue) return;
	AskingShutdown = true;
	ShutdownDue = Time + ShutdownInterval;
	World.Send(ToSdk("/shutdown"), Alive.Guard([this](const Response&) { AskingShutdown = false; }));
}

}  // namespace torikumi
