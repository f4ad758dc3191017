// Package check judges proposals: does a match keep every rule of its rule
// set? On the player's path it stands beside the search and not in it: tests,
// the simulator and whoever doubts a match ask it. It is written apart from
// the search, from the comments of ruleset.Rule, ruleset.Expr and rule.Match
// alone, and shares no code with it. It is slow on purpose: it interprets the
// rules literally, with nothing prepared or remembered, so that each line can
// be held against the sentence it comes from.
//
// Distances and latencies (distance, batchDistance, latency, teamDifference)
// are compared with a relative tolerance of 1e-9, since sums may be taken in
// another order; everything else is compared exactly.
//
// Where the comments leave room, this is how they are read here.
//
// Structure:
//   - A ticket without players appears in no team and is thus no part of a
//     match. Neither ticket ids nor player ids are there twice, and at most
//     one ticket is of those who already play, and bans none of the others.
//   - Match.Wait is 0 for a ticket from the future.
//   - A team has bots only if it has fewer than its Min players.
//   - Match.Region is empty if and only if no ticket names regions, by asking
//     for one or by latencies.
//
// Attributes:
//   - Each player of the match has to have each attribute that a rule reads,
//     also one who plays in a team that the rule doesn't look at.
//   - Sorting rules and the algorithm read attributes like any other rule, and
//     demand nothing more. What expressions and custom rules read is theirs to
//     judge.
//   - A latency rule reads regions in the same way: also one that only a
//     compound names makes tickets unfit that say nothing of them.
//   - What an optional rule reads is not needed, even if a compound names it.
//
// Parties:
//   - Those who already play are not a party: each counts alone. Only where a
//     comment speaks of tickets (batchDistance of a number, latency) they count
//     together.
//   - The value of a player who is alone stays as it is; the lists of several
//     become one without duplicates.
//   - An aggregation that doesn't fit the type of an attribute, or none, is the
//     default of that type; but teamDifference without one takes each player's
//     own value. In a roleQuota each player has only his or her own roles.
//
// Rules:
//   - What has no value is left out of the list that it would be in.
//   - A statement knows true and false only. A rule that demands nothing, since
//     it is optional by now or what it looks at has no value, is kept, and so
//     its negation is not. An expression that fails is not true.
//   - The intersection of a list of no collections is empty, its count 0.
//   - A list of a comparison without reference is a list of scalars, at
//     whatever depth; a measurement that is a scalar is in none.
//   - The reference of a latency rule's distance is taken over the players
//     themselves, those without a latency in the region left out; but each of a
//     ticket that asks for the region, with no latency there at all, has 0 ms.
//   - A roleQuota is for teams without players too: a role with a Min is then
//     not filled. RoleTeams are names of ruleset.Team.
package check
