import { Operations, type CreateTicketRequest, type Problem, type Sent, type Ticket } from "./api.js";
import { EventParser } from "./events.js";
import { measure, type MeasureOptions } from "./latency.js";

export * from "./api.js";
export { measure, type MeasureOptions } from "./latency.js";

/** How a ticket can be followed. */
export type Transport = "events" | "websocket";

export interface Options {
  /** Where the frontend is, as https://frontend.example.com. */
  url: string;
  /** Returns the player token. It is called for each request, so that it can get a new one in time. */
  token: () => string | Promise<string>;
}

export interface FollowOptions {
  /** Ends it; the ticket stays. */
  signal?: AbortSignal;
  /** "events" when not given. */
  transport?: Transport;
  /** The id of the last event that is known already. */
  lastEventID?: string;
}

export interface FindOptions extends FollowOptions {
  /** Is called with each state of the ticket, and each new reason why it waits. */
  onTicket?: (ticket: Ticket) => void;
}

/** The API has refused a call; `problem` says why. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem,
    /** When to try again, in milliseconds, if the frontend has said so. */
    readonly retryAfter?: number,
  ) {
    super(problem.detail ?? problem.title);
    this.name = "ProblemError";
  }

  /** Whether the same call may work later. */
  get temporary(): boolean {
    return this.problem.status >= 500 || (this.problem.status === 429 && this.retryAfter !== undefined);
  }
}

/** A stream in which nothing comes, and no heartbeat either, is dead. The frontend sends one every 15 s. */
const silence = 40_000;

/** The pauses between two tries, in milliseconds: doubled from the first to the last. */
const firstPause = 250;
const lastPause = 10_000;

/** A player's client of the API. Its calls throw ProblemError, or what fetch throws. */
export class Client extends Operations {
  readonly #url: string;
  readonly #token: Options["token"];

  constructor(options: Options) {
    super();
    this.#url = options.url.replace(/\/+$/, "");
    this.#token = options.token;
  }

