// A game without a game: who is there, over any transport. docs/udp.md has the messages.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using System.Threading;

// A way to a player. Its id tells it from all others.
public interface IConnection {
    string Id { get; }
    void Send(string text);
    void Close();
}

public sealed class Game {
    public const int IdleSeconds = 10;  // a player who is silent for so long is gone
    const int MaxPending = 64;          // newcomers about whom the gate is asked at a time
    static readonly Regex Token = new Regex(@"\A[A-Za-z0-9._-]{1,8192}\z");

    sealed class Session {
        public IConnection Connection;
        public string Token, Player, Team, Match, Admission;
        public long Heard;
    }

    readonly object gate = new object();
    readonly Dictionary<string, Session> sessions = new Dictionary<string, Session>();
    readonly HashSet<string> pending = new HashSet<string>();
    readonly Dictionary<string, string> departures = new Dictionary<string, string>();  // player by admission, to be reported
    string match = "";

    public Game() { new Thread(Report) { IsBackground = true }.Start(); }

    static long Now { get { return Stopwatch.GetTimestamp() / Stopwatch.Frequency; } }

    public void Message(IConnection from, string text) {
        string line = text.Split('\n')[0], argument = "";
        int space = line.IndexOf(' ');
        string verb = line;
        if (space >= 0) {
            verb = line.Substring(0, space);
            argument = line.Substring(space + 1);
        }
        lock (gate) {
            Session session;
            if (sessions.TryGetValue(from.Id, out session)) session.Heard = Now;
            if (verb == "JOIN") {
                Join(from, session, argument);
            } else if (session == null) {
                if (!pending.Contains(from.Id)) from.Send("KICK {\"reason\":\"no_token\"}");
            } else if (verb == "PING" && argument.Length <= 64) {
                from.Send("PONG " + argument);
            } else if (verb == "ROSTER") {
                from.Send("ROSTER {\"match_id\":\"" + session.Match + "\",\"players\":" + Players() + "}");
            } else if (verb == "LEAVE") {
                Remove(session, "BYE");
            }
        }
    }

    // The connection is closed.
    public void Gone(string id) {
        lock (gate) {
            Session session;
            if (sessions.TryGetValue(id, out session)) Remove(session, null);
        }
    }

    // Names one connection's request for admission. The server makes it, never the client.
    static string NewKey() {
        var bytes = new byte[16];
        using (var random = RandomNumberGenerator.Create()) random.GetBytes(bytes);
        return BitConverter.ToString(bytes).Replace("-", "");
    }

    void Join(IConnection from, Session session, string token) {
        if (session != null && session.Token == token) {
            Welcome(session);  // the answer was lost
        } else if (pending.Contains(from.Id)) {
            // An answer is on its way; asking twice would look like a replay.
        } else if (!Token.IsMatch(token)) {
            from.Send("REFUSED {\"reason\":\"malformed\"}");
        } else if (pending.Count >= MaxPending) {
            from.Send("REFUSED {\"reason\":\"busy\",\"retryable\":true}");
        } else {
            pending.Add(from.Id);
            string key = NewKey();
            new Thread(() => Finish(from, token, Gate.Admit(token, key))) { IsBackground = true }.Start();
        }
    }

    void Finish(IConnection from, string token, Answer answer) {
        lock (gate) {
            pending.Remove(from.Id);
            if (answer.Status != 200) {
                string reason = answer.Text("reason");
                if (reason == "") reason = answer.Status == 0 ? "gate_unavailable" : "malformed";
                string again = answer.Status == 0 || answer.Is("retryable") ? "true" : "false";
                Console.WriteLine("refused: " + reason);  // never the token
                from.Send("REFUSED {\"reason\":\"" + reason + "\",\"retryable\":" + again + "}");
                return;
            }
            var next = new Session {
                Connection = from, Token = token, Player = answer.Text("player"), Team = answer.Text("team"),
                Match = answer.Text("match_id"), Admission = answer.Text("admission"), Heard = Now,
            };
            foreach (Session s in sessions.Values.Where(s => s.Player == next.Player && s.Connection.Id != from.Id).ToList())
                Remove(s, "KICK {\"reason\":\"replaced\"}");
            Session before;
            if (sessions.TryGetValue(from.Id, out before)) Remove(before, null);  // it has come with another token
            match = next.Match;
            sessions[from.Id] = next;
            Console.WriteLine("joined: " + next.Player);
            Welcome(next);
        }
    }

    // Signs of life, departures, and now and then who is there.
    void Report() {
        for (int turn = 0;; turn++) {
            Gate.Call("POST", Gate.Sdk + "/health", "{}");
            List<KeyValuePair<string, string>> told;
            string about, list;
            lock (gate) {
                foreach (Session s in sessions.Values.Where(s => Now - s.Heard > IdleSeconds).ToList())
                    Remove(s, "KICK {\"reason\":\"timeout\"}");
                told = departures.ToList();
                about = match;
                list = string.Join(",", sessions.Values.Select(s => Stay(s.Player, s.Admission)));
            }
            foreach (var d in told) {
                int status = Gate.Call("POST", Gate.Api + "/v1/departures", Stay(d.Value, d.Key)).Status;
                if (status != 204 && status != 404) break;  // the others wait: the signs of life have to go on
                lock (gate) departures.Remove(d.Key);
            }
            if (about != "" && turn % 10 == 0) {
                Answer refused = Gate.Call("PUT", Gate.Api + "/v1/presence", "{\"match_id\":\"" + about + "\",\"players\":[" + list + "]}");
                lock (gate)
                    foreach (Session s in sessions.Values.Where(s => refused.Status == 200 && refused.Body.Contains("\"" + s.Admission + "\"")).ToList())
                        Remove(s, "KICK {\"reason\":\"not_admitted\"}");
            }
            Thread.Sleep(500);
        }
    }

    // All below is called with the lock held.

    static string Stay(string player, string admission) { return "{\"player\":\"" + player + "\",\"admission\":\"" + admission + "\"}"; }

    string Players() {
        return "[" + string.Join(",", sessions.Values.Select(s => "{\"player\":\"" + s.Player + "\",\"team\":\"" + s.Team + "\"}")) + "]";
    }

    void Welcome(Session s) {
        s.Connection.Send("WELCOME {\"player\":\"" + s.Player + "\",\"team\":\"" + s.Team + "\",\"match_id\":\"" + s.Match + "\",\"roster\":" + Players() + "}");
    }

    void Remove(Session s, string word) {
        sessions.Remove(s.Connection.Id);
        departures[s.Admission] = s.Player;
        Console.WriteLine("left: " + s.Player);
        if (word != null) s.Connection.Send(word);
        s.Connection.Close();
    }
}
