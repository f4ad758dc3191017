// The page takes its settings from its address: ?frontend=…&issuer=…&player=…&queue=…&region=…. With a player in the
// address it goes on where the player was, so that a reload costs nothing.
import { Client, ProblemError, type Ticket } from "../src/client.js";
import { Connection, type Board, type End, type Player } from "./connection.js";
import { element } from "./elements.js";
import { signIn } from "./issuer.js";

const settings = new URLSearchParams(location.search);
const setting = (name: string, otherwise: string): string => settings.get(name) ?? otherwise;
const frontend = setting("frontend", "http://127.0.0.1:8080");
const issuer = setting("issuer", "http://127.0.0.1:8081");
const queue = setting("queue", "session");
const region = setting("region", "eu");

const form = element("form", HTMLFormElement);
const play = element("play", HTMLButtonElement);
const leave = element("leave", HTMLButtonElement);
const state = element("state", HTMLParagraphElement);
const reason = element("reason", HTMLParagraphElement);
const picture = element("board", SVGSVGElement);
const server = element("gameserver", HTMLSpanElement);

/** How long to try to come in, or back in, and the pause between two tries, in milliseconds. */
const patience = 10_000;
const pause = 300;

const texts: Record<string, string> = {
  match_over: "This match is over.",
  wrong_match: "This match is over.",
  not_on_roster: "This match is over.",
  place_given: "This match is over.",
  replaced: "You have joined from another device.",
  shutdown: "The server is closing.",
  full: "The server is full.",
  left: "You have left.",
  lost: "The server is gone.",
};

function say(name: string, text: string, why = ""): void {
  state.dataset["state"] = name;
  state.textContent = text;
  reason.textContent = why;
}

const svg = (tag: string, attributes: Record<string, string | number>): SVGElement => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, String(value));
  }
  return made;
};

function draw(board: Board, self: string): void {
  picture.setAttribute("viewBox", `0 0 ${board.width} ${board.height}`);
  const teams = [...new Set(board.players.map((p) => p.team))].sort();
  picture.replaceChildren(
    ...board.players.map((p: Player) => {
      const figure = svg("g", { "data-player": p.player, "data-x": p.x, "data-y": p.y, class: `team-${teams.indexOf(p.team) % 2}` });
      const name = svg("text", { x: p.x + 0.5, y: p.y + 0.5, "text-anchor": "middle", "dominant-baseline": "central" });
      name.textContent = p.player.slice(0, 2);
      const circle = svg("circle", { cx: p.x + 0.5, cy: p.y + 0.5, r: 0.45, class: p.player === self ? "self" : "" });
      figure.append(circle, name);
      return figure;
    }),
  );
}

/** The match that the player is in, or else a new one. Without `search` there is no new one. */
async function find(client: Client, search: boolean, signal: AbortSignal): Promise<Ticket | undefined> {
  const { tickets } = await client.listTickets();
  const running = tickets?.find((t) => t.state === "ASSIGNED" && t.server !== undefined);
  if (running !== undefined || !search) {
    return running;
  }
  const player = { attributes: { skill: { number: 1500 } }, latencies: { [region]: 30 } };
  const ticket = await client.findMatch(
    { queue, region, players: [player] },
    { signal, onTicket: (t) => say(t.state, t.state === "SEARCHING" ? "Searching" : t.state, t.reason) },
  );
  return ticket.state === "ASSIGNED" ? ticket : undefined;
}

/** Plays a match to its end, over as many connections as it takes. */
async function playMatch(client: Client, ticket: Ticket, player: string, signal: AbortSignal): Promise<End> {
  const at = ticket.server!.connection;
  server.textContent = `Game server ${at}`;
  let token = ticket.join_token?.jwt;
  let renewed = false;
  for (let giveUp = performance.now() + patience; ; await new Promise((resolve) => setTimeout(resolve, pause))) {
    token ??= (await client.createJoinToken(ticket.id)).jwt;
    say("CONNECTING", "Connecting…");
    let admitted = false;
    const connection = new Connection(at, token, {
      onWelcome: (w) => {
        admitted = true;
        say("PLAYING", `Playing in team ${w.team}`, w.reconnect ? "Welcome back." : "");
      },
      onBoard: (board) => draw(board, player),
    });
    const end = await whilePlaying(connection, signal);
    if (admitted) {
      [giveUp, renewed] = [performance.now() + patience, false];
    }
    if (end.reason === "lost" || (end.renewable && !renewed)) {
      renewed ||= end.reason !== "lost";
      token = undefined; // each is good once
    } else if (!end.retryable) {
      return end;
    }
    if (performance.now() > giveUp) {
      return end;
    }
  }
}

const steps: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

async function whilePlaying(connection: Connection, signal: AbortSignal): Promise<End> {
  const move = (e: KeyboardEvent) => {
    const step = steps[e.key];
    if (step !== undefined) {
      e.preventDefault();
      connection.move(...step);
    }
  };
  const stop = () => connection.leave();
  document.addEventListener("keydown", move);
  signal.addEventListener("abort", stop);
  try {
    return await connection.ended;
  } finally {
    document.removeEventListener("keydown", move);
    signal.removeEventListener("abort", stop);
  }
}

async function run(player: string, search: boolean): Promise<void> {
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  leave.addEventListener("click", stop, { once: true });
  play.disabled = true;
  leave.disabled = false;
  try {
    const session = await signIn(issuer, player);
    const client = new Client({ url: frontend, token: () => session });
    const ticket = await find(client, search, stopping.signal);
    if (ticket === undefined) {
      say("", "Not playing");
      return;
    }
    const end = await playMatch(client, ticket, player, stopping.signal);
    say("OVER", texts[end.reason] ?? "You could not be admitted.", end.reason);
  } catch (e) {
    const over = e instanceof ProblemError && e.problem.status === 404;
    say(over ? "OVER" : "FAILED", e instanceof Error ? e.message : String(e));
  } finally {
    leave.removeEventListener("click", stop);
    picture.replaceChildren();
    play.disabled = false;
    leave.disabled = true;
  }
}

const field = form.elements.namedItem("player") as HTMLInputElement;
field.value = setting("player", `player-${Math.floor(10_000 * Math.random())}`);

form.addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  field.blur(); // arrow keys are for the game from now on
  settings.set("player", field.value);
  history.replaceState(null, "", `?${settings}`);
  void run(field.value, true);
});

if (settings.has("player")) {
  void run(field.value, false);
}
