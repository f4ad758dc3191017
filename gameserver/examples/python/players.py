"""Players for a game server over UDP, to try it with: python3 players.py alice bob

Each signs in to the development issuer of `torikumi up`, asks for a match, comes to its game
server with the token, stays for --stay seconds and leaves. Who is kept out says why, and what
to do about it; the exit code is then 1. docs/udp.md has the messages; the API is that of
docs/api.md. A real client has your studio's sign-in in place of sign_in."""

import argparse
import http.client
import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 10.0  # seconds in which an answer comes, and in which a refusal may pass
ADVICE = {  # by reason
    "already_searching": "the same player searches elsewhere: wait a minute, or take another name",
    "already_playing": "the last match of this player is not over: wait for its server's end, or take another name",
    "missing_token": "the API takes tokens of its --player-issuer: is that the issuer at --issuer?",
    "wrong_issuer": "the API takes tokens of its --player-issuer: is that the issuer at --issuer?",
    "unknown_key": "another torikumi up has signed the token, or one that has just started: try again",
    "bad_signature": "the token was changed on its way, or is another installation's: is all of it one torikumi up?",
    "replayed": "the token has let somebody in already, and is good once: ask for a new one",
    "expired": "the token is too old: ask for a new one, and come within two minutes",
    "issued_before_start": "the gate was started anew without its journal: ask for a new token",
    "wrong_match": "the server has gone on to another match: ask for a match again",
    "not_allocated": "the server has no match any more: ask for a match again",
    "not_on_roster": "the match expects others: ask for a match again",
    "banned": "the game server has banned the player from this match: ask for another",
    "closed": "the game server takes nobody new into this match: ask for another",
    "full": "as many players are there as the match has: see the gate's --capacity",
    "busy": "too many newcomers wait for the server: come later",
    "gate_unavailable": "the game server gets no answer of its gate: look at both logs, and at TORIKUMI_GATE",
    "keys_unavailable": "the gate cannot get the frontend's keys: look at its log, and at its --jwks-url",
    "sdk_unavailable": "the gate does not reach the Agones SDK: look at its log",
    "timeout": "the server has heard nothing for too long",
}


class KeptOut(Exception):
    """Why a player is not in the match, and what to do about it."""

    def __init__(self, what, reason=""):
        if reason:
            what += " (%s): %s" % (reason, ADVICE.get(reason, "docs/gate.md and docs/api.md say what that means"))
        super().__init__(what)


class Refused(KeptOut):
    """The game server's word."""

    def __init__(self, verb, body):
        self.again = body.get("retryable", False)
        super().__init__("refused by the game server" if verb == "REFUSED" else "kicked by the game server", body.get("reason", "unknown"))


def fetch(url, setting, body=None, token=None):
    request = urllib.request.Request(url, data=body and json.dumps(body).encode())
    if token:
        request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, timeout=70) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        try:
            problem = json.load(refused)
        except ValueError:
            problem = {}
        if refused.code == 408 and problem.get("status") == "timeout":
            why = problem.get("reason") or "too few others search in the queue and region: start more players at a time"
            raise KeptOut("no match in time: " + why) from None
        said = [problem.get("detail") or refused.reason] + ["%s %s" % (e["field"], e["rule"]) for e in problem.get("errors", [])]
        raise KeptOut("%s answers %d: %s" % (url, refused.code, ", ".join(said)), problem.get("reason", "")) from None
    except (OSError, ValueError, http.client.HTTPException) as lost:
        raise KeptOut("no answer of %s: %s. Is torikumi up there? It prints the address for %s" % (url, lost, setting)) from None


def sign_in(options, name):
    return fetch(options.issuer + "/v1/player-tokens", "--issuer", {"player": name})["token"]


def ask(connection, text, verb):
    """Sends until there is the answer that begins with the verb: datagrams get lost, and come late.

    Who is refused or kicked gets no other answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            connection.send(text.encode())
            while True:
                answer = connection.recv(2048).decode()
                said, _, body = answer.partition(" ")
                if said == verb:
                    return answer
                if said in ("REFUSED", "KICK"):
                    raise Refused(said, json.loads(body))
        except TimeoutError:
            pass
        except ConnectionError:  # nobody listens there
            time.sleep(0.5)
    raise KeptOut("the game server gives no answer: does it take players there, over UDP? Look at its log")


def join(connection, token):
    """Sends JOIN, and again while the same token may work in a moment."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask(connection, "JOIN " + token, "WELCOME")
        except Refused as refused:
            if not refused.again or time.monotonic() > end:
                raise
        time.sleep(0.2)


def stay(connection, seconds):
    """Plays, which is to say something now and then: a silent player is dropped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ask(connection, "PING 1", "PONG")
        time.sleep(max(0, min(2, end - time.monotonic())))


def play(options, name):
    begin = time.monotonic()
    token, region = sign_in(options, name), urllib.parse.quote(options.region, safe="")
    match = fetch("%s/play/%s?skill=1500" % (options.api, region), "--api", token=token)
    host, _, port = match["server"]["connection"].rpartition(":")
    print("%s: matched after %.1f s, on %s:%s" % (name, time.monotonic() - begin, host, port), flush=True)
    if not match.get("jwt"):
        raise KeptOut("the match has no join token: see docs/frontend.md")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(0.5)
        connection.connect((host.strip("[]"), int(port)))
        print("%s: %s" % (name, join(connection, match["jwt"])), flush=True)
        stay(connection, options.stay)
        print("%s: %s" % (name, ask(connection, "LEAVE", "BYE")), flush=True)


def play_and_tell(options, name, done):
    try:
        play(options, name)
        done.append(name)
    except (KeptOut, OSError, ValueError) as why:  # no such host, or what no server of ours says
        print("%s: %s" % (name, why), file=sys.stderr, flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("players", nargs="+")
    options.add_argument("--api", default="http://127.0.0.1:8080")
    options.add_argument("--issuer", default="http://127.0.0.1:8081")
    options.add_argument("--region", default="eu")
    options.add_argument("--stay", type=float, default=3)
    options = options.parse_args()
    done = []
    all_of_them = [threading.Thread(target=play_and_tell, args=(options, name, done)) for name in options.players]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()
    sys.exit(0 if len(done) == len(options.players) else 1)


if __name__ == "__main__":
    main()
