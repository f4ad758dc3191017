// What Core needs of the world: HTTP, a clock, random names. Everything happens on one
// thread, the game's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace torikumi {

struct Request {
	std::string Method, Url, Body;
	std::vector<std::pair<std::string, std::string>> Headers;
	double Timeout = 10;  // seconds for all of it
};

struct Response {
	int Status = 0;  // 0: there was no answer
	std::string Body;
	double RetryAfter = 0;  // seconds; 0: it does not say
};

class Transport {
public:
	using Done = std::function<void(const Response&)>;

	virtual ~Transport() = default;
	// Calls Done once, later, on the same thread.
	virtual void Send(const Request& What, Done Then) = 0;
	// Seconds since any moment; never goes back.
	virtual double Now() const = 0;
	// 128 random bits or more, as letters and digits. Nobody else can guess it.
	virtual std::string RandomName() = 0;
};

// Waits longer after each failure: 1 s, then twice as long each time up to 8 s, or as
// long as the other side asks for.
class Backoff {
public:
	double Next(double RetryAfter = 0) {
		const double Wait = Step;
		Step = Step * 2 > 8 ? 8 : Step * 2;
		return Wait > RetryAfter ? Wait : RetryAfter;
	}
	void Reset() { Step = First; }
	explicit Backoff(double FirstWait = 1) : First(FirstWait), Step(FirstWait) {}

private:
	double First, Step;
};

// Keeps answers away from an object that is gone: Guard(f) does nothing then.
class Lifetime {
public:
	template <typename Function>
	auto Guard(Function Then) const {
		return [Alive = std::weak_ptr<int>(Token), Then](const Response& Answer) {
			if (!Alive.expired()) Then(Answer);
		};
	}
	// Makes all that was guarded before do nothing.
	void Renew() { Token = std::make_shared<int>(0); }

private:
	std::shared_ptr<int> Token = std::make_shared<int>(0);
};

}  // namespace torikumi
