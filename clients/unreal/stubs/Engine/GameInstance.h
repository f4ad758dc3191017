// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UGameInstance
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UWorld
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
class AGameModeBase;
class APlayerController;
class UGameInstance : public UObject
{
public:
	APlayerController* GetFirstLocalPlayerController(const UWorld* World = nullptr) const;
	template <typename T>
	static T* GetSubsystem(const UGameInstance* GameInstance);
};
class UWorld : public UObject
{
public:
	UGameInstance* GetGameInstance() const;
	AGameModeBase* GetAuthGameMode() const;
};
