// The dedicated server's side: who comes in, who is there, when it ends.
#pragma once

#include "CoreMinimal.h"
#include "Containers/Ticker.h"
#include "GameFramework/GameModeBase.h"
#include "Subsystems/GameInstanceSubsystem.h"
#include "TorikumiServer.generated.h"

class AController;
class APlayerController;
class FTorikumiTransport;
namespace torikumi {
class GameServer;
struct Refused;
}

DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(FTorikumiPlayerAdmitted, APlayerController*, Player, const FString&, Name, const FString&, Team);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FTorikumiAllocated, const FString&, MatchId);

/** There in dedicated servers alone. A player has come in with OnPlayerAdmitted, not with PostLogin. */
UCLASS(Config = Game)
class TORIKUMI_API UTorikumiServer : public UGameInstanceSubsystem
{
	GENERATED_BODY()

public:
	virtual bool ShouldCreateSubsystem(UObject* Outer) const override;
	virtual void Initialize(FSubsystemCollectionBase& Collection) override;
	virtual void Deinitialize() override;

	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiPlayerAdmitted OnPlayerAdmitted;
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiAllocated OnAllocated;

	/** Whether more players are to be found for this match, where its queue has backfill. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void SetBackfill(bool bMorePlayers);

	/** Say Ready and Health to Agones; off if the Agones plugin does. */
	UPROPERTY(Config)
	bool bSpeakAgones = true;
	/** Seconds for the token to come after the login. */
	UPROPERTY(Config)
	float TokenDeadline = 10.0f;

	// For UTorikumiPlayer.
	void Present(APlayerController* Player, const FString& Token);

	// For ATorikumiGameMode: the token came before the login. Done gets why not; empty: admitted.
	void AdmitByUrl(const FString& Token, TFunction<void(const FString&)> Done);
	void BindByUrl(const FString& Token, APlayerController* Player);

private:
	struct FVisit
	{
		TWeakObjectPtr<APlayerController> Player;
		// Of a player who is not logged in yet.
		FString Token;
		TFunction<void(const FString&)> Done;
		double LoginDeadline = 0;
		FString Name;
		FString Team;
	};

	TSharedPtr<FTorikumiTransport> Transport;
	TSharedPtr<torikumi::GameServer> Server;
	TMap<uint64, FVisit> Visits;
	uint64 Given = 0;
	FTSTicker::FDelegateHandle Ticker;
	FDelegateHandle PostLogin;
	FDelegateHandle Logout;

	bool Tick(float DeltaTime);
	void HandlePostLogin(AGameModeBase* GameMode, APlayerController* Player);
	void HandleLogout(AGameModeBase* GameMode, AController* Leaving);
	void HandleAdmitted(uint64 Id, const FString& Name, const FString& Team);
	void HandleRefused(uint64 Id, const torikumi::Refused& Why);
	uint64 Find(const AController* Player) const;
};
