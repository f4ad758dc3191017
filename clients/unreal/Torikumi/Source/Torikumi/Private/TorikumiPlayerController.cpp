#include "TorikumiPlayerController.h"

#include "Engine/GameInstance.h"
#include "TorikumiMatchmaking.h"

void ATorikumiPlayerController::ClientWasKicked_Implementation(const FText& KickReason)
{
	Super::ClientWasKicked_Implementation(KickReason);
	if (UTorikumiMatchmaking* Matchmaking = UGameInstance::GetSubsystem<UTorikumiMatchmaking>(GetGameInstance()))
	{
		Matchmaking->Kicked(KickReason.ToString());
	}
}
