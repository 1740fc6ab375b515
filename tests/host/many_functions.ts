/**
 * Measures what a snapshot file of a million functions costs: time and peak memory, for sound files
 * and for hostile ones, at two sizes each, so that anything worse than linear shows.
 *
 * Run: `deno run -A tests/host/many_functions.ts`
 *
 * @module
 */
import { parseSnapshot } from "../../host/parse_snapshot.ts";

const HEAD =
  `{"apiVersion":"bargate/v1","kind":"HostSnapshot","kernel":{"release":"7.3.4"},"pageSize":4096,"iommu":[],"functions":[`;
const CONFIG = "ffff".padEnd(128, "0");

/** A function as short as it can be, with a BAR. */
function sound(index: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const [domain, rest] = [Math.floor(index / 65536), index % 65536];
  const address = `${hex(domain, 4)}:${hex(rest >> 8, 2)}:${hex((rest >> 3) & 31, 2)}.${rest & 7}`;
  return `{"address":"${address}","vendor":"8086","device":"1234","class":"010802","parent":"pci0000:00","resetMethods":[],"config":"${CONFIG}","bars":[{"index":0,"kind":"memory32","start":"0x${
    ((index + 1) * 4096).toString(16)
  }","size":"0x1000","flags":[]}],"unreadable":[]}`;
}

const SHAPES: Readonly<Record<string, (count: number) => string[]>> = {
  "sound functions": (count) => Array.from({ length: count }, (_, index) => sound(index)),
  "every BAR overlaps": (count) =>
    Array.from(
      { length: count },
      (_, index) =>
        sound(index).replace(/"start":"0x[0-9a-f]+"/, '"start":"0x1000"').replace(
          /"0000:/,
          '"0000:',
        ),
    ),
  "one function again and again": (count) => Array.from({ length: count }, () => sound(0)),
  "one chain of parents": (count) =>
    Array.from({ length: count }, (_, index) => {
      const above = index === 0 ? "pci0000:00" : /"address":"([^"]+)"/.exec(sound(index - 1))?.[1];
      return sound(index).replace("pci0000:00", above ?? "");
    }),
  "empty objects": (count) => Array.from({ length: count }, () => "{}"),
  "unknown keys in one function": (count) => [`{${'"a":1,'.repeat(count * 10)}"b":2}`],
};

async function measureOne(shape: string, count: number): Promise<void> {
  const encoder = new TextEncoder();
  const parts = SHAPES[shape]?.(count) ?? [];
  const chunks: Uint8Array[] = [encoder.encode(HEAD)];
  for (let at = 0; at < parts.length; at += 1000) {
    const last = at + 1000 >= parts.length;
    chunks.push(encoder.encode(parts.slice(at, at + 1000).join(",") + (last ? "]}" : ",")));
  }
  parts.length = 0;
  const bytes = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
  chunks.length = 0;
  const before = peak();
  const started = performance.now();
  const { snapshot, problems } = parseSnapshot(bytes);
  const ms = performance.now() - started;
  console.log(JSON.stringify({
    shape,
    count,
    MiB: Math.round(bytes.length / 2 ** 20),
    ms: Math.round(ms),
    peakMiBMore: peak() - before,
    functions: snapshot?.functions.length ?? 0,
    problems: problems.length,
    last: problems.at(-1)?.message.slice(0, 60),
  }));
}

/** MiB that the process had at most. */
function peak(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

if (Deno.args[0] !== undefined) {
  await measureOne(Deno.args[0], Number(Deno.args[1]));
} else {
  for (const shape of Object.keys(SHAPES)) {
    for (const count of [250_000, 1_000_000]) {
      const script = new URL(import.meta.url).pathname;
      const args = ["run", "-A", "--v8-flags=--max-old-space-size=8192", script, shape, `${count}`];
      const child = await new Deno.Command(Deno.execPath(), { args, stdout: "inherit" }).output();
      if (!child.success) Deno.exit(1);
    }
  }
}
