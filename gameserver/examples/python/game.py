"""A game without a game: who is there, over any transport. docs/udp.md has the messages.

A transport calls message() and gone() with a connection, any object that can be a key of a
dict and has send(text) and close()."""

import itertools
import json
import re
import threading
import time

import gate

IDLE = 10.0  # seconds after which a silent player is gone
MAX_PENDING = 64  # newcomers about whom the gate is asked at a time
TOKEN = re.compile(r"[A-Za-z0-9._-]{1,8192}")


class Session:
    def __init__(self, token, answer):
        self.token, self.player, self.team = token, answer["player"], answer["team"]
        self.match, self.admission = answer["match_id"], answer["admission"]
        self.heard = time.monotonic()


class Game:
    def __init__(self):
        self.lock = threading.Lock()
        self.sessions, self.pending, self.departures, self.match = {}, set(), [], ""
        threading.Thread(target=self._report, daemon=True).start()

    def message(self, connection, text):
        verb, _, argument = text.partition("\n")[0].partition(" ")
        with self.lock:
            session = self.sessions.get(connection)
            if session:
                session.heard = time.monotonic()
            if verb == "JOIN":
                self._join(connection, session, argument)
            elif session is None:
                if connection not in self.pending:
                    self._send(connection, "KICK", {"reason": "no_token"})
            elif verb == "PING" and len(argument) <= 64:
                connection.send("PONG " + argument)
            elif verb == "ROSTER":
                self._send(connection, "ROSTER", {"match_id": session.match, "players": self._players()})
            elif verb == "LEAVE":
                connection.send("BYE")
                self._remove(connection)

    def gone(self, connection):
        """The connection is closed."""
        with self.lock:
            if connection in self.sessions:
                self._remove(connection)

    def _join(self, connection, session, token):
        if session and session.token == token:  # the answer was lost
            self._welcome(connection, session)
        elif connection in self.pending:  # an answer is on its way; asking twice would look like a replay
            pass
        elif not TOKEN.fullmatch(token):
            self._send(connection, "REFUSED", {"reason": "malformed"})
        elif len(self.pending) >= MAX_PENDING:
            self._send(connection, "REFUSED", {"reason": "busy", "retryable": True})
        else:
            self.pending.add(connection)
            threading.Thread(target=self._admit, args=(connection, token, gate.new_key()), daemon=True).start()

    def _admit(self, connection, token, key):
        admitted, answer = gate.admit(token, key)
        with self.lock:
            self.pending.discard(connection)
            if not admitted:
                reason, again = answer.get("reason", "malformed"), answer.get("retryable", False)
                print("refused:", reason, flush=True)  # never the token
                self._send(connection, "REFUSED", {"reason": reason, "retryable": again})
                return
            for older, session in list(self.sessions.items()):
                if session.player == answer["player"] and older is not connection:
                    self._kick(older, "replaced")
            if connection in self.sessions:  # it has come with another token
                self._remove(connection)
            self.match = answer["match_id"]
            session = self.sessions[connection] = Session(token, answer)
            print("joined:", session.player, flush=True)
            self._welcome(connection, session)

    def _report(self):
        """Signs of life, departures, and now and then who is there."""
        turn = 0
        while True:
            gate.health()
            with self.lock:
                now, told = time.monotonic(), self.departures[:]
                for connection, session in list(self.sessions.items()):
                    if now - session.heard > IDLE:
                        self._kick(connection, "timeout")
                match = self.match
                stays = [{"player": s.player, "admission": s.admission} for s in self.sessions.values()]
            # Those behind one that is not taken wait: the signs of life have to go on.
            done = list(itertools.takewhile(lambda stay: gate.depart(*stay), told))
            refused = gate.presence(match, stays) if match and turn % 10 == 0 else []
            with self.lock:
                self.departures = [stay for stay in self.departures if stay not in done]
                for connection, session in list(self.sessions.items()):
                    if any(r["admission"] == session.admission for r in refused):
                        self._kick(connection, "not_admitted")
            turn += 1
            time.sleep(0.5)

    # All below is called with the lock held.

    def _players(self):
        return sorted(({"player": s.player, "team": s.team} for s in self.sessions.values()), key=lambda p: p["player"])

    def _welcome(self, connection, session):
        body = {"player": session.player, "team": session.team, "match_id": session.match, "roster": self._players()}
        self._send(connection, "WELCOME", body)

    def _kick(self, connection, reason):
        self._send(connection, "KICK", {"reason": reason})
        self._remove(connection)

    def _remove(self, connection):
        session = self.sessions.pop(connection)
        self.departures.append((session.player, session.admission))
        print("left:", session.player, flush=True)
        connection.close()

    def _send(self, connection, verb, body):
        connection.send(verb + " " + json.dumps(body, separators=(",", ":")))
