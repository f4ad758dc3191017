// As much of the engine's header of this name (module HTTP) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/HTTP/IHttpResponse
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/HTTP/IHttpBase
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
class IHttpResponse
{
public:
	virtual ~IHttpResponse();
	virtual int32 GetResponseCode() const = 0;
	virtual FString GetContentAsString() const = 0;
	virtual FString GetHeader(const FString& Name) const = 0;
};
