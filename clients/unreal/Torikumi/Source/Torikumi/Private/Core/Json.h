// JSON as the frontend and the gate write it. Like all of Core it knows nothing of the
// engine, so that the tests run the very code that ships; it neither throws nor uses RTTI,
// which engines switch off.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace torikumi {

class Json {
public:
	// Reads exactly one value. False: it is none, or is nested too deeply.
	static bool Parse(const std::string& Input, Json& Out);
	// Writes a string with its quotes.
	static std::string Quote(const std::string& Value);

	// A member of an object, an item of a list; null where there is none.
	const Json& operator[](const std::string& Name) const;
	const std::vector<Json>& Items() const { return List; }

	bool IsObject() const { return Type == Kind::Object; }
	// The value, or what stands for none.
	const std::string& Text() const { return String; }
	double Number(double Otherwise) const { return Type == Kind::Number ? Value : Otherwise; }
	bool Truth() const { return Type == Kind::True; }

private:
	enum class Kind { Null, False, True, Number, String, List, Object };
	class Reader;

	Kind Type = Kind::Null;
	double Value = 0;
	std::string String;
	std::vector<Json> List;
	std::map<std::string, Json> Members;
};

}  // namespace torikumi
