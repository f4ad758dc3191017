#include "Json.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace torikumi {

namespace {

constexpr int MaxDepth = 32;

// Appends a code point as UTF-8.
void AppendUtf8(std::string& Out, std::uint32_t Code) {
	if (Code < 0x80) {
		Out += static_cast<char>(Code);
	} else if (Code < 0x800) {
		Out += static_cast<char>(0xC0 | (Code >> 6));
		Out += static_cast<char>(0x80 | (Code & 0x3F));
	} else if (Code < 0x10000) {
		Out += static_cast<char>(0xE0 | (Code >> 12));
		Out += static_cast<char>(0x80 | ((Code >> 6) & 0x3F));
		Out += static_cast<char>(0x80 | (Code & 0x3F));
	} else {
		Out += static_cast<char>(0xF0 | (Code >> 18));
		Out += static_cast<char>(0x80 | ((Code >> 12) & 0x3F));
		Out += static_cast<char>(0x80 | ((Code >> 6) & 0x3F));
		Out += static_cast<char>(0x80 | (Code & 0x3F));
	}
}

}  // namespace

class Json::Reader {
public:
	explicit Reader(const std::string& Input) : Text(Input) {}

	bool Whole(Json& Out) {
		if (!Any(Out, 0)) return false;
		Space();
		return At == Text.size();
	}

private:
	const std::string& Text;
	size_t At = 0;

	char Peek() const { return At < Text.size() ? Text[At] : '\0'; }
	void Space() {
		while (At < Text.size() && std::strchr(" \t\r\n", Text[At]) != nullptr && Text[At] != '\0') At++;
	}
	bool Take(const char* Word) {
		const size_t Length = std::strlen(Word);
		if (Text.compare(At, Length, Word) != 0) return false;
		At += Length;
		return true;
	}

	bool Any(Json& Out, int Depth) {
		if (Depth > MaxDepth) return false;
		Space();
		switch (Peek()) {
		case '{': return Object(Out, Depth);
		case '[': return Array(Out, Depth);
		case '"': Out.Type = Kind::String; return Quoted(Out.String);
		case 't': Out.Type = Kind::True; return Take("true");
		case 'f': Out.Type = Kind::False; return Take("false");
		case 'n': Out.Type = Kind::Null; return Take("null");
		default: Out.Type = Kind::Number; return Digits(Out.Value);
		}
	}

	bool Object(Json& Out, int Depth) {
		Out.Type = Kind::Object;
		At++;
		Space();
		if (Take("}")) return true;
		for (;;) {
			std::string Name;
			Space();
			if (Peek() != '"' || !Quoted(Name)) return false;
			Space();
			// A name that is there twice would mean one thing here and another elsewhere.
			if (!Take(":") || Out.Members.count(Name) != 0 || !Any(Out.Members[Name], Depth + 1)) return false;
			Space();
			if (Take("}")) return true;
			if (!Take(",")) return false;
		}
	}

	bool Array(Json& Out, int Depth) {
		Out.Type = Kind::List;
		At++;
		Space();
		if (Take("]")) return true;
		for (;;) {
			Out.List.emplace_back();
			if (!Any(Out.List.back(), Depth + 1)) return false;
			Space();
			if (Take("]")) return true;
			if (!Take(",")) return false;
		}
	}

	// Quoted and Digits stand at their first character.
	bool Quoted(std::string& Out) {
		for (At++; At < Text.size(); At++) {
			const char C = Text[At];
			if (C == '"') {
				At++;
				return true;
			}
			if (static_cast<unsigned char>(C) < 0x20) return false;
			if (C != '\\') {
				Out += C;
			} else if (!Escaped(Out)) {
				return false;
			}
		}
		return false;
	}

	// Leaves At on the last character of the escape.
	bool Escaped(std::string& Out) {
		static const char Names[] = "\"\\/bfnrt", Values[] = "\"\\/\b\f\n\r\t";
		At++;
		const char* Simple = Peek() == '\0' ? nullptr : std::strchr(Names, Peek());
		if (Simple != nullptr) {
			Out += Values[Simple - Names];
			return true;
		}
		std::uint32_t Code = 0;
		if (!Hex(Code)) return false;
		if (Code >= 0xD800 && Code < 0xDC00) {  // the first of a pair
			std::uint32_t Low = 0;
			At++;
			if (Peek() != '\\') return false;
			At++;
			if (!Hex(Low) || Low < 0xDC00 || Low > 0xDFFF) return false;
			Code = 0x10000 + ((Code - 0xD800) << 10) + (Low - 0xDC00);
		} else if (Code >= 0xDC00 && Code < 0xE000) {
			return false;
		}
		AppendUtf8(Out, Code);
		return true;
	}

	// Reads uXXXX.
	bool Hex(std::uint32_t& Code) {
		if (Peek() != 'u' || At + 4 >= Text.size()) return false;
		for (int I = 0; I < 4; I++) {
			const char C = Text[++At];
			Code <<= 4;
			if (C >= '0' && C <= '9') Code |= static_cast<std::uint32_t>(C - '0');
			else if (C >= 'a' && C <= 'f') Code |= static_cast<std::uint32_t>(C - 'a' + 10);
			else if (C >= 'A' && C <= 'F') Code |= static_cast<std::uint32_t>(C - 'A' + 10);
			else return false;
		}
		return true;
	}

	bool Digits(double& Out) {
		const size_t Begin = At;
		Take("-");
		if (!Take("0") && !Run()) return false;
		if (Take(".") && !Run()) return false;
		if (Take("e") || Take("E")) {
			if (!Take("+")) Take("-");
			if (!Run()) return false;
		}
		Out = std::strtod(Text.substr(Begin, At - Begin).c_str(), nullptr);
		return true;
	}

	// Takes one digit or more.
	bool Run() {
		const size_t Begin = At;
		while (Peek() >= '0' && Peek() <= '9') At++;
		return At > Begin;
	}
};

bool Json::Parse(const std::string& Input, Json& Out) {
	Out = Json();
	return Reader(Input).Whole(Out);
}

std::string Json::Quote(const std::string& Value) {
	static const char Digits[] = "0123456789abcdef";
	std::string Out = "\"";
	for (const char C : Value) {
		const unsigned char Byte = static_cast<unsigned char>(C);
		if (C == '"' || C == '\\') {
			Out += '\\';
			Out += C;
		} else if (Byte < 0x20) {
			Out += "\\u00";
			Out += Digits[Byte >> 4];
			Out += Digits[Byte & 15];
		} else {
			Out += C;
		}
	}
	return Out + "\"";
}

const Json& Json::operator[](const std::string& Name) const {
	static const Json None;
	const auto Found = Members.find(Name);
	return Found == Members.end() ? None : Found->second;
}

}  // namespace torikumi
