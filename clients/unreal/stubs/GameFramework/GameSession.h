// As much of the engine's header of this name (module Engine) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/AGameSession
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Engine/AGameSession/KickPlayer
// Declarations alone: what is compiled against it is not run.
#pragma once

#include "GameFramework/PlayerController.h"
class AGameSession : public AActor
{
public:
	virtual bool KickPlayer(APlayerController* KickedPlayer, const FText& KickReason);
};
