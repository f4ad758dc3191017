// A rule: players who met lately do not meet again. The attribute "recent" of each
// player has the ids of those; the parameter is how many such pairs a match may have.
#include "rule.h"

static char input[1 << 20] __attribute__((aligned(8)));
static u32 most;

void *EXPORT(rule_alloc)(u32 size) { return size <= sizeof input ? input : 0; }

answer EXPORT(rule_init)(const char *parameters, u32 size) {
    static const char wrong[] = "must be a whole number from 0 to 999";
    if (size > 3) return REFUSED(wrong, sizeof wrong - 1);
    most = 0;
    for (u32 i = 0; i < size; i++) {
        if (parameters[i] < '0' || parameters[i] > '9') return REFUSED(wrong, sizeof wrong - 1);
        most = 10 * most + (u32)(parameters[i] - '0');
    }
    return ALLOWED;
}

static int is(const void *m, struct text t, const char *other, u32 length) {
    if (t.length != length) return 0;
    for (u32 i = 0; i < length; i++)
        if (AT(m, char, t.at)[i] != other[i]) return 0;
    return 1;
}

answer EXPORT(rule_judge)(const struct match *m, u32 size) {
    static const char refusal[] = "too many have met lately";
    const struct player *players = AT(m, struct player, m->players.at);
    u32 met = 0;
    for (u32 p = 0; p < m->players.count; p++)
        for (u32 a = 0; a < players[p].attributes.count; a++) {
            const struct attribute *recent = AT(m, struct attribute, players[p].attributes.at) + a;
            if (recent->type != STRING_LIST || !is(m, recent->name, "recent", 6)) continue;
            for (u32 v = 0; v < recent->values.count; v++)
                for (u32 q = 0; q < m->players.count; q++) {
                    struct text id = AT(m, struct value, recent->values.at)[v].text;
                    met += is(m, id, AT(m, char, players[q].id.at), players[q].id.length);
                }
        }
    return met > most ? REFUSED(refusal, sizeof refusal - 1) : ALLOWED;
}
