// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/USubsystem
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UGameInstanceSubsystem
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
class UGameInstance;
class FSubsystemCollectionBase
{
};
class USubsystem : public UObject
{
public:
	virtual bool ShouldCreateSubsystem(UObject* Outer) const;
	virtual void Initialize(FSubsystemCollectionBase& Collection);
	virtual void Deinitialize();
};
class UGameInstanceSubsystem : public USubsystem
{
public:
	using Super = USubsystem;
	UGameInstance* GetGameInstance() const;
};
