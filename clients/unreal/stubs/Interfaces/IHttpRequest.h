// As much of the engine's header of this name (module HTTP) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/HTTP/IHttpRequest
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "CoreMinimal.h"
class IHttpRequest;
class IHttpResponse;
using FHttpRequestPtr = TSharedPtr<IHttpRequest, ESPMode::ThreadSafe>;
using FHttpResponsePtr = TSharedPtr<IHttpResponse, ESPMode::ThreadSafe>;
using FHttpRequestCompleteDelegate = TDelegate<void(FHttpRequestPtr, FHttpResponsePtr, bool)>;
class IHttpRequest
{
public:
	virtual ~IHttpRequest();
	virtual void SetVerb(const FString& Verb) = 0;
	virtual void SetURL(const FString& Url) = 0;
	virtual void SetHeader(const FString& Name, const FString& Value) = 0;
	virtual void SetContentAsString(const FString& Content) = 0;
	virtual void SetTimeout(float Seconds) = 0;
	virtual FHttpRequestCompleteDelegate& OnProcessRequestComplete() = 0;
	virtual bool ProcessRequest() = 0;
};
