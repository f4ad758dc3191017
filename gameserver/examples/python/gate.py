"""What a game server needs of its gate and of the Agones SDK, with the standard library alone."""

import http.client
import json
import os
import secrets
import time
import urllib.error
import urllib.request

GATE = os.environ.get("TORIKUMI_GATE", "http://127.0.0.1:8085")
SDK = "http://127.0.0.1:" + os.environ.get("AGONES_SDK_HTTP_PORT", "9358")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # both are on this machine


def call(method, url, body, key=None, timeout=3):
    """Returns the status, 0 if there is no answer that can be read, and the answer's JSON. It raises nothing."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    try:
        try:
            answer = DIRECT.open(request, timeout=timeout)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            status, text = answer.getcode(), answer.read()
    except (OSError, http.client.HTTPException):
        return 0, {}
    try:
        content = json.loads(text or b"{}")
    except ValueError:
        content = None
    if isinstance(content, dict):
        return status, content
    return (status, {}) if status >= 400 else (0, {})  # of an error the status is enough


def new_key():
    """Names one connection's request for admission. The server makes it, never the client."""
    return secrets.token_hex(16)


def admit(token, key, patience=3.0):
    """Returns whether the token's owner may come in, and the gate's answer."""
    end, pause = time.monotonic() + patience, 0.05
    while True:
        status, answer = call("POST", GATE + "/v1/admissions", {"token": token}, key)
        if status == 200:
            return True, answer
        if 400 <= status < 500:
            return False, answer
        if time.monotonic() + pause > end:  # no answer, or 503
            return False, {"reason": answer.get("reason", "gate_unavailable"), "retryable": True}
        time.sleep(pause)
        pause *= 2


def depart(player, admission):
    """Reports that a stay is over. False: say it again."""
    return call("POST", GATE + "/v1/departures", {"player": player, "admission": admission})[0] in (204, 404)


def presence(match_id, stays):
    """Reports everybody who is there, [{"player", "admission"}], and returns who must not be."""
    return call("PUT", GATE + "/v1/presence", {"match_id": match_id, "players": stays})[1].get("refused", [])


def ready():
    return call("POST", SDK + "/ready", {})[0] == 200


def health():
    return call("POST", SDK + "/health", {})[0] == 200
