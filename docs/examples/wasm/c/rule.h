// What a match function and a WebAssembly module say to each other, for C. All
// offsets are from the first byte of the match: docs/custom-rules.md.
#pragma once

typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(#name))) name

struct text { u32 at, length; };
struct list { u32 at, count; };

enum { NUMBER = 1, STRING = 2, STRING_LIST = 3, STRING_NUMBER_MAP = 4 };

struct match { double wait; struct text region; struct list teams, players, tickets; };
struct team { struct text name; u32 first_player, players, bots, unused; };
struct player { struct text id; u32 team, ticket; struct list attributes, latencies; };
struct ticket { struct text id, region; long long created_us; u32 players, playing; };
struct attribute { struct text name; u32 type; struct list values; u32 unused; double number; };
struct value { struct text text; double number; };

// AT(m, struct player, m->players.at) is the first player of a match.
#define AT(match, type, offset) ((const type *)((const char *)(match) + (offset)))

// What rule_init and rule_judge return: ALLOWED, or REFUSED with a text.
typedef unsigned long long answer;
#define ALLOWED 0ull
#define REFUSED(text, length) ((answer)(u32)(text) << 32 | (u32)(length))
