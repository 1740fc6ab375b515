/**
 * What hosts of many functions cost each verb that takes a snapshot: time and peak memory, at sizes of
 * which each is four times the one before, so that anything worse than linear shows. Fails if a verb
 * ends by a signal, with a stack trace, or with a status that a file cannot cause.
 *
 * Run: `deno run -A tests/cmd/large_hosts.ts [PART OF A SHAPE [PART OF A VERB [SIZES]]]`
 *
 * @module
 */
import { ExitStatus } from "../../cmd/exit_status.ts";
import { IMPOSSIBLE, type Shape, SOUND, writeLargeHost } from "../support/large_hosts.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Another checkout's, to compare with. */
const MAIN = Deno.env.get("BARGATE_MAIN") ?? `${ROOT}cmd/main.ts`;
const POLICY = `${ROOT}examples/policies/cmb-to-edu.yaml`;
/** Nothing takes so long, but what never ends. */
const LIMIT_MS = 300_000;
/** Of four times as many functions; squares would be sixteen times as much. */
const MOST_GROWTH = 8;
/** Less than this is mostly what any run costs, seconds and MiB. */
const NOT_COUNTED = { cpuSeconds: 1, peakMiB: 150 };
/** Clock ticks of a second, in `/proc` (USER_HZ, the same everywhere). */
const TICKS = 100;
const SIZES = "5000,20000";

/** Exports from all that a shape has. */
const MANY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: many }
devices:
  all: { match: { id: "8086:1234", driver: vfio-pci }, many: true }
importers:
  importer: { identity: { user: nobody }, driver: iommufd }
exports:
  - { name: page, device: all, bar: 0, slices: [{ offset: 0, length: 4KiB }], importers: [importer] }
