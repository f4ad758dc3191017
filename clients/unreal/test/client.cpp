// The player's side of Core as a program: commands come in by lines, events go out by lines.
//   client FRONTEND PLAYER_TOKEN
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>

#include "../Torikumi/Source/Torikumi/Private/Core/Matchmaking.h"
#include "CurlTransport.h"

using namespace torikumi;

namespace {

void Say(const std::string& Line) {
	std::printf("%s\n", Line.c_str());
	std::fflush(stdout);
}

const char* Name(Matchmaking::State S) {
	static const char* const Names[] = {"idle", "starting", "gathering", "searching", "accepting", "matched", "ended"};
	return Names[static_cast<int>(S)];
}

const char* Name(Return::Action A) {
	static const char* const Names[] = {"give_up", "same_token", "new_token"};
	return Names[static_cast<int>(A)];
}

}  // namespace

int main(int Count, char** Args) {
	if (Count != 3) return 2;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	CurlTransport World;
	Matchmaking::Events On;
	On.Progress = [](Matchmaking::State S, const std::string& Reason) { Say(std::string("progress ") + Name(S) + " " + Reason); };
	On.Party = [](const PartyState& P) {
		std::string Missing;
		for (const std::string& M : P.Missing) Missing += (Missing.empty() ? "" : ",") + M;
		Say("party " + P.Leader + " code=" + P.Code + " missing=" + Missing);
	};
	On.Proposed = [](const Proposal& P) {
		std::string Accepted;
		for (const std::string& A : P.Accepted) Accepted += (Accepted.empty() ? "" : ",") + A;
		Say("proposed " + std::to_string(P.Players) + " accepted=" + Accepted + " until=" + P.ExpireTime);
	};
	On.Matched = [](const Match& M) { Say("matched " + M.Connection + " " + M.Token + " " + M.MatchId + " " + M.Team); };
	On.Ended = [](const Ending& E) { Say("ended " + E.Code + " " + E.Detail); };
	Matchmaking M(World, Args[1], On);
	M.SignIn(Args[2]);
	M.Patience = 5;
	Beacons Near(World);
	Return Back;
	std::string Input;
	for (;;) {
		World.Poll(20, STDIN_FILENO);
		M.Tick();
		pollfd In{STDIN_FILENO, POLLIN, 0};
		if (poll(&In, 1, 0) <= 0) continue;
		char Data[4096];
		const ssize_t N = read(STDIN_FILENO, Data, sizeof Data);
		if (N <= 0) return 0;
		Input.append(Data, static_cast<size_t>(N));
		for (size_t End; (End = Input.find('\n')) != std::string::npos; Input.erase(0, End + 1)) {
			std::istringstream Line(Input.substr(0, End));
			std::string Verb, A, B;
			Line >> Verb >> A >> B;
			bool Done = true;
			if (Verb == "find") {
				Search S;
				S.Queue = A;
				S.Region = B;
				S.Me.Numbers["skill"] = 1500;
				S.Me.Latencies["eu"] = 20;
				Done = M.Find(S);
			} else if (Verb == "party") {
				Search S;
				S.Queue = A;
				S.Party = true;
				S.Size = std::atoi(B.c_str());
				Done = M.Find(S);
			} else if (Verb == "join") {
				Done = M.JoinParty(A, Player());
			} else if (Verb == "start") {
				Done = M.StartParty();
			} else if (Verb == "accept") {
				Done = M.Accept();
			} else if (Verb == "decline") {
				Done = M.Decline();
			} else if (Verb == "cancel") {
				Done = M.Cancel();
			} else if (Verb == "patience") {
				M.Patience = std::atof(A.c_str());
			} else if (Verb == "renew") {
				M.Renew([](const std::string& Token, const Ending& Why) { Say("token " + Token + " " + Why.Code); });
			} else if (Verb == "measure") {
				const auto Then = [](const std::map<std::string, int>& Ms) {
					std::string Out = "measured";
					for (const auto& [Region, Value] : Ms) Out += " " + Region + "=" + std::to_string(Value);
					Say(Out);
				};
				if (A.empty()) {
					Near.MeasureListed(Args[1], Then);
				} else {
					Near.Measure({{"near", A}, {"far", B}}, Then);
				}
			} else if (Verb == "kicked") {  // reason same|new|-
				Say(std::string("return ") + Name(Back.After(A, B == "same", B == "new", World.Now())));
			}
			if (!Done) Say("refused " + Verb);
		}
	}
}
