// Core's view of the world, made of the engine's.
#pragma once

#include "CoreMinimal.h"
#include "Core/Transport.h"

inline std::string ToUtf8(const FString& Value) { return std::string(TCHAR_TO_UTF8(*Value)); }
inline FString FromUtf8(const std::string& Value) { return FString(UTF8_TO_TCHAR(Value.c_str())); }

class FTorikumiTransport : public torikumi::Transport
{
public:
	virtual void Send(const torikumi::Request& What, Done Then) override;
	virtual double Now() const override;
	virtual std::string RandomName() override;
};
