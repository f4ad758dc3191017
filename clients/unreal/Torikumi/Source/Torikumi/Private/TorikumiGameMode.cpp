#include "TorikumiGameMode.h"

#include "Engine/Engine.h"
#include "Engine/GameInstance.h"
#include "GameFramework/PlayerController.h"
#include "Kismet/GameplayStatics.h"
#include "Misc/CoreMisc.h"
#include "TorikumiServer.h"

void ATorikumiGameMode::InitGame(const FString& MapName, const FString& Options, FString& ErrorMessage)
{
	Super::InitGame(MapName, Options, ErrorMessage);
	// At Log the engine writes the whole URL of each login, and with it the token.
	if (IsRunningDedicatedServer() && GEngine != nullptr)
	{
		GEngine->Exec(GetWorld(), TEXT("Log LogNet Warning"));
	}
}

void ATorikumiGameMode::PreLoginAsync(const FString& Options, const FString& Address, const FUniqueNetIdRepl& UniqueId, const FOnPreLoginCompleteDelegate& OnComplete)
{
	// What the engine and other plugins check comes first; then the gate has the last word.
	Super::PreLoginAsync(Options, Address, UniqueId, FOnPreLoginCompleteDelegate::CreateWeakLambda(this, [this, Options, OnComplete](const FString& Error)
	{
		UTorikumiServer* Server = UGameInstance::GetSubsystem<UTorikumiServer>(GetGameInstance());
		if (!Error.IsEmpty() || Server == nullptr)
		{
			// A dedicated server has one: whoever comes before it is not let in.
			OnComplete.ExecuteIfBound(Error.IsEmpty() && IsRunningDedicatedServer() ? FString(TEXT("gate_unavailable")) : Error);
			return;
		}
		// It calls back in any case, and in time.
		Server->AdmitByUrl(UGameplayStatics::ParseOption(Options, TEXT("Token")), [OnComplete](const FString& Why) { OnComplete.ExecuteIfBound(Why); });
	}));
}

FString ATorikumiGameMode::InitNewPlayer(APlayerController* NewPlayerController, const FUniqueNetIdRepl& UniqueId, const FString& Options, const FString& Portal)
{
	if (UTorikumiServer* Server = UGameInstance::GetSubsystem<UTorikumiServer>(GetGameInstance()))
	{
		Server->BindByUrl(UGameplayStatics::ParseOption(Options, TEXT("Token")), NewPlayerController);
	}
	return Super::InitNewPlayer(NewPlayerController, UniqueId, Options, Portal);
}
