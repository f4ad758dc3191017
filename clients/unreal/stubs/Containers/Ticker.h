// As much of the engine's header of this name (module Core) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/FTSTicker
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/FTSTicker/AddTicker
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
using FTickerDelegate = TDelegate<bool(float)>;
class FTSTicker
{
public:
	class FDelegateHandle
	{
	};
	static FTSTicker& GetCoreTicker();
	FDelegateHandle AddTicker(const FTickerDelegate& Delegate, float Delay = 0.0f);
	static void RemoveTicker(FDelegateHandle Handle);
};
