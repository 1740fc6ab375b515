/**
 * Measures what a snapshot file of a million functions costs: time and peak memory, for sound files
 * and for hostile ones, at two sizes each, so that anything worse than linear shows.
 *
 * Run: `deno run -A tests/host/many_functions.ts`
 *
 * @module
 */
import process from "node:process";
import { parseSnapshot } from "../../host/parse_snapshot.ts";

const HEAD =
  `{"apiVersion":"bargate/v1","kind":"HostSnapshot","kernel":{"release":"7.3.4"},"pageSize":4096,"iommu":[],"functions":[`;
const CONFIG = "ffff".padEnd(128, "0");

function addressOf(index: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const [domain, rest] = [Math.floor(index / 65536), index % 65536];
  return `${hex(domain, 4)}:${hex(rest >> 8, 2)}:${hex((rest >> 3) & 31, 2)}.${rest & 7}`;
}

/** A function as short as it can be, with a BAR. */
function sound(index: number): string {
  return `{"address":"${
    addressOf(index)
  }","vendor":"8086","device":"1234","class":"010802","parent":"pci0000:00","resetMethods":[],"config":"${CONFIG}","bars":[{"index":0,"kind":"memory32","start":"0x${
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
    Array.from(
      { length: count },
      (_, index) =>
        sound(index).replace("pci0000:00", index === 0 ? "pci0000:00" : addressOf(index - 1)),
    ),
  "empty objects": (count) => Array.from({ length: count }, () => "{}"),
  "unknown keys in one function": (count) => [`{${'"a":1,'.repeat(count * 10)}"b":2}`],
};

/** Writes a file of the shape, in parts: the whole would not fit into one string. */
function write(path: string, shape: string, count: number): void {
  using file = Deno.openSync(path, { write: true, truncate: true });
  const encoder = new TextEncoder();
  const parts = SHAPES[shape]?.(count) ?? [];
  file.writeSync(encoder.encode(HEAD));
  for (let at = 0; at < parts.length; at += 1000) {
    const last = at + 1000 >= parts.length;
    const piece = encoder.encode(parts.slice(at, at + 1000).join(",") + (last ? "]}" : ","));
    for (let rest = piece; rest.length > 0;) rest = rest.subarray(file.writeSync(rest));
  }
}

/** Reads a file in this process, which has done nothing else. */
function measure(path: string): void {
  const bytes = Deno.readFileSync(path);
  const started = process.cpuUsage();
  const { snapshot, problems } = parseSnapshot(bytes);
  const { user, system } = process.cpuUsage(started);
  console.log(JSON.stringify({
    fileMiB: Math.round(bytes.length / 2 ** 20),
    // Of the processor, all threads: the machine may have other things to do.
    cpuMs: Math.round((user + system) / 1000),
    peakMiB: peak(),
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

async function measureAll(): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "bargate-many-" });
  try {
    for (const shape of Object.keys(SHAPES)) {
      for (const count of [250_000, 1_000_000]) {
        write(path, shape, count);
        console.log(`${shape}, ${count}:`);
        const script = new URL(import.meta.url).pathname;
        const args = ["run", "-A", "--v8-flags=--max-old-space-size=8192", script, path];
        await new Deno.Command(Deno.execPath(), { args, stdout: "inherit" }).output();
      }
    }
  } finally {
    await Deno.remove(path);
  }
}

const [file] = Deno.args;
if (file === undefined) await measureAll();
else measure(file);
