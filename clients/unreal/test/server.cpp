// The dedicated server's side of Core as a game server over UDP (docs/udp.md), for the
// players of the demo.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>

#include "../Torikumi/Source/Torikumi/Private/Core/GameServer.h"
#include "CurlTransport.h"

using namespace torikumi;

namespace {

std::string Env(const char* Name, const std::string& Otherwise) {
	const char* Value = std::getenv(Name);
	return Value != nullptr && *Value != '\0' ? Value : Otherwise;
}

// One connection for each address, until it is closed.
struct Peer {
	ConnectionId Id = 0;
	sockaddr_in Address{};
	std::string Token, Player, Team, Match;
	bool In = false;
	double Heard = 0;
};

class Table {
public:
	explicit Table(int Descriptor) : Socket(Descriptor), Server(World, Settings(), Listen()) {}

	void Run() {
		for (;;) {
			World.Poll(20, Socket);
			Server.Tick();
			for (auto It = Peers.begin(); It != Peers.end();) {
				const bool Silent = World.Now() - It->second.Heard > 10;
				if (Silent) Server.Left(It->second.Id);
				It = Silent ? Peers.erase(It) : std::next(It);
			}
			char Data[1401];
			for (;;) {
				sockaddr_in From{};
				socklen_t Size = sizeof From;
				const ssize_t N = recvfrom(Socket, Data, sizeof Data, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&From), &Size);
				if (N < 0) break;
				if (N <= 1400) Take(From, std::string(Data, static_cast<size_t>(N)));
			}
		}
	}

private:
	int Socket;
	CurlTransport World;
	std::map<std::string, Peer> Peers;
	ConnectionId Given = 0;
	GameServer Server;

	static GameServer::Options Settings() {
		GameServer::Options Out;
		Out.Gate = Env("TORIKUMI_GATE", Out.Gate);
		Out.Sdk = "http://127.0.0.1:" + Env("AGONES_SDK_HTTP_PORT", "9358");
		Out.PresenceInterval = 1;
		Out.TokenDeadline = std::atof(Env("TOKEN_DEADLINE", "10").c_str());
		return Out;
	}

	GameServer::Events Listen() {
		GameServer::Events On;
		On.OnAdmitted = [this](ConnectionId Who, const Admitted& A) {
			Peer* P = Find(Who);
			if (P == nullptr) return;
			P->In = true;
			P->Player = A.Player, P->Team = A.Team, P->Match = A.MatchId;
			std::printf("joined: %s\n", A.Player.c_str());
			std::fflush(stdout);
			Welcome(*P);
		};
		On.OnRefused = [this](ConnectionId Who, const Refused& R) {
			Peer* P = Find(Who);
			if (P == nullptr) return;
			std::printf("refused: %s\n", R.Reason.c_str());
			std::fflush(stdout);
			const std::string Reason = "{\"reason\":\"" + R.Reason + "\"";
			Say(*P, P->In ? "KICK " + Reason + "}" : "REFUSED " + Reason + ",\"retryable\":" + (R.Retryable ? "true}" : "false}"));
			Peers.erase(Key(P->Address));
		};
		On.OnAllocated = [](const std::string& Match) {
			std::printf("allocated: %s\n", Match.c_str());
			std::fflush(stdout);
		};
		return On;
	}

	static std::string Key(const sockaddr_in& A) { return std::to_string(A.sin_addr.s_addr) + ":" + std::to_string(A.sin_port); }

	Peer* Find(ConnectionId Id) {
		for (auto& [Name, P] : Peers)
			if (P.Id == Id) return &P;
		return nullptr;
	}

	void Say(const Peer& P, const std::string& Text) const {
		(void)!sendto(Socket, Text.data(), Text.size(), 0, reinterpret_cast<const sockaddr*>(&P.Address), sizeof P.Address);
	}

	std::string Players() const {
		std::string List;
		for (const auto& [Name, P] : Peers)
			if (P.In) List += (List.empty() ? "" : ",") + ("{\"player\":\"" + P.Player + "\",\"team\":\"" + P.Team + "\"}");
		return "[" + List + "]";
	}

	void Welcome(const Peer& P) const {
		Say(P, "WELCOME {\"player\":\"" + P.Player + "\",\"team\":\"" + P.Team + "\",\"match_id\":\"" + P.Match + "\",\"roster\":" + Players() + "}");
	}

	void Take(const sockaddr_in& From, const std::string& Text) {
		const std::string Name = Key(From), Verb = Text.substr(0, Text.find(' '));
		const std::string Rest = Text.size() > Verb.size() ? Text.substr(Verb.size() + 1) : "";
		auto Found = Peers.find(Name);
		if (Found == Peers.end()) {
			Peer P;
			P.Address = From;
			P.Heard = World.Now();
			if (Verb != "JOIN" && Verb != "HELLO") {
				Say(P, "KICK {\"reason\":\"no_token\"}");
				return;
			}
			P.Id = ++Given;
			Found = Peers.emplace(Name, P).first;
			Server.Connected(P.Id);
		}
		Peer& P = Found->second;
		P.Heard = World.Now();
		if (Verb == "JOIN") {
			if (P.In && P.Token == Rest) {
				Welcome(P);
			} else if (P.In && P.Token != Rest) {  // a new connection from the same address
				Server.Left(P.Id);
				Peers.erase(Found);
				Take(From, Text);
			} else if (P.Token.empty()) {
				P.Token = Rest;
				Server.Present(P.Id, Rest);
			}
		} else if (!P.In) {
			return;
		} else if (Verb == "PING") {
			Say(P, "PONG " + Rest);
		} else if (Verb == "ROSTER") {
			Say(P, "ROSTER {\"match_id\":\"" + P.Match + "\",\"players\":" + Players() + "}");
		} else if (Verb == "LEAVE") {
			Say(P, "BYE");
			Server.Left(P.Id);
			Peers.erase(Found);
		}
	}
};

}  // namespace

int main() {
	curl_global_init(CURL_GLOBAL_DEFAULT);
	const int Socket = socket(AF_INET, SOCK_DGRAM, 0);
	sockaddr_in Local{};
	Local.sin_family = AF_INET;
	Local.sin_port = htons(static_cast<uint16_t>(std::atoi(Env("PORT", "7654").c_str())));
	if (Socket < 0 || bind(Socket, reinterpret_cast<sockaddr*>(&Local), sizeof Local) != 0) return std::perror("bind"), 1;
	std::printf("port: %d\n", ntohs(Local.sin_port));
	std::fflush(stdout);
	Table(Socket).Run();
}
