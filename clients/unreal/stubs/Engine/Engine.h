// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/UEngine/Exec
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
class UEngine : public UObject
{
public:
	virtual bool Exec(UWorld* World, const TCHAR* Command);
};
extern UEngine* GEngine;
