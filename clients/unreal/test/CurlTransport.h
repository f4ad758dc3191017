// Transport over libcurl, for the tests: many requests at a time, one thread.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <random>

#include "../Torikumi/Source/Torikumi/Private/Core/Transport.h"

namespace torikumi {

class CurlTransport : public Transport {
public:
	CurlTransport() : Multi(curl_multi_init()) {}
	~CurlTransport() override { curl_multi_cleanup(Multi); }
	CurlTransport(const CurlTransport&) = delete;
	CurlTransport& operator=(const CurlTransport&) = delete;

	void Send(const Request& What, Done Then) override {
		auto* C = new Call{What, std::move(Then), {}, nullptr};
		CURL* Easy = curl_easy_init();
		for (const auto& [Name, Value] : What.Headers) C->Headers = curl_slist_append(C->Headers, (Name + ": " + Value).c_str());
		curl_easy_setopt(Easy, CURLOPT_URL, C->What.Url.c_str());
		curl_easy_setopt(Easy, CURLOPT_CUSTOMREQUEST, C->What.Method.c_str());
		if (!C->What.Body.empty()) curl_easy_setopt(Easy, CURLOPT_POSTFIELDS, C->What.Body.c_str());
		curl_easy_setopt(Easy, CURLOPT_HTTPHEADER, C->Headers);
		curl_easy_setopt(Easy, CURLOPT_NOPROXY, "*");
		curl_easy_setopt(Easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(Easy, CURLOPT_TIMEOUT_MS, static_cast<long>(What.Timeout * 1000));
		curl_easy_setopt(Easy, CURLOPT_WRITEFUNCTION, &Keep);
		curl_easy_setopt(Easy, CURLOPT_WRITEDATA, &C->Answer.Body);
		curl_easy_setopt(Easy, CURLOPT_PRIVATE, C);
		curl_multi_add_handle(Multi, Easy);
	}
	double Now() const override { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
	std::string RandomName() override {
		std::random_device Random;
		std::string Name;
		for (int I = 0; I < 32; I++) Name += "0123456789abcdef"[Random() % 16];
		return Name;
	}

	// Waits for up to some milliseconds, on one more descriptor too, and calls what is done.
	void Poll(int Milliseconds, int Descriptor = -1) {
		int Running = 0;
		curl_multi_perform(Multi, &Running);
		Finish();
		curl_waitfd Extra{};
		Extra.fd = Descriptor;
		Extra.events = CURL_WAIT_POLLIN;
		curl_multi_poll(Multi, &Extra, Descriptor < 0 ? 0 : 1, Milliseconds, nullptr);
		curl_multi_perform(Multi, &Running);
		Finish();
	}

private:
	struct Call {
		Request What;
		Done Then;
		Response Answer;
		curl_slist* Headers;
	};
	CURLM* Multi;

	static size_t Keep(char* Data, size_t Size, size_t N, void* Body) {
		static_cast<std::string*>(Body)->append(Data, Size * N);
		return Size * N;
	}

	void Finish() {
		int Left = 0;
		while (CURLMsg* Message = curl_multi_info_read(Multi, &Left)) {
			if (Message->msg != CURLMSG_DONE) continue;
			CURL* Easy = Message->easy_handle;
			const bool Answered = Message->data.result == CURLE_OK;
			Call* Raw = nullptr;
			curl_easy_getinfo(Easy, CURLINFO_PRIVATE, &Raw);
			const std::unique_ptr<Call> C(Raw);
			long Status = 0;
			curl_off_t RetryAfter = 0;
			curl_easy_getinfo(Easy, CURLINFO_RESPONSE_CODE, &Status);
			curl_easy_getinfo(Easy, CURLINFO_RETRY_AFTER, &RetryAfter);
			C->Answer.Status = Answered ? static_cast<int>(Status) : 0;
			C->Answer.RetryAfter = static_cast<double>(RetryAfter);
			curl_multi_remove_handle(Multi, Easy);
			curl_easy_cleanup(Easy);
			curl_slist_free_all(C->Headers);
			C->Then(C->Answer);
		}
	}
};

}  // namespace torikumi
