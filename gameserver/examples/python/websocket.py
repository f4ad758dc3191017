"""A game server over WebSocket (RFC 6455): PORT=7654 python3 websocket.py"""

import base64
import hashlib
import os
import socket
import socketserver
import struct
import time

import gate
import game

MAX_MESSAGE = 16384
NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)


class Connection(socketserver.BaseRequestHandler):
    def setup(self):
        self.open = True
        self.request.settimeout(game.IDLE)

    def handle(self):
        try:
            if self.handshake():
                while self.open:
                    self.receive()
        except (OSError, ValueError, struct.error):
            pass

    def finish(self):
        self.server.game.gone(self)

    def handshake(self):
        request = b""
        while b"\r\n\r\n" not in request:
            more = self.request.recv(4096)
            if not more or len(request) > 8192:
                return False
            request += more
        head, _, self.rest = request.partition(b"\r\n\r\n")
        fields = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        if fields.get("upgrade", "").lower() != "websocket" or "sec-websocket-key" not in fields:
            self.request.sendall(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
            return False
        key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
        self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        return True

    def take(self, n):
        while len(self.rest) < n:
            more = self.request.recv(65536)
            if not more:
                raise OSError("closed")
            self.rest += more
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def receive(self):
        first, second = self.take(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", self.take(2))
        if length == 127 or length > MAX_MESSAGE or not second & 128 or not first & 128:
            raise ValueError("too long, in fragments, or not masked")
        mask = self.take(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.take(length)))
        kind = first & 15
        if kind == 1:
            self.server.game.message(self, data.decode())
        elif kind == 9:
            self.frame(10, data)
        elif kind == 8:
            self.close()

    def frame(self, kind, data):
        head = bytes([128 | kind, len(data)]) if len(data) < 126 else struct.pack(">BBH", 128 | kind, 126, len(data))
        try:  # who does not read must not hold everybody else up, and is dropped
            self.open = self.open and self.request.send(head + data, NO_WAIT) == len(head + data)
        except OSError:
            self.open = False
        if not self.open:
            try:
                self.request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed

    def send(self, text):
        self.frame(1, text.encode())

    def close(self):
        self.frame(8, b"\x03\xe8")
        self.open = False


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def get_request(self):
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)  # too many are open
            raise


def main():
    with Server(("", int(os.environ.get("PORT", "7654"))), Connection) as server:
        if not gate.ready():
            raise SystemExit("the Agones SDK does not take Ready")
        server.game = game.Game()
        server.serve_forever()


if __name__ == "__main__":
    main()
