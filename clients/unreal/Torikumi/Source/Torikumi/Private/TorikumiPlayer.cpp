#include "TorikumiPlayer.h"

#include "Engine/GameInstance.h"
#include "GameFramework/PlayerController.h"
#include "TorikumiMatchmaking.h"
#include "TorikumiServer.h"

namespace
{
template <typename SubsystemType>
SubsystemType* Subsystem(const UActorComponent& Component)
{
	return UGameInstance::GetSubsystem<SubsystemType>(Component.GetWorld()->GetGameInstance());
}
}

UTorikumiPlayer::UTorikumiPlayer() { SetIsReplicatedByDefault(true); }

void UTorikumiPlayer::BeginPlay()
{
	Super::BeginPlay();
	const APlayerController* Owner = Cast<APlayerController>(GetOwner());
	UTorikumiMatchmaking* Matchmaking = Subsystem<UTorikumiMatchmaking>(*this);
	if (Owner != nullptr && Owner->IsLocalController() && GetOwnerRole() != ROLE_Authority && Matchmaking != nullptr && !Matchmaking->bTokenInTravelUrl)
	{
		ServerPresentToken(Matchmaking->TakeToken());
	}
}

void UTorikumiPlayer::ServerPresentToken_Implementation(const FString& Token)
{
	if (UTorikumiServer* Server = Subsystem<UTorikumiServer>(*this))
	{
		Server->Present(Cast<APlayerController>(GetOwner()), Token);
	}
}

void UTorikumiPlayer::ClientAdmitted_Implementation()
{
	if (UTorikumiMatchmaking* Matchmaking = Subsystem<UTorikumiMatchmaking>(*this))
	{
		Matchmaking->Admitted();
	}
}

void UTorikumiPlayer::ClientRefused_Implementation(const FString& Reason, bool bRetryable, bool bRenewable)
{
	if (UTorikumiMatchmaking* Matchmaking = Subsystem<UTorikumiMatchmaking>(*this))
	{
		Matchmaking->Refused(Reason, bRetryable, bRenewable);
	}
}
