// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UActorComponent
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UActorComponent/SetIsReplicatedByDefault
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/AActor
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
#include "Engine/GameInstance.h"
enum ENetRole
{
	ROLE_None,
	ROLE_SimulatedProxy,
	ROLE_AutonomousProxy,
	ROLE_Authority
};
class AActor : public UObject
{
public:
	UGameInstance* GetGameInstance() const;
	template <typename T>
	T* FindComponentByClass() const;
};
class UActorComponent : public UObject
{
public:
	using Super = UActorComponent;
	virtual void BeginPlay();
	AActor* GetOwner() const;
	ENetRole GetOwnerRole() const;
	void RegisterComponent();

protected:
	void SetIsReplicatedByDefault(const bool bNewReplicates);
};
