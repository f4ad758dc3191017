// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/AGameModeBase/PreLoginAsync
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/AGameModeBase/InitNewPlayer
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/AGameModeBase/InitGame
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/FGameModeEvents
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "Components/ActorComponent.h"
class AController;
class AGameSession;
class APlayerController;
struct FUniqueNetIdRepl
{
};
using FOnPreLoginCompleteDelegate = TDelegate<void(const FString&)>;
class AGameModeBase : public AActor
{
public:
	using Super = AGameModeBase;
	TObjectPtr<AGameSession> GameSession;
	virtual void InitGame(const FString& MapName, const FString& Options, FString& ErrorMessage);
	virtual void PreLoginAsync(const FString& Options, const FString& Address, const FUniqueNetIdRepl& UniqueId, const FOnPreLoginCompleteDelegate& OnComplete);
	virtual FString InitNewPlayer(APlayerController* NewPlayerController, const FUniqueNetIdRepl& UniqueId, const FString& Options, const FString& Portal = TEXT(""));
};
class FGameModeEvents
{
public:
	using FGameModePostLoginEvent = TMulticastDelegate<AGameModeBase*, APlayerController*>;
	using FGameModeLogoutEvent = TMulticastDelegate<AGameModeBase*, AController*>;
	static FGameModePostLoginEvent& OnGameModePostLoginEvent();
	static FGameModeLogoutEvent& OnGameModeLogoutEvent();
};
