// Talks to the game server of gameserver/examples/go: messages of docs/udp.md over a WebSocket, and BOARD and MOVE.

export interface Player {
  player: string;
  team: string;
  x: number;
  y: number;
}

export interface Board {
  width: number;
  height: number;
  players: Player[];
}

export interface Welcome {
  player: string;
  team: string;
  match_id: string;
  /** The player was here before. */
  reconnect: boolean;
}

/** Why a connection has ended: "left", "lost", or the reason of a refusal or kick. */
export interface End {
  reason: string;
  /** The same token may work in a moment. */
  retryable?: boolean;
  /** A new token may work. */
  renewable?: boolean;
}

export interface Events {
  onWelcome?: (welcome: Welcome) => void;
  onBoard?: (board: Board) => void;
}

/** Between two signs of life; the server waits for 10 s. */
const pingTime = 2_000;
/** A server that says nothing for so long, not even to a ping, is lost. */
const silence = 8_000;

/** A connection to a game server. It brings the token in its first message: an address would be in logs. */
export class Connection {
  /** Is there when the connection has ended. */
  readonly ended: Promise<End>;
  readonly #socket: WebSocket;
  #end: End = { reason: "lost" };

  constructor(server: string, token: string, events: Events = {}) {
    const socket = new WebSocket(`ws://${server}/`);
    this.#socket = socket;
    let heard = performance.now();
    socket.onopen = () => socket.send(`JOIN ${token}`);
    socket.onmessage = (m: MessageEvent<string>) => {
      heard = performance.now();
      this.#heard(m.data, events);
    };
    let hangUp = () => {};
    const timer = setInterval(() => {
      if (performance.now() - heard > silence) {
        hangUp(); // a close without an answer takes long
        socket.close();
      } else if (socket.readyState === WebSocket.OPEN) {
        socket.send("PING 1");
      }
    }, pingTime);
    this.ended = new Promise<void>((resolve) => {
      hangUp = resolve;
      socket.onclose = () => resolve();
    }).then(() => {
      clearInterval(timer);
      socket.onmessage = null;
      return this.#end;
    });
  }

  move(x: number, y: number): void {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(`MOVE ${JSON.stringify({ x, y })}`);
    }
  }

  leave(): void {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send("LEAVE");
    }
    this.#finish({ reason: "left" });
  }

  #heard(text: string, events: Events): void {
    const space = text.indexOf(" ");
    const verb = space < 0 ? text : text.slice(0, space);
    const body = (): unknown => JSON.parse(text.slice(space + 1));
    switch (verb) {
      case "WELCOME":
        events.onWelcome?.(body() as Welcome);
        break;
      case "BOARD":
        events.onBoard?.(body() as Board);
        break;
      case "REFUSED":
      case "KICK":
        this.#finish(body() as End);
        break;
    }
  }

  #finish(end: End): void {
    this.#end = end;
    this.#socket.close();
  }
}
