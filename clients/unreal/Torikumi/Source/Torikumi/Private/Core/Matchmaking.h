// The player's side: find a match, alone or as a party, and come back in (docs/api.md).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "Json.h"
#include "Transport.h"

namespace torikumi {

// What a player brings into a search.
struct Player {
	std::map<std::string, double> Numbers;
	std::map<std::string, std::string> Texts;
	std::map<std::string, int> Latencies;  // milliseconds by region
};

struct Search {
	std::string Queue, Region;
	Player Me;
	// A party that others join by its code before the search begins.
	bool Party = false;
	std::vector<std::string> Invited;
	int Size = 0;  // 0: the queue's rules alone
};

struct PartyState {
	std::string Leader, Code;  // the code is the leader's alone
	std::vector<std::string> Missing;
};

// A match that was found, and that its players are asked about.
struct Proposal {
	std::string Id;
	std::string ExpireTime;  // RFC 3339, by the frontend's clock
	int Players = 0;         // of the match
	std::vector<std::string> Accepted;  // of this ticket
};

struct Match {
	std::string Connection;  // IP:port
	std::string Token;       // good for one connection
	std::string MatchId, Team;
};

// Why a search has ended without a match. Code is a reason of docs/api.md, or
//   cancelled, expired  the ticket's last state
//   gone                the frontend knows no such ticket
//   unreachable         the frontend has given no useful answer for Patience
//   refused             an error without a reason; Detail says more
struct Ending {
	std::string Code, Detail;
};

class Matchmaking {
public:
	enum class State { Idle, Starting, Gathering, Searching, Accepting, Matched, Ended };

	struct Events {
		// The state, or the frontend's sentence for the player, has changed.
		std::function<void(State, const std::string& Reason)> Progress;
		std::function<void(const PartyState&)> Party;
		// In the state Accepting: asks whether the player plays, or says who has accepted.
		std::function<void(const Proposal&)> Proposed;
		// Ends the search, as Ended does.
		std::function<void(const Match&)> Matched;
		std::function<void(const Ending&)> Ended;
	};

	// The URL is the frontend's, without a slash at its end.
	Matchmaking(Transport& World, const std::string& Url, const Events& On);

	// The player token of the studio's issuer; set it anew before it expires.
	void SignIn(const std::string& PlayerToken) { Bearer = PlayerToken; }

	// Each returns false, and does nothing, in a state that it does not go with.
	bool Find(const Search& What);
	bool JoinParty(const std::string& Code, const Player& Me);
	bool StartParty();  // the leader's: with those who are there
	bool Accept();      // the match that is proposed
	bool Decline();     // it, which ends the search
	bool Cancel();      // the match may come first, and then counts

	// Asks for another join token, to connect again: Then gets the token, or why there
	// is none.
	void Renew(const std::function<void(const std::string& Token, const Ending& Why)>& Then);

	// To be called some times a second.
	void Tick();

	State Current() const { return Now; }
	const Match& Last() const { return Found; }

	// How long the frontend may be away, in seconds.
	double Patience = 60;

private:
	enum class Step { None, Create, Follow, Start, Accept, Decline, Remove, Token };

	Transport& World;
	const std::string Url;
	const Events On;
	std::string Bearer, Ticket, Reason, Body, CreatePath;
	Match Found;
	PartyState Party;
	Proposal Offer;
	State Now = State::Idle;
	bool Cancelled = false, Start = false;
	// What is to be sent next, when, and what has been.
	Step Next = Step::None;
	bool Asking = false;
	double Due = 0, Heard = 0;
	Backoff Pause;
	Lifetime Alive;

	bool Begin(const std::string& Path, const std::string& Content);
	void Ask(Step What);
	void Answered(Step What, const Response& Answer);
	void Failed(Step What, const Response& Answer);
	void Take(const Json& Document);
	void TakeMatch();
	void TakeParty(const Json& Document);
	bool TakeProposal(const Json& Document, bool Asked);
	bool Say(Step What);
	void Change(State To, const std::string& Why);
	void End(const std::string& Code, const std::string& Detail);
	Request Make(const std::string& Method, const std::string& Path, const std::string& Content) const;
};

// What to do after a game server has refused or kicked the player (docs/game-server.md).
class Return {
public:
	enum class Action { GiveUp, SameToken, NewToken };

	Action After(const std::string& Reason, bool Retryable, bool Renewable, double Now);
	void Reset() { *this = Return(); }

private:
	bool Renewed = false, Trying = false;
	double Since = 0;
};

// Measures how far away regions are, by HTTP requests to an address in each: the median of
// some round trips, without the first, which opens the connection (docs/beacons.md).
class Beacons {
public:
	explicit Beacons(Transport& Use) : World(Use) {}
	// Calls Done once, with the regions that have answered. Another measurement before that
	// takes its place.
	void Measure(const std::map<std::string, std::string>& UrlByRegion, std::function<void(const std::map<std::string, int>&)> Done);
	// The same for the regions that the frontend lists; none if it gives no answer.
	void MeasureListed(const std::string& FrontendUrl, const std::function<void(const std::map<std::string, int>&)>& Done);

	static constexpr int Rounds = 6;
	static constexpr int Longest = 60000;  // milliseconds: the most that a ticket takes
	static constexpr double Timeout = 2;

private:
	Transport& World;
	std::map<std::string, std::vector<int>> Milliseconds;
	std::function<void(const std::map<std::string, int>&)> Then;
	size_t Open = 0;
	Lifetime Alive;

	void Ping(const std::string& Region, const std::string& Url, int Left);
	void Finish();
};

}  // namespace torikumi
