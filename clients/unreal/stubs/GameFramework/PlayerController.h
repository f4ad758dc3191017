// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/APlayerController
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/APlayerController/ClientWasKicked
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/APlayerController/ClientTravel
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "Components/ActorComponent.h"
enum ETravelType
{
	TRAVEL_Absolute,
	TRAVEL_Partial,
	TRAVEL_Relative
};
class AController : public AActor
{
public:
	bool IsLocalController() const;
};
class APlayerController : public AController
{
public:
	using Super = APlayerController;
	void ClientTravel(const FString& Url, ETravelType Type, bool bSeamless = false);
	virtual void ClientWasKicked_Implementation(const FText& KickReason);
};
