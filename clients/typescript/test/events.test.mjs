import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../dist/src/events.js";

const stream = `: still searching\n\nid: a1\nevent: ticket\ndata: {"state":"SEARCHING"}\n\ndata:first\ndata: second\n\nid: 7\n\nevent: problem\nretry: 10\nrubbish\ndata\n\nevent: cut\ndata: never`;
const want = [
  { event: "ticket", data: '{"state":"SEARCHING"}', id: "a1" },
  { event: "message", data: "first\nsecond" },
  { event: "problem", data: "" },
];

for (const end of ["\n", "\r\n", "\r"]) {
  const text = stream.replaceAll("\n", end);
  test(`events with lines that end with ${JSON.stringify(end)}, cut anywhere`, () => {
    for (let at = 0; at <= text.length; at++) {
      const parser = new EventParser();
      assert.deepEqual([...parser.push(text.slice(0, at)), ...parser.push(text.slice(at))], want);
    }
    const parser = new EventParser();
    assert.deepEqual([...text].flatMap((c) => parser.push(c)), want);
  });
}
