"""A game server over UDP: PORT=7654 python3 udp.py"""

import os
import socket

import gate
import game


class Address:
    """A player's address. UDP has no connections: what is lost, the player asks for again."""

    def __init__(self, listener, peer):
        self.listener, self.peer = listener, peer

    def __eq__(self, other):
        return self.peer == other.peer

    def __hash__(self):
        return hash(self.peer)

    def send(self, text):
        try:
            self.listener.sendto(text.encode(), self.peer)
        except OSError:
            pass

    def close(self):
        pass


def main():
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("", int(os.environ.get("PORT", "7654"))))
    if not gate.ready():
        raise SystemExit("the Agones SDK does not take Ready")
    table = game.Game()
    while True:
        try:
            data, peer = listener.recvfrom(1401)
        except ConnectionError:  # Windows tells so of datagrams that did not arrive
            continue
        if len(data) > 1400:
            Address(listener, peer).send('REFUSED {"reason":"too_large"}')
            continue
        table.message(Address(listener, peer), data.decode(errors="replace"))


if __name__ == "__main__":
    main()
