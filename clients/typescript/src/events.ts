/** One of the server-sent events of HTML's standard. */
export interface ServerSentEvent {
  event: string;
  data: string;
  id?: string;
}

/** Takes a stream of server-sent events apart, however it is cut. */
export class EventParser {
  #line = "";
  #afterCR = false;
  #event = "";
  #data: string[] = [];
  #id: string | undefined;

  /** Returns the events that are complete with this part of the stream. */
  push(text: string): ServerSentEvent[] {
    const done: ServerSentEvent[] = [];
    for (const c of text) {
      // A line ends with CR, LF, or both, which may come in two parts.
      if (c === "\n" && this.#afterCR) {
        this.#afterCR = false;
        continue;
      }
      this.#afterCR = c === "\r";
      if (c !== "\n" && c !== "\r") {
        this.#line += c;
        continue;
      }
      const event = this.#endLine();
      if (event) {
        done.push(event);
      }
    }
    return done;
  }

  #endLine(): ServerSentEvent | undefined {
    const line = this.#line;
    this.#line = "";
    if (line === "") {
      return this.#endEvent();
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") {
      this.#event = value;
    } else if (name === "data") {
      this.#data.push(value);
    } else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
    }
    return undefined;
  }

  #endEvent(): ServerSentEvent | undefined {
    const event: ServerSentEvent = { event: this.#event || "message", data: this.#data.join("\n") };
    if (this.#id !== undefined) {
      event.id = this.#id;
    }
    const empty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    this.#id = undefined;
    return empty ? undefined : event;
  }
}
