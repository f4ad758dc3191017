// Brings the join token from the client to the server after the login, so that it is in
// no URL and in no log. The server adds it to each player controller.
#pragma once

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"
#include "TorikumiPlayer.generated.h"

UCLASS()
class TORIKUMI_API UTorikumiPlayer : public UActorComponent
{
	GENERATED_BODY()

public:
	UTorikumiPlayer();
	virtual void BeginPlay() override;

	UFUNCTION(Server, Reliable)
	void ServerPresentToken(const FString& Token);
	void ServerPresentToken_Implementation(const FString& Token);

	UFUNCTION(Client, Reliable)
	void ClientAdmitted();
	void ClientAdmitted_Implementation();

	UFUNCTION(Client, Reliable)
	void ClientRefused(const FString& Reason, bool bRetryable, bool bRenewable);
	void ClientRefused_Implementation(const FString& Reason, bool bRetryable, bool bRenewable);
};