`;

const EXPLAINED = ["--device", "cmb-ssd", "--bar", "2", "--offset", "4096", "--length", "4096"];

/** Arguments by what a verb is asked; `many` is the policy above. */
const VERBS: Readonly<Record<string, (host: string, many: string) => readonly string[]>> = {
  "plan --inventory": (host) => ["plan", "--inventory", host, POLICY],
  "plan --sim": (host) => ["plan", "--sim", host, POLICY],
  "plan of all, json": (host, many) => ["plan", "--format", "json", "--inventory", host, many],
  "plan of all": (host, many) => ["plan", "--sim", host, many],
  "preflight --inventory": (host) => ["preflight", "--inventory", host, POLICY],
  "preflight --sim": (host) => ["preflight", "--sim", host, POLICY],
  "preflight of all": (host, many) => ["preflight", "--inventory", host, many],
  "init --inventory": (host) => ["init", "--inventory", host],
  "init --sim": (host) => ["init", "--sim", host],
  "inventory take": (host) => ["inventory", "take", "--sim", host],
  "inventory take --format json": (
    host,
  ) => ["inventory", "take", "--format", "json", "--sim", host],
  "inventory take --redact": (host) => [
    ...["inventory", "take", "--redact", "--format", "json", "--sim", host],
  ],
  "inventory take --owners": (host) => ["inventory", "take", "--owners", "--sim", host],
  "inventory take --matrix": (host) => ["inventory", "take", "--matrix", "--sim", host],
  "inventory diff": (host) => ["inventory", "diff", `${ROOT}examples/hosts/laboratory.json`, host],
  "explain": (host) => ["explain", "EPERM", POLICY, "--inventory", host, ...EXPLAINED],
  "export --sim": (host) => ["export", "--sim", host, POLICY, "--exec", "--", "/bin/true"],
};

interface Measured {
  readonly status: number;
  readonly signal: string | null;
  readonly seconds: number;
  /** Of the processor: the machine may have other things to do. */
  readonly cpuSeconds: number;
  readonly peakMiB: number;
  readonly output: number;
  readonly said: string;
}

/** Output goes to files: a pipe would be a part of what is measured. */
async function measure(folder: string, args: readonly string[]): Promise<Measured> {
  const [out, err] = [`${folder}/stdout`, `${folder}/stderr`];
  const script = `exec "$@" >'${out}' 2>'${err}' </dev/null`;
  const run = [Deno.execPath(), "run", "-A", "--no-prompt", MAIN, ...args];
  const started = performance.now();
  const child = new Deno.Command("sh", { args: ["-c", script, "sh", ...run] }).spawn();
  let [peakMiB, cpuSeconds] = [0, 0];
  const look = setInterval(() => {
    peakMiB = Math.max(peakMiB, peakOf(child.pid));
    cpuSeconds = Math.max(cpuSeconds, cpuOf(child.pid));
  }, 20);
  const limit = setTimeout(() => kill(child), LIMIT_MS);
  const { code: status, signal } = await child.status;
  clearInterval(look);
  clearTimeout(limit);
  return {
    status,
    signal,
    seconds: Math.round(performance.now() - started) / 1000,
    cpuSeconds,
    peakMiB,
    output: Deno.statSync(out).size,
    said: Deno.readTextFileSync(err),
  };
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It has ended just now.
    if (!(error instanceof TypeError)) throw error;
  }
}

/** MiB that a process had at most until now. */
function peakOf(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(procText(pid, "status"))?.[1] ?? 0) / 1024);
}

/** Seconds of the processor that a process has used until now; `proc(5)`, fields 14 and 15. */
function cpuOf(pid: number): number {
  // The name, which is the second field, may have spaces.
  const [user, system] = procText(pid, "stat").replace(/^.*\) /, "").split(" ").slice(11, 13);
  return (Number(user ?? 0) + Number(system ?? 0)) / TICKS;
}

function procText(pid: number, name: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** Undefined: it ended as it should. */
function wrong({ status, signal, said }: Measured, sound: boolean): string | undefined {
  if (signal !== null) return `it ended by ${signal}`;
  const trace = /^ +at .*$|stack trace|call stack|out of memory/im.exec(said)?.[0];
  if (trace !== undefined) return trace;
  if (sound) return status === ExitStatus.usage ? "it is called in a wrong way" : undefined;
  if (status === ExitStatus.hostNotReady) return undefined;
  return `a host that cannot be gives status ${status}`;
}

/** Undefined: no worse than linear, as far as two sizes tell. */
function growthOf(before: Measured | undefined, now: Measured): string | undefined {
  if (before === undefined) return undefined;
  for (const [what, least] of Object.entries(NOT_COUNTED) as ["cpuSeconds" | "peakMiB", number][]) {
    const growth = now[what] / Math.max(before[what], least);
    if (growth > MOST_GROWTH) return `${what} grew ${growth.toFixed(1)} times`;
  }
  return undefined;
}

async function measureShape(name: string, shape: Shape, verb: string, sizes: readonly number[]) {
  const folder = await Deno.makeTempDir({ prefix: "bargate-large-" });
  const before = new Map<string, Measured>();
  let failed = false;
  try {
    const [host, many] = [`${folder}/host.json`, `${folder}/many.yaml`];
    await Deno.writeTextFile(many, MANY);
    for (const size of sizes) {
      writeLargeHost(host, shape(size));
      const bytes = Deno.statSync(host).size;
      console.log(`${name}, ${size} functions, ${(bytes / 2 ** 20).toFixed(1)} MiB:`);
      for (const [what, args] of Object.entries(VERBS).filter(([what]) => what.includes(verb))) {
        const found = await measure(folder, args(host, many));
        const why = wrong(found, name in SOUND) ?? growthOf(before.get(what), found);
        before.set(what, found);
        failed ||= why !== undefined;
        const { status, seconds, cpuSeconds, peakMiB, output } = found;
        const end = why === undefined ? "" : `: WRONG: ${why}: ${found.said.slice(0, 300)}`;
        console.log(
          `  ${what}: status ${status}, ${seconds} s (${cpuSeconds} s of the processor), ${peakMiB} MiB, ${output} bytes written${end}`,
        );
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return failed;
}

const [wanted = "", verb = "", sizes = SIZES] = Deno.args;
let failed = false;
for (const [name, shape] of Object.entries({ ...SOUND, ...IMPOSSIBLE })) {
  if (!name.includes(wanted)) continue;
  if (await measureShape(name, shape, verb, sizes.split(",").map(Number))) failed = true;
}
if (failed) Deno.exit(1);
