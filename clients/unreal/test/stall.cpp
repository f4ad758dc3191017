// A server whose game thread stands still for longer than a gate may be away, as it does
// when it loads a level. Exits with 0 if it ends itself exactly when the gate is away.
#include <cstdio>
#include <deque>

#include "../Torikumi/Source/Torikumi/Private/Core/GameServer.h"

using namespace torikumi;

namespace {

class World : public Transport {
public:
	double Time = 0;
	bool Gate = true, Shutdown = false;

	void Send(const Request& What, Done Then) override {
		const bool Sdk = What.Url.find("9358") != std::string::npos;
		Shutdown = Shutdown || What.Url.find("/shutdown") != std::string::npos;
		Response Answer;
		Answer.Status = Sdk || Gate ? 200 : 0;
		Answer.Body = "{\"state\":\"Ready\",\"match_id\":\"\"}";
		Waiting.emplace_back([Then, Answer] { Then(Answer); });
	}
	double Now() const override { return Time; }
	std::string RandomName() override { return "name"; }

	void Answer() {
		for (; !Waiting.empty(); Waiting.pop_front()) Waiting.front()();
	}

private:
	std::deque<std::function<void()>> Waiting;
};

// Reports whether the server has ended itself after so many seconds of frames.
bool Ended(World& Use, GameServer& Server, double Seconds) {
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
	World Use;
	GameServer Server(Use, GameServer::Options(), GameServer::Events());
	const double Lost = GameServer::Options().GateLost;
	bool Right = Say(!Ended(Use, Server, 5), "ended with a gate");
	Use.Time += Lost + 1;
	Right = Say(!Ended(Use, Server, 5), "ended after standing still, with a gate") && Right;
	Use.Gate = false;
	Right = Say(!Ended(Use, Server, Lost - 5), "ended too soon without a gate") && Right;
	Right = Say(Ended(Use, Server, 30), "did not end without a gate") && Right;
	return Right ? 0 : 1;
}
