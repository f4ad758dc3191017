// A game that answers a proposal as soon as it is told anything of it. Exits with 0 if each
// answer is to the proposal that is on the table.
#include <cstdio>
#include <deque>

#include "../Torikumi/Source/Torikumi/Private/Core/Matchmaking.h"

using namespace torikumi;

namespace {

// Answers each request with the ticket as the test has set it, and notes which those were.
class Frontend : public Transport {
public:
	std::string Ticket, Accepted;

	void Send(const Request& What, Done Then) override {
		const size_t At = What.Url.find("/accept?proposal_id=");
		if (At != std::string::npos) Accepted += What.Url.substr(At + 20) + " ";
		Response Answer;
		Answer.Status = 200;
		Answer.Body = Ticket;
		Waiting.push_back([Then, Answer] { Then(Answer); });
	}
	double Now() const override { return Time; }
	std::string RandomName() override { return "name"; }

	// Passes a while.
	void Run(Matchmaking& M) {
		for (int I = 0; I < 100; ++I, Time += 0.1) {
			M.Tick();
			for (size_t Left = Waiting.size(); Left > 0; --Left) {
				const std::function<void()> Next = Waiting.front();
				Waiting.pop_front();
				Next();
			}
		}
	}

private:
	double Time = 0;
	std::deque<std::function<void()>> Waiting;
};

std::string Asked(const std::string& Proposal) {
	return R"({"id":"t","state":"ACCEPTING","acceptance":{"proposal_id":")" + Proposal + R"(","players":2,"expire_time":"2026-01-01T12:00:15Z"}})";
}

}  // namespace

int main() {
	Frontend World;
	std::string Proposed;
	Matchmaking* Search = nullptr;
	Matchmaking::Events On;
	On.Progress = [&Search](Matchmaking::State Now, const std::string&) {
		if (Now == Matchmaking::State::Accepting) Search->Accept();
	};
	On.Proposed = [&Proposed](const Proposal& P) { Proposed += P.Id + " "; };
	Matchmaking M(World, "frontend", On);
	Search = &M;
	M.Find({});
	for (const char* Id : {"p1", "p2"}) {
		World.Ticket = R"({"id":"t","state":"SEARCHING"})";
		World.Run(M);
		World.Ticket = Asked(Id);
		World.Run(M);
	}
	const bool Right = World.Accepted == "p1 p2 " && Proposed == "p1 p2 ";
	if (!Right) std::printf("accepted \"%s\", proposed \"%s\", want \"p1 p2 \" of both\n", World.Accepted.c_str(), Proposed.c_str());
	return Right ? 0 : 1;
}
