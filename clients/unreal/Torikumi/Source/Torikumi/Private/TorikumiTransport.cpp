#include "TorikumiTransport.h"

#include <random>

#include "HAL/PlatformTime.h"
#include "HttpModule.h"
#include "Interfaces/IHttpRequest.h"
#include "Interfaces/IHttpResponse.h"

void FTorikumiTransport::Send(const torikumi::Request& What, Done Then)
{
	const TSharedRef<IHttpRequest, ESPMode::ThreadSafe> Http = FHttpModule::Get().CreateRequest();
	Http->SetVerb(FromUtf8(What.Method));
	Http->SetURL(FromUtf8(What.Url));
	for (const auto& Header : What.Headers)
	{
		Http->SetHeader(FromUtf8(Header.first), FromUtf8(Header.second));
	}
	if (!What.Body.empty())
	{
		Http->SetContentAsString(FromUtf8(What.Body));
	}
	Http->SetTimeout(static_cast<float>(What.Timeout));
	// Called on the game thread, as is the default.
	Http->OnProcessRequestComplete().BindLambda([Then](FHttpRequestPtr, FHttpResponsePtr Answer, bool bConnected)
	{
		torikumi::Response Out;
		if (bConnected && Answer.IsValid())
		{
			Out.Status = Answer->GetResponseCode();
			Out.Body = ToUtf8(Answer->GetContentAsString());
			Out.RetryAfter = FCString::Atod(*Answer->GetHeader(TEXT("Retry-After")));
		}
		Then(Out);
	});
	Http->ProcessRequest();
}

double FTorikumiTransport::Now() const { return FPlatformTime::Seconds(); }

std::string FTorikumiTransport::RandomName()
{
	// The system's own source; FGuid and FMath can be guessed on some platforms.
	std::random_device Random;
	std::string Name;
	for (int32 I = 0; I < 32; I++)
	{
		Name += "0123456789abcdef"[Random() % 16];
	}
	return Name;
}
