import type { Region } from "./api.js";

export interface MeasureOptions {
  /** How many round trips count, of which the median does: 5 when not given. One more comes before them, as it opens the connection. */
  samples?: number;
  /** How long one answer may take, in milliseconds: 1000 when not given. */
  timeout?: number;
  /** Ends it. */
  signal?: AbortSignal;
}

/** The most that a ticket takes. */
const longest = 60_000;

/**
 * Measures how far away regions are, by requests to the beacon of each, all at the same time. Returns milliseconds by region, as a
 * ticket takes them, without the regions that do not answer.
 */
export async function measure(regions: Region[], options: MeasureOptions = {}): Promise<Record<string, number>> {
  const latencies: Record<string, number> = {};
  await Promise.all(
    regions.map(async (region) => {
      const took = region.http === undefined ? undefined : await median(region.http, options);
      if (took !== undefined) {
        latencies[region.name] = Math.min(Math.round(took), longest);
      }
    }),
  );
  options.signal?.throwIfAborted();
  return latencies;
}

/** A beacon that has lost two answers is not asked on. */
async function median(url: string, { samples = 5, timeout = 1000, signal }: MeasureOptions): Promise<number | undefined> {
  const took: number[] = [];
  for (let i = 0, lost = 0; i <= samples && lost < 2 && !signal?.aborted; i++) {
    const elapsed = await ping(url, timeout, signal);
    if (elapsed === undefined) {
      lost++;
    } else if (i > 0) {
      took.push(elapsed);
    }
  }
  return took.sort((a, b) => a - b)[Math.floor(took.length / 2)];
}

/** Returns how long one answer has taken, unless there was none. */
async function ping(url: string, timeout: number, signal?: AbortSignal): Promise<number | undefined> {
  const late = new AbortController();
  const abort = () => late.abort();
  signal?.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(abort, timeout);
  try {
    const begin = performance.now();
    const answer = await fetch(url, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", signal: late.signal });
    const elapsed = performance.now() - begin;
    await answer.body?.cancel();
    return answer.status === 204 ? elapsed : undefined;
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
