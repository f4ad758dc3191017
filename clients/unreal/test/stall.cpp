// A server whose game thread stands still for longer than a gate may be away, as it does
// when it loads a level. Exits with 0 if it ends itself exactly when the gate is away.
#include <cstdio>

#include "../Torikumi/Source/Torikumi/Private/Core/GameServer.h"
#include "ScriptedTransport.h"

using namespace torikumi;

namespace {

// Reports whether the server has ended itself after so many seconds of frames.
bool Ended(ScriptedTransport& Use, GameServer& Server, double Seconds) {
	for (const double End = Use.Time + Seconds; Use.Time < End; Use.Time += 0.1) {
		Server.Tick();
		Use.Answer();
	}
	return Use.Shutdown;
}

bool Say(bool Right, const char* What) {
	if (!Right) std::printf("%s\n", What);
	return Right;
}

}  // namespace

int main() {
	ScriptedTransport Use;
	GameServer Server(Use, GameServer::Options(), GameServer::Events());
	const double Lost = GameServer::Options().GateLost;
	bool Right = Say(!Ended(Use, Server, 5), "ended with a gate");
	Use.Time += Lost + 1;
	Right = Say(!Ended(Use, Server, 5), "ended after standing still, with a gate") && Right;
	Use.Gate = false;
	Right = Say(!Ended(Use, Server, Lost - 5), "ended too soon without a gate") && Right;
	Right = Say(Ended(Use, Server, 30), "did not end without a gate") && Right;

	ScriptedTransport Alone;  // the answer to Ready is lost, and the gate that could tell is gone
	Alone.Gate = Alone.Sdk = false;
	GameServer Unclear(Alone, GameServer::Options(), GameServer::Events());
	Right = Say(!Ended(Alone, Unclear, Lost - 5), "ended too soon, without knowing that it is Ready") && Right;
	Right = Say(Ended(Alone, Unclear, 30), "did not end without a gate, without knowing that it is Ready") && Right;
	return Right ? 0 : 1;
}
