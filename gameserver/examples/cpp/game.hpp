// A game without a game: who is there, over any transport. docs/udp.md has the messages.
#pragma once
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <vector>

#include "gate.hpp"

namespace game {

using Clock = std::chrono::steady_clock;
constexpr auto idle = std::chrono::seconds(10);  // a player who is silent for so long is gone
constexpr size_t maxPending = 64;                // newcomers about whom the gate is asked at a time

// Names one connection's request for admission. The server makes it, never the client.
inline std::string newKey() {
    std::random_device random;
    std::string key;
    for (int i = 0; i < 32; i++) key += "0123456789abcdef"[random() % 16];
    return key;
}

// Reports whether a text can be a token; nothing else may get into JSON as it is.
inline bool plain(const std::string& token) {
    return !token.empty() && token.size() <= 8192 &&
           token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
}

// A way to a player. Its id tells it from all others.
struct Connection {
    virtual ~Connection() = default;
    virtual std::string id() const = 0;
    virtual void send(const std::string& text) = 0;
    virtual void close() {}
};

struct Session {
    std::shared_ptr<Connection> connection;
    std::string token, player, team, match, admission;
    Clock::time_point heard;
};

class Game {
public:
    Game() { std::thread([this] { report(); }).detach(); }  // for as long as the process

    void message(const std::shared_ptr<Connection>& from, const std::string& text) {
        std::string line = text.substr(0, text.find('\n'));
        auto space = line.find(' ');
        std::string verb = line.substr(0, space), argument = space == std::string::npos ? "" : line.substr(space + 1);
        std::lock_guard<std::mutex> lock(mutex);
        auto found = sessions.find(from->id());
        if (found != sessions.end()) found->second.heard = Clock::now();
        if (verb == "JOIN") {
            join(from, argument);
        } else if (found == sessions.end()) {
            if (!pending.count(from->id())) from->send("KICK {\"reason\":\"no_token\"}");
        } else if (verb == "PING" && argument.size() <= 64) {
            from->send("PONG " + argument);
        } else if (verb == "ROSTER") {
            from->send("ROSTER {\"match_id\":\"" + found->second.match + "\",\"players\":" + players() + "}");
        } else if (verb == "LEAVE") {
            remove(from->id(), "BYE");
        }
    }

    // The connection is closed.
    void gone(const std::string& id) {
        std::lock_guard<std::mutex> lock(mutex);
        if (sessions.count(id)) remove(id, "");
    }

private:
    std::mutex mutex;
    std::map<std::string, Session> sessions;
    std::set<std::string> pending;
    std::map<std::string, std::string> departures;  // player by admission, to be reported
    std::string match;

    void join(const std::shared_ptr<Connection>& from, const std::string& token) {
        std::string id = from->id();
        auto found = sessions.find(id);
        if (found != sessions.end() && found->second.token == token) {
            welcome(found->second);  // the answer was lost
        } else if (pending.count(id)) {
            // An answer is on its way; asking twice would look like a replay.
        } else if (!plain(token)) {
            from->send("REFUSED {\"reason\":\"malformed\"}");
        } else if (pending.size() >= maxPending) {
            from->send("REFUSED {\"reason\":\"busy\",\"retryable\":true}");
        } else {
            pending.insert(id);
            std::thread([this, from, token, key = newKey()] { finish(from, token, gate::admit(token, key)); }).detach();
        }
    }

    void finish(const std::shared_ptr<Connection>& from, const std::string& token, const gate::Answer& answer) {
        std::lock_guard<std::mutex> lock(mutex);
        std::string id = from->id();
        pending.erase(id);
        if (answer.status != 200) {
            std::string reason = answer.text("reason");
            if (reason.empty()) reason = answer.status == 0 ? "gate_unavailable" : "malformed";
            bool again = answer.status == 0 || answer.is("retryable");
            std::printf("refused: %s\n", reason.c_str());  // never the token
            std::fflush(stdout);
            from->send("REFUSED {\"reason\":\"" + reason + "\",\"retryable\":" + (again ? "true}" : "false}"));
            return;
        }
        Session next{from, token, answer.text("player"), answer.text("team"), answer.text("match_id"), answer.text("admission"), Clock::now()};
        std::vector<std::string> older;
        for (auto& s : sessions)
            if (s.second.player == next.player && s.first != id) older.push_back(s.first);
        for (auto& o : older) remove(o, "KICK {\"reason\":\"replaced\"}");
        if (sessions.count(id)) remove(id, "");  // it has come with another token
        match = next.match;
        std::printf("joined: %s\n", next.player.c_str());
        std::fflush(stdout);
        welcome(sessions[id] = next);
    }

    // Signs of life, departures, and now and then who is there.
    void report() {
        for (int turn = 0;; turn++) {
            gate::call("POST", gate::sdk() + "/health", "{}");
            std::map<std::string, std::string> told;
            std::string about, list;
            {
                std::lock_guard<std::mutex> lock(mutex);
                std::vector<std::string> silent;
                for (auto& s : sessions)
                    if (Clock::now() - s.second.heard > idle) silent.push_back(s.first);
                for (auto& id : silent) remove(id, "KICK {\"reason\":\"timeout\"}");
                told = departures;
                about = match;
                for (auto& s : sessions)
                    list += (list.empty() ? "" : ",") + stay(s.second.player, s.second.admission);
            }
            for (auto& d : told) {
                long status = gate::call("POST", gate::api() + "/v1/departures", stay(d.second, d.first)).status;
                if (status != 204 && status != 404) break;  // the others wait: the signs of life have to go on
                std::lock_guard<std::mutex> lock(mutex);
                departures.erase(d.first);
            }
            if (!about.empty() && turn % 10 == 0) {
                auto refused = gate::call("PUT", gate::api() + "/v1/presence", "{\"match_id\":\"" + about + "\",\"players\":[" + list + "]}");
                std::lock_guard<std::mutex> lock(mutex);
                std::vector<std::string> out;
                for (auto& s : sessions)
                    if (refused.status == 200 && refused.body.find("\"" + s.second.admission + "\"") != std::string::npos) out.push_back(s.first);
                for (auto& id : out) remove(id, "KICK {\"reason\":\"not_admitted\"}");
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
        }
    }

    // All below is called with the mutex held.

    static std::string stay(const std::string& player, const std::string& admission) {
        return "{\"player\":\"" + player + "\",\"admission\":\"" + admission + "\"}";
    }

    std::string players() const {
        std::string list;
        for (auto& s : sessions) list += (list.empty() ? "" : ",") + ("{\"player\":\"" + s.second.player + "\",\"team\":\"" + s.second.team + "\"}");
        return "[" + list + "]";
    }

    void welcome(const Session& s) {
        s.connection->send("WELCOME {\"player\":\"" + s.player + "\",\"team\":\"" + s.team + "\",\"match_id\":\"" + s.match + "\",\"roster\":" + players() + "}");
    }

    void remove(const std::string& id, const std::string& word) {
        Session s = sessions[id];
        sessions.erase(id);
        departures[s.admission] = s.player;
        std::printf("left: %s\n", s.player.c_str());
        std::fflush(stdout);
        if (!word.empty()) s.connection->send(word);
        s.connection->close();
    }
};

}  // namespace game
