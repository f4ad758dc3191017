// A game server over UDP.
//   g++ -std=c++17 -O2 -pthread udp.cpp -lcurl -o udp && PORT=7654 ./udp
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "game.hpp"

namespace {

// A player's address. UDP has no connections: what is lost, the player asks for again.
struct Address : game::Connection {
    int listener;
    sockaddr_in peer;
    Address(int fd, const sockaddr_in& from) : listener(fd), peer(from) {}
    std::string id() const override {
        char ip[INET_ADDRSTRLEN] = "";
        inet_ntop(AF_INET, &peer.sin_addr, ip, sizeof ip);
        return std::string(ip) + ":" + std::to_string(ntohs(peer.sin_port));
    }
    void send(const std::string& text) override {
        (void)!sendto(listener, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
    }
};

}  // namespace

int main() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int listener = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(static_cast<uint16_t>(std::atoi(gate::env("PORT", "7654").c_str())));
    if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0) return std::perror("bind"), 1;
    if (gate::call("POST", gate::sdk() + "/ready", "{}").status != 200) return std::fputs("the Agones SDK does not take Ready\n", stderr), 1;
    game::Game game;
    for (char data[1401];;) {
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        ssize_t n = recvfrom(listener, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&peer), &size);
        if (n < 0) continue;
        auto from = std::make_shared<Address>(listener, peer);
        if (n > 1400) {
            from->send("REFUSED {\"reason\":\"too_large\"}");
            continue;
        }
        game.message(from, std::string(data, static_cast<size_t>(n)));
    }
}
