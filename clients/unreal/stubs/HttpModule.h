// As much of the engine's header of this name (module HTTP) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/HTTP/FHttpModule
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "Interfaces/IHttpRequest.h"
class FHttpModule
{
public:
	static FHttpModule& Get();
	TSharedRef<IHttpRequest, ESPMode::ThreadSafe> CreateRequest();
};
