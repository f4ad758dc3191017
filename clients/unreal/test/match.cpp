// A server that goes from one match to the next. Exits with 0 if each match is told once, and
// the players of an earlier one, and nobody else, are sent away.
#include <cstdio>

#include "../Torikumi/Source/Torikumi/Private/Core/GameServer.h"
#include "ScriptedTransport.h"

using namespace torikumi;

namespace {

class Play {
public:
	Play() : Server(World, GameServer::Options(), Listen()) {}

	ScriptedTransport World;
	bool Right = true;

	void Run(double Seconds) {
		for (const double End = World.Time + Seconds; World.Time < End; World.Time += 0.1) Frame();
	}
	// Somebody comes in, in one frame.
	void Join(ConnectionId Who, const std::string& Name) {
		Server.Connected(Who);
		Server.Present(Who, Name);
		Frame();
	}
	// The same, while an answer is on its way that is of before the match.
	void Overtake(ConnectionId Who, const std::string& Name, const std::string& Match) {
		for (const size_t Before = World.Rosters; World.Rosters == Before; World.Time += 0.1) {
			World.Answer();
			Server.Tick();
		}
		World.Match = Match;
		Join(Who, Name);
	}
	void WantPlayers(bool More) { Server.WantPlayers(More); }
	// Checks what the gate has been told of players who are wanted.
	void Backfill(const char* When, const std::string& Want) {
		if (World.Backfill != Want) std::printf("%s: \"%s\", want \"%s\"\n", When, World.Backfill.c_str(), Want.c_str());
		Right = Right && World.Backfill == Want;
		World.Backfill.clear();
	}
	void Frame() {
		Server.Tick();
		World.Answer();
	}
	// Checks what has been told since the last time.
	void Expect(const char* When, const std::string& Want) {
		if (Told != Want) std::printf("%s: \"%s\", want \"%s\"\n", When, Told.c_str(), Want.c_str());
		Right = Right && Told == Want;
		Told.clear();
	}

private:
	std::string Told;
	GameServer Server;

	GameServer::Events Listen() {
		GameServer::Events On;
		On.OnAdmitted = [this](ConnectionId, const Admitted& A) { Told += "admitted " + A.Player + "; "; };
		On.OnRefused = [this](ConnectionId Who, const Refused& R) { Told += R.Reason + " " + std::to_string(Who) + "; "; };
		On.OnAllocated = [this](const std::string& Match) { Told += "allocated " + Match + "; "; };
		return On;
	}
};

}  // namespace

int main() {
	Play P;
	P.Run(5);
	P.World.State = "Allocated", P.World.Match = "m1";
	P.Run(5);
	P.Join(1, "ann");
	P.Run(15);
	P.Expect("the first match", "allocated m1; admitted ann; ");
	P.World.Match = "m2";
	P.Run(15);
	P.Expect("the second match", "allocated m2; match_over 1; ");
	P.Join(2, "bob");
	P.Run(15);
	P.Expect("a player of it", "admitted bob; ");
	P.World.Match = "m3";
	P.Join(3, "cid");
	P.Run(1);
	P.Expect("a player before the roster", "admitted cid; allocated m3; match_over 2; ");
	P.Run(15);
	const std::string Want = "{\"match_id\":\"m3\",\"players\":[{\"player\":\"cid\",\"admission\":\"cid\"}]}";
	if (P.World.Presence != Want) P.Right = false, std::printf("presence: %s\n", P.World.Presence.c_str());
	P.Overtake(4, "dan", "m4");
	P.Run(15);
	P.Expect("a player before an older roster", "admitted dan; allocated m4; match_over 3; ");
	P.WantPlayers(true);
	P.Run(5);
	P.Backfill("asked for players", "POST{} ");
	P.World.Gate = false;
	P.WantPlayers(true);
	P.Run(0.3);
	P.Backfill("without an answer", "POST{} POST{} ");
	P.WantPlayers(false);
	P.World.Gate = true;
	P.Run(9);
	P.Backfill("with an answer", "DELETE ");
	P.World.Gate = false;
	P.WantPlayers(true);
	P.Frame();
	P.World.Gate = true;
	P.World.Match = "m5";
	P.Join(5, "eve");
	P.Frame();
	P.World.Backfill.clear();
	P.Run(20);
	P.Backfill("the wish of an earlier match", "");
	P.Expect("the next match", "admitted eve; allocated m5; match_over 4; ");
	P.World.State = "Ready", P.World.Match = "";
	P.Run(15);
	P.Expect("free again", "match_over 5; ");
	return P.Right ? 0 : 1;
}
