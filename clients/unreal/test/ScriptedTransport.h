// Transport to a gate and an SDK that answer as a test sets them, on a clock that it turns.
#pragma once

#include <deque>
#include <string>

#include "../Torikumi/Source/Torikumi/Private/Core/Transport.h"

namespace torikumi {

class ScriptedTransport : public Transport {
public:
	double Time = 0;
	size_t Rosters = 0;  // asked for
	bool Gate = true, Sdk = true, Shutdown = false;
	// Of the answers from now on: the roster's state, and the match that it and admissions
	// are for. A token is a player's name, and their admission.
	std::string State = "Ready", Match, Presence;
	std::string Backfill;  // the methods that came, in order

	void Send(const Request& What, Done Then) override {
		const bool ToSdk = What.Url.find("9358") != std::string::npos;
		const bool Admission = What.Url.find("/admissions") != std::string::npos;
		Shutdown = Shutdown || What.Url.find("/shutdown") != std::string::npos;
		Rosters += What.Url.find("/roster") != std::string::npos ? 1 : 0;
		if (What.Url.find("/presence") != std::string::npos) Presence = What.Body;
		if (What.Url.find("/backfill") != std::string::npos) Backfill += What.Method + What.Body + " ";
		Response Answer;
		Answer.Status = (ToSdk ? Sdk : Gate) ? 200 : 0;
		Answer.Body = "{\"state\":\"" + State + "\",\"match_id\":\"" + Match + "\"}";
		if (Admission) {
			const std::string Name = What.Body.substr(10, What.Body.size() - 12);
			Answer.Body = "{\"player\":\"" + Name + "\",\"match_id\":\"" + Match + "\",\"admission\":\"" + Name + "\"}";
		}
		// An admission overtakes whatever else is on its way.
		Waiting.insert(Admission ? Waiting.begin() : Waiting.end(), [Then, Answer] { Then(Answer); });
	}
	double Now() const override { return Time; }
	std::string RandomName() override { return "name"; }

	void Answer() {
		while (!Waiting.empty()) {
			const std::function<void()> Next = Waiting.front();
			Waiting.pop_front();
			Next();
		}
	}

private:
	std::deque<std::function<void()>> Waiting;
};

}  // namespace torikumi
