// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UGameplayStatics/ParseOption
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
class UGameplayStatics : public UObject
{
public:
	static FString ParseOption(FString Options, const FString& Key);
};
