// The player's side, for C++ and Blueprint: find a match, travel to it, come back in.
#pragma once

#include <map>
#include <string>

#include "CoreMinimal.h"
#include "Containers/Ticker.h"
#include "Subsystems/GameInstanceSubsystem.h"
#include "TorikumiMatchmaking.generated.h"

class FTorikumiTransport;
namespace torikumi {
class Beacons;
class Matchmaking;
class Return;
struct Player;
}

UENUM(BlueprintType)
enum class ETorikumiSearch : uint8
{
	Idle,
	Starting,
	Gathering,
	Searching,
	Accepting,
	Matched,
	Ended
};

DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTorikumiProgress, ETorikumiSearch, State, const FString&, Reason);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(FTorikumiParty, const FString&, Leader, const FString&, Code, const TArray<FString>&, Missing);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(FTorikumiProposed, const FString&, ExpireTime, int32, Players, const TArray<FString>&, Accepted);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTorikumiMatched, const FString&, Connection, const FString&, Team);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTorikumiEnded, const FString&, Code, const FString&, Detail);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTorikumiKicked, const FString&, Reason, bool, bCanReturn);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FTorikumiMeasured, const TArray<FString>&, Regions);

/** One search at a time. All functions are for the game thread. */
UCLASS(Config = Game)
class TORIKUMI_API UTorikumiMatchmaking : public UGameInstanceSubsystem
{
	GENERATED_BODY()

public:
	virtual void Initialize(FSubsystemCollectionBase& Collection) override;
	virtual void Deinitialize() override;

	/** The token of the studio's issuer; call it again before the token expires. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void SignIn(const FString& PlayerToken);

	/** What the next search brings along: attributes that the queue's rules read. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void SetNumber(const FString& Attribute, float Value);
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void SetText(const FString& Attribute, const FString& Value);

	/** Measures HTTP round trips to the beacon of each region that the frontend lists; searches bring the times along. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void MeasureListedLatencies();
	/** The same to addresses of your own. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void MeasureLatencies(const TMap<FString, FString>& UrlByRegion);

	/** Each returns false, and does nothing, in a state that it does not go with. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool FindMatch(const FString& Queue, const FString& Region);
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool CreateParty(const FString& Queue, const TArray<FString>& Invited, int32 Size);
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool JoinParty(const FString& Code);
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool StartParty();
	/** After OnProposed: plays the match, or does not, which ends the search. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool AcceptMatch();
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool DeclineMatch();
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool Cancel();

	/** Connects to the server of the match. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	bool Travel();
	/** After OnKicked with bCanReturn: connects again, with a new token if it needs one. */
	UFUNCTION(BlueprintCallable, Category = "Torikumi")
	void ReturnToMatch();

	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiProgress OnProgress;
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiParty OnParty;
	/** A match was found, and waits until ExpireTime (RFC 3339, by the frontend's clock) for its players to accept it; again when another of the ticket has. */
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiProposed OnProposed;
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiMatched OnMatched;
	/** The search is over without a match, or ReturnToMatch has failed. */
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiEnded OnEnded;
	/** The server has sent the player away. */
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiKicked OnKicked;
	/** The regions that have answered MeasureListedLatencies, or MeasureLatencies. */
	UPROPERTY(BlueprintAssignable, Category = "Torikumi")
	FTorikumiMeasured OnMeasured;

	/** The frontend, without a slash at the end: [/Script/Torikumi.TorikumiMatchmaking] FrontendUrl=… */
	UPROPERTY(Config)
	FString FrontendUrl;
	/** Put the token into the travel URL, for servers with ATorikumiGameMode. The client's log has it then. */
	UPROPERTY(Config)
	bool bTokenInTravelUrl = false;

	// For UTorikumiPlayer and ATorikumiPlayerController.
	FString TakeToken();
	void Refused(const FString& Reason, bool bRetryable, bool bRenewable);
	void Kicked(const FString& Reason);
	void Admitted();

private:
	TSharedPtr<FTorikumiTransport> Transport;
	TSharedPtr<torikumi::Matchmaking> Matchmaking;
	TSharedPtr<torikumi::Beacons> Beacons;
	TSharedPtr<torikumi::Return> Back;
	TSharedPtr<torikumi::Player> Me;
	FTSTicker::FDelegateHandle Ticker;
	bool bRenew = false;
	bool bSaid = false;

	bool Tick(float DeltaTime);
	void Measured(const std::map<std::string, int>& Milliseconds);
};
