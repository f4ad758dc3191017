// Beacons at distances that a test sets, on a clock that it turns. Exits with 0 if each region
// gets the median of its round trips, without the first, and none that does not answer.
#include <cstdio>
#include <deque>
#include <map>

#include "../Torikumi/Source/Torikumi/Private/Core/Matchmaking.h"

using namespace torikumi;

namespace {

// Answers each URL after one of its delays, in seconds, after the other; below 0: with no answer,
// after the time-out.
class Distance : public Transport {
public:
	std::map<std::string, std::deque<double>> Delays;
	std::string List;

	void Send(const Request& What, Done Then) override {
		Response Answer;
		if (What.Url == "frontend/v1/regions") {
			Answer.Status = List.empty() ? 0 : 200;
			Answer.Body = List;
			Waiting.emplace(Time, [Then, Answer] { Then(Answer); });
			return;
		}
		std::deque<double>& Next = Delays[What.Url];
		const double Delay = Next.empty() ? -1 : Next.front();
		if (!Next.empty()) Next.pop_front();
		Answer.Status = Delay < 0 ? 0 : 204;
		Waiting.emplace(Time + (Delay < 0 ? What.Timeout : Delay), [Then, Answer] { Then(Answer); });
	}
	double Now() const override { return Time; }
	std::string RandomName() override { return "name"; }

	void Run() {
		while (!Waiting.empty()) {
			const auto First = Waiting.begin();
			Time = First->first;
			const std::function<void()> Next = First->second;
			Waiting.erase(First);
			Next();
		}
	}

private:
	double Time = 0;
	std::multimap<double, std::function<void()>> Waiting;
};

std::string Text(const std::map<std::string, int>& Ms) {
	std::string Out;
	for (const auto& [Region, Value] : Ms) Out += Region + "=" + std::to_string(Value) + " ";
	return Out;
}

bool Right = true;

void Expect(const char* What, const std::string& Got, const std::string& Want) {
	if (Got != Want) std::printf("%s: \"%s\", want \"%s\"\n", What, Got.c_str(), Want.c_str());
	Right = Right && Got == Want;
}

}  // namespace

int main() {
	std::string Got;
	int Calls = 0;
	const auto Then = [&](const std::map<std::string, int>& Ms) {
		Got = Text(Ms);
		Calls++;
	};
	Distance World;
	Beacons Near(World);
	const auto Set = [&] {
		World.Delays = {{"eu", {0.9, 0.02, 0.9, 0.03, 0.01, 0.04}}, {"us", {0.1, 0.2, 0.2, -1}}, {"far", {100, 90, 90, 90, 90, 90}}};
	};
	const std::map<std::string, std::string> Urls = {{"a", "eu"}, {"b", "us"}, {"c", "nobody"}, {"d", "far"}};
	Set();
	Near.Measure(Urls, Then);
	World.Run();
	Expect("medians", Got, "a=30 b=200 d=60000 ");
	World.List = R"({"regions":[{"name":"eu","udp":"u:1","http":"eu"},{"name":"datagrams","udp":"u:1"},{"name":"us","http":"us"}]})";
	Set();
	Near.MeasureListed("frontend", Then);
	World.Run();
	Expect("those that are listed", Got, "eu=30 us=200 ");
	for (const char* List : {"", "{}", "rubbish", R"({"regions":7})"}) {
		World.List = List;
		Near.MeasureListed("frontend", Then);
		World.Run();
		Expect("no list", Got, "");
	}
	const int Before = Calls;
	Set();
	Near.Measure(Urls, Then);
	Near.Measure({{"e", "eu"}}, Then);
	World.Run();
	Expect("a second takes the place of the first", std::to_string(Calls - Before), "1");
	{
		Beacons Gone(World);
		Gone.MeasureListed("frontend", Then);
	}
	World.Run();
	Expect("nobody is called who is gone", std::to_string(Calls - Before), "1");
	return Right ? 0 : 1;
}
