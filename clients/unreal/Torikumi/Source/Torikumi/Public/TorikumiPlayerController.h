// Makes an event for Blueprint of ClientWasKicked. Games with a controller of their own
// call UTorikumiMatchmaking::Kicked from it.
#pragma once

#include "CoreMinimal.h"
#include "GameFramework/PlayerController.h"
#include "TorikumiPlayerController.generated.h"

UCLASS()
class TORIKUMI_API ATorikumiPlayerController : public APlayerController
{
	GENERATED_BODY()

public:
	virtual void ClientWasKicked_Implementation(const FText& KickReason) override;
};
