// What a game server needs of its gate and of the Agones SDK, with libcurl alone.
#pragma once
#include <curl/curl.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

namespace gate {

struct Answer {
    long status = 0;  // 0: there was none
    std::string body;
    // The gate writes JSON without spaces, and what is read of it here has no quotes in it.
    std::string text(const std::string& name) const {
        auto at = body.find("\"" + name + "\":\""), begin = at + name.size() + 4;
        return at == std::string::npos ? "" : body.substr(begin, body.find('"', begin) - begin);
    }
    bool is(const std::string& name) const { return body.find("\"" + name + "\":true") != std::string::npos; }
};

inline std::string env(const char* name, const char* fallback) {
    const char* value = std::getenv(name);
    return value && *value ? value : fallback;
}
inline std::string api() { return env("TORIKUMI_GATE", "http://127.0.0.1:8085"); }
inline std::string sdk() { return "http://127.0.0.1:" + env("AGONES_SDK_HTTP_PORT", "9358"); }

inline size_t keep(char* data, size_t size, size_t n, void* body) {
    return static_cast<std::string*>(body)->append(data, size * n), size * n;
}

inline Answer call(const char* method, const std::string& url, const std::string& body, const std::string& key = "") {
    Answer answer;
    CURL* http = curl_easy_init();
    if (!http) return answer;
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
    headers = curl_slist_append(headers, ("Idempotency-Key: " + key).c_str());  // not sent if empty
    curl_easy_setopt(http, CURLOPT_URL, url.c_str());
    curl_easy_setopt(http, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(http, CURLOPT_COPYPOSTFIELDS, body.c_str());
    curl_easy_setopt(http, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(http, CURLOPT_NOPROXY, "*");  // both are on this machine
    curl_easy_setopt(http, CURLOPT_NOSIGNAL, 1L);  // threads
    curl_easy_setopt(http, CURLOPT_TIMEOUT_MS, 3000L);
    curl_easy_setopt(http, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(http, CURLOPT_WRITEDATA, &answer.body);
    if (curl_easy_perform(http) == CURLE_OK) curl_easy_getinfo(http, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(http);
    return answer;
}

// The answer is 200 for a player who may come in. The token has only characters that tokens have.
inline Answer admit(const std::string& token, const std::string& key) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    for (auto pause = std::chrono::milliseconds(50);; pause *= 2) {
        Answer answer = call("POST", api() + "/v1/admissions", "{\"token\":\"" + token + "\"}", key);
        bool decided = answer.status == 200 || (answer.status >= 400 && answer.status < 500);
        if (decided || std::chrono::steady_clock::now() + pause > end) return answer;
        std::this_thread::sleep_for(pause);  // no answer, or 503
    }
}

}  // namespace gate