  protected override async call<T>(method: string, path: string, sent: Sent = {}): Promise<T> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(sent.query ?? {})) {
      if (value !== undefined) {
        query.set(name, String(value));
      }
    }
    const headers = new Headers({ Authorization: `Bearer ${await this.#token()}` });
    for (const [name, value] of Object.entries(sent.headers ?? {})) {
      if (value !== undefined) {
        headers.set(name, value);
      }
    }
    const init: RequestInit = { method, headers };
    if (sent.body !== undefined) {
      headers.set("Content-Type", "application/json");
      init.body = JSON.stringify(sent.body);
    }
    const answer = await fetch(this.#url + path + (query.size > 0 ? `?${query}` : ""), init);
    // GET /play/{region} answers 408 with what others answer 200.
    if (!answer.headers.get("Content-Type")?.startsWith("application/json")) {
      throw await refusal(answer);
    }
    return (await answer.json()) as T;
  }

  /** Returns the player's latencies for a ticket: milliseconds to each region that the frontend lists and whose beacon answers. */
  async measureLatencies(options: MeasureOptions = {}): Promise<Record<string, number>> {
    const { regions } = await this.#insist(options.signal, () => this.listRegions());
    return measure(regions ?? [], options);
  }

  /**
   * Makes a ticket and follows it to its end, which may be ASSIGNED, CANCELLED or EXPIRED. If the signal is aborted
   * before, the ticket is cancelled. A request whose answer is lost is made again, and makes no other ticket.
   */
  async findMatch(request: CreateTicketRequest, options: FindOptions = {}): Promise<Ticket> {
    // randomUUID is there on pages with https alone.
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    const made = await this.#insist(options.signal, () => this.createTicket(request, { "Idempotency-Key": key }));
    let last = made;
    try {
      for await (const ticket of this.follow(made.id, options)) {
        last = ticket;
        options.onTicket?.(ticket);
      }
    } catch (e) {
      if (!options.signal?.aborted) {
        throw e;
      }
      last = await this.cancelTicket(made.id);
      options.onTicket?.(last);
    }
    return last;
  }

  /**
   * Yields the ticket as it is, and again after each change, until it has ended. When a connection breaks it goes on
   * over another one, where it was.
   */
  async *follow(id: string, options: FollowOptions = {}): AsyncGenerator<Ticket, void, undefined> {
    let last = options.lastEventID ?? "";
    for (let pause = firstPause; ; pause = Math.min(2 * pause, lastPause)) {
      options.signal?.throwIfAborted();
      const stream = options.transport === "websocket" ? this.#messages(id, last, options.signal) : this.#events(id, last, options.signal);
      let wait = pause;
      try {
        for await (const event of stream) {
          if (event.event === "problem") {
            throw new ProblemError(JSON.parse(event.data) as Problem);
          }
          if (event.event !== "ticket") {
            continue; // of a later version
          }
          const ticket = JSON.parse(event.data) as Ticket;
          last = event.id ?? "";
          pause = firstPause;
          yield ticket;
          if (ended(ticket)) {
            return;
          }
        }
        return; // there is no more than what is known
      } catch (e) {
        options.signal?.throwIfAborted();
        if (!passing(e)) {
          throw e;
        }
        wait = (e instanceof ProblemError ? e.retryAfter : undefined) ?? wait;
      }
      await sleep(wait, options.signal);
    }
  }

  /** Repeats a call until it works, or cannot. */
  async #insist<T>(signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
    for (let pause = firstPause; ; pause = Math.min(2 * pause, lastPause)) {
      signal?.throwIfAborted();
      try {
        return await call();
      } catch (e) {
        if (!passing(e)) {
          throw e;
        }
        await sleep((e instanceof ProblemError ? e.retryAfter : undefined) ?? pause, signal);
      }
    }
  }

  /** Server-sent events, by fetch: EventSource can send no token. */
  async *#events(id: string, last: string, signal?: AbortSignal): AsyncGenerator<StreamEvent> {
    const headers = new Headers({ Authorization: `Bearer ${await this.#token()}`, Accept: "text/event-stream" });
    if (last !== "") {
      headers.set("Last-Event-ID", last);
    }
    const dead = new AbortController();
    const abort = () => dead.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    let timer = setTimeout(() => dead.abort(new TypeError("nothing has come")), silence);
    try {
      const answer = await fetch(`${this.#url}/v1/tickets/${encodeURIComponent(id)}/events`, { headers, signal: dead.signal });
      if (answer.status === 204) {
        return;
      }
      if (!answer.ok || answer.body === null) {
        throw await refusal(answer);
      }
      const parser = new EventParser();
      const decoder = new TextDecoder();
      const reader = answer.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          throw new TypeError("the stream has ended before its ticket");
        }
        clearTimeout(timer);
        timer = setTimeout(() => dead.abort(new TypeError("nothing has come")), silence);
        yield* parser.push(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      dead.abort(); // whoever has heard enough leaves no connection behind
    }
  }

  /** The same over a WebSocket. */
  async *#messages(id: string, last: string, signal?: AbortSignal): AsyncGenerator<StreamEvent> {
    const at = new URL(`${this.#url}/v1/tickets/${encodeURIComponent(id)}/websocket`);
    at.protocol = at.protocol.replace("http", "ws");
    if (last !== "") {
      at.searchParams.set("last_event_id", last);
    }
    // A script can set no header here, and a URL would be in logs.
    const socket = new WebSocket(at, ["torikumi.v1", `torikumi.bearer.${await this.#token()}`]);
    const queue: StreamEvent[] = [];
    let closed: CloseEvent | undefined;
    let opened = false;
    let wake = () => {};
    socket.onopen = () => (opened = true);
    socket.onmessage = (m: MessageEvent<string>) => {
      const { event, id, data } = JSON.parse(m.data) as { event: string; id?: string; data: unknown };
      queue.push({ event, id, data: JSON.stringify(data) });
      wake();
    };
    socket.onclose = (e) => {
      closed = e;
      wake();
    };
    const abort = () => socket.close();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      for (;;) {
        signal?.throwIfAborted();
        const next = queue.shift();
        if (next) {
          yield next;
        } else if (closed?.code === 1000) {
          return;
        } else if (closed) {
          if (!opened) {
            await this.getTicket(id); // a browser does not tell what was wrong: this does
          }
          throw new TypeError(`the WebSocket has ended with code ${closed.code}`);
        } else {
          await new Promise<void>((resolve) => (wake = resolve));
        }
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      socket.close();
    }
  }
}

interface StreamEvent {
  event: string;
  id?: string | undefined;
  data: string;
}

/** Whether a ticket has its last state. */
export function ended(ticket: Ticket): boolean {
  return ticket.state === "ASSIGNED" || ticket.state === "CANCELLED" || ticket.state === "EXPIRED";
}

/** Whether something may work when it is tried again: fetch throws a TypeError when the network fails. */
function passing(e: unknown): boolean {
  return e instanceof ProblemError ? e.temporary : e instanceof TypeError;
}

async function refusal(answer: Response): Promise<ProblemError> {
  let problem: Problem = { type: "about:blank", title: answer.statusText, status: answer.status };
  if (answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    problem = (await answer.json()) as Problem;
  }
  const seconds = Number(answer.headers.get("Retry-After") ?? NaN);
  return new ProblemError(problem, Number.isFinite(seconds) ? 1000 * seconds : undefined);
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
