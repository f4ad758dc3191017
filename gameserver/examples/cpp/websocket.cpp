// A game server over WebSocket (RFC 6455), text messages in one frame each.
//   g++ -std=c++17 -O2 -pthread websocket.cpp -lcurl -o websocket && PORT=7654 ./websocket
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>

#include "game.hpp"

namespace {

constexpr size_t maxMessage = 16384;

// SHA-1 (RFC 3174) and base64, for the handshake alone.
std::string sha1(std::string text) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    auto rotate = [](uint32_t v, int n) { return (v << n) | (v >> (32 - n)); };
    uint64_t bits = text.size() * 8;
    text += '\x80';
    while (text.size() % 64 != 56) text += '\0';
    for (int i = 7; i >= 0; i--) text += static_cast<char>(bits >> (8 * i));
    for (size_t block = 0; block < text.size(); block += 64) {
        uint32_t w[80];
        for (size_t i = 0; i < 16; i++) {
            w[i] = 0;
            for (size_t j = 0; j < 4; j++) w[i] = w[i] << 8 | static_cast<unsigned char>(text[block + 4 * i + j]);
        }
        for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t next = rotate(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rotate(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    std::string digest;
    for (uint32_t v : h)
        for (int i = 3; i >= 0; i--) digest += static_cast<char>(v >> (8 * i));
    return digest;
}

std::string base64(const std::string& data) {
    static const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (size_t i = 0; i < data.size(); i += 3) {
        uint32_t v = 0;
        for (size_t j = 0; j < 3; j++) v = v << 8 | (i + j < data.size() ? static_cast<unsigned char>(data[i + j]) : 0u);
        for (size_t j = 0; j < 4; j++) out += i + j > data.size() ? '=' : digits[v >> (18 - 6 * j) & 63];
    }
    return out;
}

class Socket : public game::Connection {
public:
    explicit Socket(int accepted) : fd(accepted), name(std::to_string(++count)) {
        timeval limit{std::chrono::seconds(game::idle).count(), 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    ~Socket() override { ::close(fd); }
    std::string id() const override { return name; }
    void send(const std::string& text) override { frame(1, text); }
    void close() override {
        frame(8, "\x03\xe8");
        shutdown(fd, SHUT_RDWR);
    }

    bool handshake() {
        std::string head = until("\r\n\r\n"), lower = head;
        std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        auto at = lower.find("\r\nsec-websocket-key:");
        if (at == std::string::npos || lower.find("\r\nupgrade: websocket") == std::string::npos)
            return write("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"), false;
        std::string key = head.substr(at + 20, head.find("\r\n", at + 2) - at - 20);
        key.erase(std::remove(key.begin(), key.end(), ' '), key.end());
        return write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
                     base64(sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) + "\r\n\r\n");
    }

    // Reads one message; false: the connection is over.
    bool receive(std::string& text) {
        for (std::string head, extra, mask, data; take(2, head);) {
            size_t kind = head[0] & 15, length = head[1] & 127;
            if (length == 126) {
                if (!take(2, extra)) return false;
                length = static_cast<size_t>(static_cast<unsigned char>(extra[0])) << 8 | static_cast<unsigned char>(extra[1]);
            }
            bool whole = head[0] & 128, masked = head[1] & 128;
            if (length == 127 || length > maxMessage || !whole || !masked || !take(4, mask) || !take(length, data)) return false;
            for (size_t i = 0; i < length; i++) data[i] = static_cast<char>(data[i] ^ mask[i % 4]);
            if (kind == 8) return false;
            if (kind == 9) frame(10, data);
            if (kind == 1) return text = data, true;
        }
        return false;
    }

private:
    static std::atomic<int> count;
    int fd;
    std::string name, rest;
    std::mutex writing;

    void frame(int kind, const std::string& data) {
        std::string head{static_cast<char>(128 | kind)};
        if (data.size() < 126) head += static_cast<char>(data.size());
        else head += {126, static_cast<char>(data.size() >> 8), static_cast<char>(data.size())};
        write(head + data);
    }
    bool write(const std::string& data) {
        std::lock_guard<std::mutex> lock(writing);
        for (size_t done = 0; done < data.size();) {
            // Who does not read must not hold everybody else up, and is dropped.
            ssize_t n = ::send(fd, data.data() + done, data.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n <= 0) return shutdown(fd, SHUT_RDWR), false;
            done += static_cast<size_t>(n);
        }
        return true;
    }
    bool more() {
        char buffer[4096];
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n > 0) rest.append(buffer, static_cast<size_t>(n));
        return n > 0;
    }
    bool take(size_t n, std::string& out) {
        while (rest.size() < n)
            if (!more()) return false;
        out = rest.substr(0, n);
        rest.erase(0, n);
        return true;
    }
    std::string until(const std::string& end) {
        while (rest.find(end) == std::string::npos)
            if (rest.size() > 8192 || !more()) return "";
        std::string head;
        take(rest.find(end) + end.size(), head);
        return head;
    }
};
std::atomic<int> Socket::count{0};

}  // namespace

int main() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(static_cast<uint16_t>(std::atoi(gate::env("PORT", "7654").c_str())));
    if (bind(listener, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0 || listen(listener, 64) != 0) return std::perror("bind"), 1;
    if (gate::call("POST", gate::sdk() + "/ready", "{}").status != 200) return std::fputs("the Agones SDK does not take Ready\n", stderr), 1;
    game::Game game;
    for (;;) {
        int fd = accept(listener, nullptr, nullptr);
        if (fd < 0) {  // too many are open
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            continue;
        }
        std::thread([&game, connection = std::make_shared<Socket>(fd)] {
            std::string text;
            if (connection->handshake())
                while (connection->receive(text)) game.message(connection, text);
            game.gone(connection->id());
        }).detach();
    }
}
