import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { measure } from "../dist/src/latency.js";

/** Serves until the test ends, and returns the URL. */
async function serve(t, answer) {
  const server = createServer(answer);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/ping`;
}

/** Answers the n-th request after as many milliseconds as are given, the last for all that follow; undefined: never. */
function delays(...all) {
  let asked = 0;
  const answer = (_, response) => {
    const wait = all[Math.min(asked++, all.length - 1)];
    if (wait !== undefined) {
      setTimeout(() => response.writeHead(204).end(), wait);
    }
  };
  return Object.assign(answer, { asked: () => asked });
}

test("the first sample and one that is far off do not count", async (t) => {
  const slow = delays(600, 20, 900, 20, 20, 20);
  const got = await measure([{ name: "eu", http: await serve(t, slow) }], { timeout: 10_000 });
  assert.equal(slow.asked(), 6);
  assert.ok(got.eu >= 19 && got.eu < 600, `eu: ${got.eu}`);
});

test("each region has its own", async (t) => {
  const regions = [
    { name: "near", http: await serve(t, delays(0)) },
    { name: "far", http: await serve(t, delays(300)) },
    { name: "datagrams", udp: "127.0.0.1:1" },
  ];
  const got = await measure(regions, { samples: 1, timeout: 10_000 });
  assert.deepEqual(Object.keys(got).sort(), ["far", "near"]);
  assert.ok(got.far >= 299 && Number.isInteger(got.far) && Number.isInteger(got.near), JSON.stringify(got));
});

test("who does not answer, or is no beacon, is left out, and not asked on", async (t) => {
  const silent = delays(undefined);
  const other = await serve(t, (_, response) => response.writeHead(200).end("hello"));
  const regions = [
    { name: "silent", http: await serve(t, silent) },
    { name: "other", http: other },
    { name: "nobody", http: "http://127.0.0.1:1/ping" },
  ];
  assert.deepEqual(await measure(regions, { timeout: 2_000 }), {}); // a busy machine takes longer than a moment to send
  assert.equal(silent.asked(), 2);
});

test("one lost answer costs no region", async (t) => {
  const got = await measure([{ name: "eu", http: await serve(t, delays(0, undefined, 0)) }], { samples: 2, timeout: 5_000 });
  assert.ok(got.eu < 5_000);
});

test("a signal ends it", async (t) => {
  const stop = new AbortController();
  const http = await serve(t, () => stop.abort(new Error("enough")));
  await assert.rejects(measure([{ name: "eu", http }], { signal: stop.signal, timeout: 60_000 }), /enough/);
});
