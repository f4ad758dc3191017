#include "TorikumiServer.h"

#include "Core/GameServer.h"
#include "Engine/GameInstance.h"
#include "GameFramework/GameSession.h"
#include "GameFramework/PlayerController.h"
#include "HAL/PlatformMisc.h"
#include "Misc/CoreMisc.h"
#include "TorikumiPlayer.h"
#include "TorikumiTransport.h"

namespace
{
// How long an admitted player may take from PreLogin to Login, in seconds.
constexpr double LoginPatience = 60;

FString Environment(const TCHAR* Name, const FString& Otherwise)
{
	const FString Value = FPlatformMisc::GetEnvironmentVariable(Name);
	return Value.IsEmpty() ? Otherwise : Value;
}
}

bool UTorikumiServer::ShouldCreateSubsystem(UObject*) const { return IsRunningDedicatedServer(); }

void UTorikumiServer::Initialize(FSubsystemCollectionBase& Collection)
{
	Super::Initialize(Collection);
	Transport = MakeShared<FTorikumiTransport>();
	torikumi::GameServer::Options Set;
	Set.Gate = ToUtf8(Environment(TEXT("TORIKUMI_GATE"), FromUtf8(Set.Gate)));
	Set.Sdk = "http://127.0.0.1:" + ToUtf8(Environment(TEXT("AGONES_SDK_HTTP_PORT"), TEXT("9358")));
	Set.SpeakAgones = bSpeakAgones;
	Set.TokenDeadline = TokenDeadline;
	torikumi::GameServer::Events On;
	On.OnAdmitted = [this](torikumi::ConnectionId Id, const torikumi::Admitted& Who) { HandleAdmitted(Id, FromUtf8(Who.Player), FromUtf8(Who.Team)); };
	On.OnRefused = [this](torikumi::ConnectionId Id, const torikumi::Refused& Why) { HandleRefused(Id, Why); };
	On.OnAllocated = [this](const std::string& MatchId) { OnAllocated.Broadcast(FromUtf8(MatchId)); };
	Server = MakeShared<torikumi::GameServer>(*Transport, Set, On);
	Ticker = FTSTicker::GetCoreTicker().AddTicker(FTickerDelegate::CreateUObject(this, &UTorikumiServer::Tick), 0.1f);
	PostLogin = FGameModeEvents::OnGameModePostLoginEvent().AddUObject(this, &UTorikumiServer::HandlePostLogin);
	Logout = FGameModeEvents::OnGameModeLogoutEvent().AddUObject(this, &UTorikumiServer::HandleLogout);
}

void UTorikumiServer::Deinitialize()
{
	FTSTicker::GetCoreTicker().RemoveTicker(Ticker);
	FGameModeEvents::OnGameModePostLoginEvent().Remove(PostLogin);
	FGameModeEvents::OnGameModeLogoutEvent().Remove(Logout);
	Server.Reset();
	Transport.Reset();
	Super::Deinitialize();
}

bool UTorikumiServer::Tick(float)
{
	Server->Tick();
	TArray<uint64> Lost;
	for (const TPair<uint64, FVisit>& Pair : Visits)
	{
		if (Pair.Value.LoginDeadline > 0 && Transport->Now() > Pair.Value.LoginDeadline)
		{
			Lost.Add(Pair.Key);
		}
	}
	for (const uint64 Id : Lost)
	{
		Visits.Remove(Id);
		Server->Left(Id);
	}
	return true;
}

uint64 UTorikumiServer::Find(const AController* Player) const
{
	for (const TPair<uint64, FVisit>& Pair : Visits)
	{
		if (Player != nullptr && Pair.Value.Player.Get() == Player)
		{
			return Pair.Key;
		}
	}
	return 0;
}

void UTorikumiServer::HandlePostLogin(AGameModeBase*, APlayerController* Player)
{
	// The component tells the client of kicks in either way of login.
	UTorikumiPlayer* Component = NewObject<UTorikumiPlayer>(Player);
	Component->RegisterComponent();
	const uint64 Bound = Find(Player);
	if (Bound != 0)
	{
		const FVisit& Visit = Visits.FindChecked(Bound);
		OnPlayerAdmitted.Broadcast(Player, Visit.Name, Visit.Team);
		return;
	}
	const uint64 Id = ++Given;
	Visits.Add(Id).Player = Player;
	Server->Connected(Id);
}

void UTorikumiServer::SetBackfill(bool bMorePlayers)
{
	if (Server.IsValid())
	{
		Server->WantPlayers(bMorePlayers);
	}
}

void UTorikumiServer::Present(APlayerController* Player, const FString& Token)
{
	const uint64 Id = Find(Player);
	if (Id != 0)
	{
		Server->Present(Id, ToUtf8(Token));
	}
}

void UTorikumiServer::HandleLogout(AGameModeBase*, AController* Leaving)
{
	const uint64 Id = Find(Leaving);
	if (Id != 0)
	{
		Visits.Remove(Id);
		Server->Left(Id);
	}
}

void UTorikumiServer::HandleAdmitted(uint64 Id, const FString& Name, const FString& Team)
{
	FVisit* Visit = Visits.Find(Id);
	if (Visit == nullptr)
	{
		return;
	}
	Visit->Name = Name;
	Visit->Team = Team;
	if (Visit->Done)
	{
		const TFunction<void(const FString&)> Done = Visit->Done;
		Visit->Done = nullptr;
		Visit->LoginDeadline = Transport->Now() + LoginPatience;
		Done(FString());
		return;
	}
	if (APlayerController* Player = Visit->Player.Get())
	{
		if (UTorikumiPlayer* Component = Player->FindComponentByClass<UTorikumiPlayer>())
		{
			Component->ClientAdmitted();
		}
		OnPlayerAdmitted.Broadcast(Player, Name, Team);
	}
}

void UTorikumiServer::HandleRefused(uint64 Id, const torikumi::Refused& Why)
{
	FVisit* Found = Visits.Find(Id);
	if (Found == nullptr)
	{
		return;
	}
	const FVisit Visit = *Found;
	Visits.Remove(Id);
	const FString Reason = FromUtf8(Why.Reason);
	if (Visit.Done)
	{
		Visit.Done(Reason);
		return;
	}
	APlayerController* Player = Visit.Player.Get();
	if (Player == nullptr)
	{
		return;
	}
	// On the same channel as the kick, so that it is there before it.
	if (UTorikumiPlayer* Component = Player->FindComponentByClass<UTorikumiPlayer>())
	{
		Component->ClientRefused(Reason, Why.Retryable, Why.Renewable);
	}
	AGameModeBase* GameMode = GetGameInstance()->GetWorld()->GetAuthGameMode();
	if (GameMode != nullptr && GameMode->GameSession != nullptr)
	{
		GameMode->GameSession->KickPlayer(Player, FText::FromString(Reason));
	}
}

void UTorikumiServer::AdmitByUrl(const FString& Token, TFunction<void(const FString&)> Done)
{
	const uint64 Id = ++Given;
	FVisit& Visit = Visits.Add(Id);
	Visit.Token = Token;
	Visit.Done = MoveTemp(Done);
	Server->Connected(Id);
	Server->Present(Id, ToUtf8(Token));
}

void UTorikumiServer::BindByUrl(const FString& Token, APlayerController* Player)
{
	for (TPair<uint64, FVisit>& Pair : Visits)
	{
		if (Pair.Value.LoginDeadline > 0 && Pair.Value.Token == Token)
		{
			Pair.Value.Player = Player;
			Pair.Value.LoginDeadline = 0;
			Pair.Value.Token = FString();
			return;
		}
	}
}
