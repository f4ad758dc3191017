// Reads documents, one a line in hexadecimal digits. Answers each with "no", or "yes", its
// member "x" as a string, and that of its member "n" as a number.
#include <cstdio>
#include <iostream>

#include "../Torikumi/Source/Torikumi/Private/Core/Json.h"

using torikumi::Json;

int main() {
	for (std::string Line; std::getline(std::cin, Line);) {
		std::string Document;
		for (size_t I = 0; I + 1 < Line.size(); I += 2) Document += static_cast<char>(std::stoi(Line.substr(I, 2), nullptr, 16));
		Json Value;
		if (!Json::Parse(Document, Value)) {
			std::printf("no\n");
			continue;
		}
		std::printf("yes %s %.17g\n", Json::Quote(Value["x"].Text()).c_str(), Value["n"].Number(-1));
	}
}
