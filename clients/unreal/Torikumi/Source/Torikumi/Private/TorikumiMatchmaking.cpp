#include "TorikumiMatchmaking.h"

#include "Core/Matchmaking.h"
#include "Engine/GameInstance.h"
#include "GameFramework/PlayerController.h"
#include "TorikumiTransport.h"

void UTorikumiMatchmaking::Initialize(FSubsystemCollectionBase& Collection)
{
	Super::Initialize(Collection);
	Transport = MakeShared<FTorikumiTransport>();
	torikumi::Matchmaking::Events On;
	On.Progress = [this](torikumi::Matchmaking::State State, const std::string& Reason)
	{
		OnProgress.Broadcast(static_cast<ETorikumiSearch>(State), FromUtf8(Reason));
	};
	On.Party = [this](const torikumi::PartyState& Party)
	{
		TArray<FString> Missing;
		for (const std::string& Name : Party.Missing)
		{
			Missing.Add(FromUtf8(Name));
		}
		OnParty.Broadcast(FromUtf8(Party.Leader), FromUtf8(Party.Code), Missing);
	};
	On.Proposed = [this](const torikumi::Proposal& Offer)
	{
		TArray<FString> Accepted;
		for (const std::string& Name : Offer.Accepted)
		{
			Accepted.Add(FromUtf8(Name));
		}
		OnProposed.Broadcast(FromUtf8(Offer.ExpireTime), Offer.Players, Accepted);
	};
	On.Matched = [this](const torikumi::Match& Match)
	{
		Back->Reset();
		OnMatched.Broadcast(FromUtf8(Match.Connection), FromUtf8(Match.Team));
	};
	On.Ended = [this](const torikumi::Ending& Why)
	{
		OnEnded.Broadcast(FromUtf8(Why.Code), FromUtf8(Why.Detail));
	};
	Matchmaking = MakeShared<torikumi::Matchmaking>(*Transport, ToUtf8(FrontendUrl), On);
	Beacons = MakeShared<torikumi::Beacons>(*Transport);
	Back = MakeShared<torikumi::Return>();
	Me = MakeShared<torikumi::Player>();
	Ticker = FTSTicker::GetCoreTicker().AddTicker(FTickerDelegate::CreateUObject(this, &UTorikumiMatchmaking::Tick), 0.1f);
}

void UTorikumiMatchmaking::Deinitialize()
{
	FTSTicker::GetCoreTicker().RemoveTicker(Ticker);
	Matchmaking.Reset();
	Beacons.Reset();
	Transport.Reset();
	Super::Deinitialize();
}

bool UTorikumiMatchmaking::Tick(float)
{
	Matchmaking->Tick();
	return true;
}

void UTorikumiMatchmaking::SignIn(const FString& PlayerToken) { Matchmaking->SignIn(ToUtf8(PlayerToken)); }

void UTorikumiMatchmaking::SetNumber(const FString& Attribute, float Value) { Me->Numbers[ToUtf8(Attribute)] = Value; }

void UTorikumiMatchmaking::SetText(const FString& Attribute, const FString& Value) { Me->Texts[ToUtf8(Attribute)] = ToUtf8(Value); }

void UTorikumiMatchmaking::MeasureLatencies(const TMap<FString, FString>& UrlByRegion)
{
	std::map<std::string, std::string> Urls;
	for (const TPair<FString, FString>& Pair : UrlByRegion)
	{
		Urls[ToUtf8(Pair.Key)] = ToUtf8(Pair.Value);
	}
	Beacons->Measure(Urls, [this](const std::map<std::string, int>& Milliseconds) { Measured(Milliseconds); });
}

void UTorikumiMatchmaking::MeasureListedLatencies()
{
	Beacons->MeasureListed(ToUtf8(FrontendUrl), [this](const std::map<std::string, int>& Milliseconds) { Measured(Milliseconds); });
}

void UTorikumiMatchmaking::Measured(const std::map<std::string, int>& Milliseconds)
{
	Me->Latencies = Milliseconds;
	TArray<FString> Regions;
	for (const auto& Region : Milliseconds)
	{
		Regions.Add(FromUtf8(Region.first));
	}
	OnMeasured.Broadcast(Regions);
}

bool UTorikumiMatchmaking::FindMatch(const FString& Queue, const FString& Region)
{
	torikumi::Search What;
	What.Queue = ToUtf8(Queue);
	What.Region = ToUtf8(Region);
	What.Me = *Me;
	return Matchmaking->Find(What);
}

bool UTorikumiMatchmaking::CreateParty(const FString& Queue, const TArray<FString>& Invited, int32 Size)
{
	torikumi::Search What;
	What.Queue = ToUtf8(Queue);
	What.Me = *Me;
	What.Party = true;
	What.Size = Size;
	for (const FString& Name : Invited)
	{
		What.Invited.push_back(ToUtf8(Name));
	}
	return Matchmaking->Find(What);
}

bool UTorikumiMatchmaking::JoinParty(const FString& Code) { return Matchmaking->JoinParty(ToUtf8(Code), *Me); }

bool UTorikumiMatchmaking::StartParty() { return Matchmaking->StartParty(); }

bool UTorikumiMatchmaking::AcceptMatch() { return Matchmaking->Accept(); }

bool UTorikumiMatchmaking::DeclineMatch() { return Matchmaking->Decline(); }

bool UTorikumiMatchmaking::Cancel() { return Matchmaking->Cancel(); }

bool UTorikumiMatchmaking::Travel()
{
	const torikumi::Match& Match = Matchmaking->Last();
	APlayerController* Player = GetGameInstance()->GetFirstLocalPlayerController();
	if (Player == nullptr || Match.Connection.empty())
	{
		return false;
	}
	bSaid = false;
	std::string Url = Match.Connection;
	if (bTokenInTravelUrl)
	{
		Url += "?Token=" + Match.Token;
	}
	Player->ClientTravel(FromUtf8(Url), TRAVEL_Absolute);
	return true;
}

void UTorikumiMatchmaking::ReturnToMatch()
{
	if (!bRenew)
	{
		Travel();
		return;
	}
	bRenew = false;
	Matchmaking->Renew([this](const std::string& Token, const torikumi::Ending& Why)
	{
		if (Token.empty())
		{
			OnEnded.Broadcast(FromUtf8(Why.Code), FromUtf8(Why.Detail));
			return;
		}
		Travel();
	});
}

FString UTorikumiMatchmaking::TakeToken() { return FromUtf8(Matchmaking->Last().Token); }

void UTorikumiMatchmaking::Admitted() { Back->Reset(); }

void UTorikumiMatchmaking::Refused(const FString& Reason, bool bRetryable, bool bRenewable)
{
	const torikumi::Return::Action Next = Back->After(ToUtf8(Reason), bRetryable, bRenewable, Transport->Now());
	bRenew = Next == torikumi::Return::Action::NewToken;
	bSaid = true;
	OnKicked.Broadcast(Reason, Next != torikumi::Return::Action::GiveUp);
}

void UTorikumiMatchmaking::Kicked(const FString& Reason)
{
	// After Refused the engine's kick says the same again.
	if (!bSaid)
	{
		OnKicked.Broadcast(Reason, false);
	}
	bSaid = false;
}
