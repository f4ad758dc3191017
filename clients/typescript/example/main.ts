// The page takes its settings from its address: ?frontend=…&issuer=…, and for each field of the form its name.
import { Client, ProblemError, type CreateTicketRequest, type Ticket, type Transport } from "../src/client.js";
import { element } from "./elements.js";
import { signIn } from "./issuer.js";

const settings = new URLSearchParams(location.search);
const frontend = settings.get("frontend") ?? "http://127.0.0.1:8080";
const issuer = settings.get("issuer") ?? "http://127.0.0.1:8081";

const form = element("form", HTMLFormElement);
const find = element("find", HTMLButtonElement);
const cancel = element("cancel", HTMLButtonElement);
const state = element("state", HTMLParagraphElement);
const reason = element("reason", HTMLParagraphElement);
const result = element("result", HTMLDListElement);
const past = element("history", HTMLOListElement);

const defaults = { player: `player-${Math.floor(10_000 * Math.random())}`, queue: "session", region: "eu", skill: "1500", transport: "events" };
for (const [name, value] of Object.entries(defaults)) {
  const field = form.elements.namedItem(name);
  if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) {
    field.value = settings.get(name) ?? value;
  }
}
element("frontend", HTMLSpanElement).textContent = `Frontend ${frontend}, issuer ${issuer}`;

function say(name: string, text: string, why = ""): void {
  state.dataset["state"] = name;
  state.textContent = text;
  reason.textContent = why;
}

const texts: Record<Ticket["state"], string> = {
  GATHERING: "Waiting for the party",
  SEARCHING: "Searching",
  ACCEPTING: "A match is found: accept it",
  ASSIGNED: "A match is found",
  CANCELLED: "Cancelled",
  EXPIRED: "No match in time",
};

/** Shows a ticket, and accepts a match where the queue asks for it. */
function take(client: Client, ticket: Ticket): void {
  show(ticket);
  if (ticket.state === "ACCEPTING") {
    client.acceptTicket(ticket.id).catch((e: unknown) => { reason.textContent = String(e); });
  }
}

function show(ticket: Ticket): void {
  const wait = ticket.estimated_wait_ms;
  const estimate = wait === undefined ? "" : `Others waited ${Math.ceil(wait / 1000)} s lately.`;
  say(ticket.state, texts[ticket.state], [ticket.reason, estimate].filter(Boolean).join(" "));
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString("en-GB")} ${ticket.state}`;
  past.append(line);
  const server = ticket.server;
  if (server === undefined) {
    return;
  }
  result.hidden = false;
  const values = { server: server.connection, match: server.match_id, team: server.team, token: ticket.join_token?.jwt };
  for (const [id, value] of Object.entries(values)) {
    element(id, HTMLOutputElement).value = value ?? "none";
  }
}

function request(data: FormData, latencies: Record<string, number>): CreateTicketRequest {
  return {
    queue: String(data.get("queue")),
    region: String(data.get("region")),
    players: [{ attributes: { skill: { number: Number(data.get("skill")) } }, latencies }],
  };
}

form.addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const data = new FormData(form);
  const player = String(data.get("player"));
  const search = new AbortController();
  const stop = () => search.abort();
  cancel.addEventListener("click", stop, { once: true });
  find.disabled = true;
  cancel.disabled = false;
  result.hidden = true;
  past.replaceChildren();
  say("", "Signing in");
  try {
    const token = await signIn(issuer, player);
    const client = new Client({ url: frontend, token: () => token });
    const transport = String(data.get("transport")) as Transport;
    say("", "Measuring");
    const latencies = await client.measureLatencies({ signal: search.signal });
    await client.findMatch(request(data, latencies), { transport, signal: search.signal, onTicket: (t) => take(client, t) });
  } catch (e) {
    const rules = e instanceof ProblemError ? (e.problem.errors ?? []).map((f) => `${f.field} ${f.rule}`).join("; ") : "";
    say("FAILED", e instanceof Error ? e.message : String(e), rules);
  } finally {
    cancel.removeEventListener("click", stop);
    find.disabled = false;
    cancel.disabled = true;
  }
});
