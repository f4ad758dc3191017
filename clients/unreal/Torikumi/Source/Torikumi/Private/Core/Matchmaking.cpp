#include "Matchmaking.h"

#include <algorithm>
#include <cmath>

namespace torikumi {

namespace {

// How long the frontend holds a question when nothing happens, in seconds; a sentence
// for the player comes no later than that.
constexpr int PollSeconds = 5;

// How often the ticket is looked at while its match is proposed, in seconds: the frontend
// answers at once then to who has not accepted.
constexpr double LookEvery = 1;

std::string Number(double Value) {
	char Text[64];
	std::snprintf(Text, sizeof Text, "%.17g", Value);
	return Text;
}

std::string PlayerJson(const Player& Me) {
	std::string Attributes, Latencies;
	const auto Add = [](std::string& To, const std::string& Name, const std::string& Value) {
		To += (To.empty() ? "" : ",") + Json::Quote(Name) + ":" + Value;
	};
	for (const auto& [Name, Value] : Me.Numbers)
		if (std::isfinite(Value)) Add(Attributes, Name, "{\"number\":" + Number(Value) + "}");
	for (const auto& [Name, Value] : Me.Texts) Add(Attributes, Name, "{\"string\":" + Json::Quote(Value) + "}");
	for (const auto& [Region, Ms] : Me.Latencies) Add(Latencies, Region, std::to_string(Ms));
	std::string Out;
	if (!Attributes.empty()) Add(Out, "attributes", "{" + Attributes + "}");
	if (!Latencies.empty()) Add(Out, "latencies", "{" + Latencies + "}");
	return "{" + Out + "}";
}

std::string SearchJson(const Search& What) {
	std::string Out = "{\"queue\":" + Json::Quote(What.Queue);
	if (!What.Region.empty()) Out += ",\"region\":" + Json::Quote(What.Region);
	Out += ",\"players\":[" + PlayerJson(What.Me) + "]";
	if (What.Party) {
		std::string Invited;
		for (const std::string& Name : What.Invited) Invited += (Invited.empty() ? "" : ",") + Json::Quote(Name);
		Out += ",\"party\":{\"invited\":[" + Invited + "]";
		if (What.Size > 0) Out += ",\"size\":" + std::to_string(What.Size);
		Out += "}";
	}
	return Out + "}";
}

// A problem's detail, and what is wrong with which field.
std::string DetailOf(const Json& Problem) {
	std::string Out = Problem["detail"].Text();
	for (const Json& Field : Problem["errors"].Items())
		Out += (Out.empty() ? "" : "; ") + Field["field"].Text() + ": " + Field["rule"].Text();
	return Out;
}

bool Passing(int Status) { return Status == 0 || Status == 408 || Status == 429 || Status >= 500; }

}  // namespace

Matchmaking::Matchmaking(Transport& Use, const std::string& Base, const Events& Listener) : World(Use), Url(Base), On(Listener) {}

Request Matchmaking::Make(const std::string& Method, const std::string& Path, const std::string& Content) const {
	Request Out;
	Out.Method = Method;
	Out.Url = Url + Path;
	Out.Body = Content;
	Out.Headers.emplace_back("Authorization", "Bearer " + Bearer);
	if (!Content.empty()) Out.Headers.emplace_back("Content-Type", "application/json");
	Out.Timeout = PollSeconds + 10;
	return Out;
}

bool Matchmaking::Find(const Search& What) { return Begin("/v1/tickets", SearchJson(What)); }

bool Matchmaking::JoinParty(const std::string& Code, const Player& Me) {
	return Begin("/v1/parties/join", "{\"code\":" + Json::Quote(Code) + ",\"player\":" + PlayerJson(Me) + "}");
}

bool Matchmaking::Begin(const std::string& Path, const std::string& Content) {
	if (Now == State::Starting || Now == State::Gathering || Now == State::Searching || Now == State::Accepting) return false;
	Alive.Renew();  // answers about an earlier ticket
	Ticket.clear();
	Reason.clear();
	Found = Match();
	Party = PartyState();
	Offer = Proposal();
	Cancelled = Start = Asking = false;
	CreatePath = Path;
	Body = Content;
	Pause.Reset();
	Heard = Due = World.Now();
	Next = Step::Create;
	Change(State::Starting, "");
	Tick();
	return true;
}

bool Matchmaking::StartParty() {
	if (Now != State::Gathering) return false;
	Start = true;
	Next = Step::Start;
	if (!Asking) Due = World.Now();
	Tick();
	return true;
}

bool Matchmaking::Cancel() {
	if (Now != State::Starting && Now != State::Gathering && Now != State::Searching && Now != State::Accepting) return false;
	Cancelled = true;
	if (!Ticket.empty()) Say(Step::Remove);
	return true;
}

bool Matchmaking::Accept() { return Now == State::Accepting && !Cancelled && Say(Step::Accept); }

bool Matchmaking::Decline() { return Now == State::Accepting && !Cancelled && Say(Step::Decline); }

// Say sends what the player has decided at once. The long poll that is under way ends by
// itself, and finds the ticket changed too.
bool Matchmaking::Say(Step What) {
	Alive.Renew();
	Asking = false;
	Next = What;
	Due = World.Now();
	Tick();
	return true;
}

void Matchmaking::Tick() {
	if (Asking || Next == Step::None || World.Now() < Due) return;
	Ask(Next);
}

void Matchmaking::Ask(Step What) {
	const std::string Path = "/v1/tickets/" + Ticket;
	Request Out;
	switch (What) {
	case Step::Create: Out = Make("POST", CreatePath, Body); break;
	case Step::Follow: Out = Make("GET", Path + "/wait?timeout=" + std::to_string(PollSeconds) + "s", ""); break;
	case Step::Start: Out = Make("POST", Path + "/start", "{}"); break;
	case Step::Accept:
	case Step::Decline:
		// The answer is to what the player has seen, which a body would not say.
		Out = Make("POST", Path + (What == Step::Accept ? "/accept" : "/decline") + "?proposal_id=" + Offer.Id, "{}");
		break;
	case Step::Remove: Out = Make("DELETE", Path, ""); break;
	case Step::Token: Out = Make("POST", Path + "/join-token", "{}"); break;
	case Step::None: return;
	}
	Asking = true;
	World.Send(Out, Alive.Guard([this, What](const Response& Answer) { Answered(What, Answer); }));
}

void Matchmaking::Answered(Step What, const Response& Answer) {
	Asking = false;
	Json Document;
	if (Answer.Status != 200 || !Json::Parse(Answer.Body, Document) || !Document.IsObject()) {
		Failed(What, Answer);
		return;
	}
	Pause.Reset();
	Heard = World.Now();
	if (What == Step::Token) {
		Found.Token = Document["jwt"].Text();
		TakeMatch();
		return;
	}
	if (What == Step::Start) Start = false;
	Take(Document);
}

void Matchmaking::Failed(Step What, const Response& Answer) {
	Json Problem;
	Json::Parse(Answer.Body, Problem);
	const std::string& Code = Problem["reason"].Text();
	if (What == Step::Create && Answer.Status == 409 && Code == "already_searching" && !Problem["ticket_id"].Text().empty()) {
		// An earlier try whose answer was lost, or a search before the game was started anew.
		Ticket = Problem["ticket_id"].Text();
		Next = Cancelled ? Step::Remove : Step::Follow;
		Due = World.Now();
		return;
	}
	if ((What == Step::Start || What == Step::Accept || What == Step::Decline) && !Passing(Answer.Status)) {
		// It has begun by itself, or is not the leader's; or nothing is proposed any more.
		Start = false;
		Next = Step::Follow;
		Due = World.Now();
		return;
	}
	if (Passing(Answer.Status) || Answer.Status == 200) {
		if (World.Now() - Heard > Patience) {
			End("unreachable", "the frontend gives no answer");
			return;
		}
		Next = What;
		Due = World.Now() + Pause.Next(Answer.RetryAfter);
		return;
	}
	if (Answer.Status == 404 && What != Step::Create) {
		End(Cancelled ? "cancelled" : "gone", DetailOf(Problem));
		return;
	}
	End(Code.empty() ? "refused" : Code, DetailOf(Problem));
}

void Matchmaking::Take(const Json& Document) {
	Ticket = Document["id"].Text();
	const std::string& Name = Document["state"].Text();
	const std::string& Why = Document["reason"].Text();
	Due = World.Now();
	Next = Cancelled ? Step::Remove : Start ? Step::Start : Step::Follow;
	if (Name == "ASSIGNED") {
		const Json& Server = Document["server"];
		Found = Match{Server["connection"].Text(), Document["join_token"]["jwt"].Text(), Server["match_id"].Text(), Server["team"].Text()};
		TakeMatch();
	} else if (Name == "CANCELLED") {
		End("cancelled", Why);
	} else if (Name == "EXPIRED") {
		End("expired", Why);
	} else {
		TakeParty(Document["party"]);
		const bool Asked = Name == "ACCEPTING";
		if (Asked && Next == Step::Follow) Due = World.Now() + LookEvery;
		// Known before it is told, as the game may accept at once.
		const bool Other = TakeProposal(Document["acceptance"], Asked);
		Change(Name == "GATHERING" ? State::Gathering : Asked ? State::Accepting : State::Searching, Why);
		if (Other && Now == State::Accepting && !Cancelled && On.Proposed) On.Proposed(Offer);
	}
}

void Matchmaking::TakeMatch() {
	if (Found.Token.empty()) {  // it was in an answer that got lost
		Next = Step::Token;
		return;
	}
	Next = Step::None;
	Change(State::Matched, "");
	if (On.Matched) On.Matched(Found);
}

void Matchmaking::TakeParty(const Json& Document) {
	if (!Document.IsObject()) return;
	PartyState Read{Document["leader"].Text(), Document["code"].Text(), {}};
	for (const Json& Name : Document["missing"].Items()) Read.Missing.push_back(Name.Text());
	if (Read.Code.empty()) Read.Code = Party.Code;
	const bool Same = Read.Leader == Party.Leader && Read.Code == Party.Code && Read.Missing == Party.Missing;
	Party = Read;
	if (!Same && On.Party) On.Party(Party);
}

// Returns whether something else is proposed, or somebody else has accepted.
bool Matchmaking::TakeProposal(const Json& Document, bool Asked) {
	Proposal Read;
	if (Asked) {
		Read.Id = Document["proposal_id"].Text();
		Read.ExpireTime = Document["expire_time"].Text();
		Read.Players = static_cast<int>(Document["players"].Number(0));
		for (const Json& Name : Document["accepted"].Items()) Read.Accepted.push_back(Name.Text());
	}
	const bool Same = Read.Id == Offer.Id && Read.Accepted == Offer.Accepted;
	Offer = Read;
	return !Same && !Offer.Id.empty();
}

void Matchmaking::Change(State To, const std::string& Why) {
	if (Now == To && Reason == Why) return;
	Now = To;
	Reason = Why;
	if (On.Progress) On.Progress(Now, Reason);
}

void Matchmaking::End(const std::string& Code, const std::string& Detail) {
	Next = Step::None;
	Alive.Renew();
	Change(State::Ended, Detail);
	if (On.Ended) On.Ended(Ending{Code, Detail});
}

void Matchmaking::Renew(const std::function<void(const std::string&, const Ending&)>& Then) {
	if (Ticket.empty() || Now != State::Matched) {
		Then("", Ending{"not_assigned", "there is no match"});
		return;
	}
	World.Send(Make("POST", "/v1/tickets/" + Ticket + "/join-token", "{}"), Alive.Guard([this, Then](const Response& Answer) {
		Json Document;
		const bool Readable = Json::Parse(Answer.Body, Document);
		const std::string& Token = Document["jwt"].Text();
		if (Answer.Status == 200 && Readable && !Token.empty()) {
			Found.Token = Token;
			Then(Token, Ending());
			return;
		}
		const std::string& Code = Document["reason"].Text();
		Then("", Ending{Passing(Answer.Status) ? "unreachable" : Code.empty() ? "refused" : Code, DetailOf(Document)});
	}));
}

Return::Action Return::After(const std::string& Reason, bool Retryable, bool Renewable, double Now) {
	constexpr double Patience = 10;
	if (!Trying) {
		Trying = true;
		Since = Now;
	}
	if (Retryable && Now - Since < Patience) return Action::SameToken;
	// A token is asked for once: the second would meet the same.
	if ((Renewable || Reason == "not_admitted") && !Renewed) {
		Renewed = true;
		return Action::NewToken;
	}
	return Action::GiveUp;
}

void Beacons::Measure(const std::map<std::string, std::string>& UrlByRegion, std::function<void(const std::map<std::string, int>&)> Done) {
	Alive.Renew();
	Milliseconds.clear();
	Then = std::move(Done);
	Open = UrlByRegion.size();
	if (Open == 0) Finish();
	for (const auto& [Region, Address] : UrlByRegion) Ping(Region, Address, Rounds);
}

void Beacons::MeasureListed(const std::string& FrontendUrl, const std::function<void(const std::map<std::string, int>&)>& Done) {
	Alive.Renew();
	Request Out;
	Out.Method = "GET";
	Out.Url = FrontendUrl + "/v1/regions";
	World.Send(Out, Alive.Guard([this, Done](const Response& Answer) {
		Json Document;
		std::map<std::string, std::string> Urls;
		if (Answer.Status == 200 && Json::Parse(Answer.Body, Document))
			for (const Json& Region : Document["regions"].Items())
				if (!Region["http"].Text().empty()) Urls[Region["name"].Text()] = Region["http"].Text();
		Measure(Urls, Done);
	}));
}

void Beacons::Finish() {
	std::map<std::string, int> Medians;
	for (auto& [Region, All] : Milliseconds) {
		std::sort(All.begin(), All.end());
		Medians[Region] = All[All.size() / 2];
	}
	Then(Medians);
}

void Beacons::Ping(const std::string& Region, const std::string& Address, int Left) {
	Request Out;
	Out.Method = "GET";
	Out.Url = Address;
	Out.Timeout = Timeout;
	const double Sent = World.Now();
	World.Send(Out, Alive.Guard([this, Region, Address, Left, Sent](const Response& Answer) {
		const int Took = static_cast<int>(std::lround((World.Now() - Sent) * 1000));
		const bool Answered = Answer.Status >= 200 && Answer.Status < 300;
		if (Answered && Left < Rounds) Milliseconds[Region].push_back(std::min(Took, Longest));
		if (Answered && Left > 1) {
			Ping(Region, Address, Left - 1);
		} else if (--Open == 0) {
			Finish();
		}
	}));
}

}  // namespace torikumi
