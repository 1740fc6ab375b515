/**
 * `bargate preflight` of one policy against a fleet.
 *
 * @module
 */
import { ownFile } from "../cmd/own_file.ts";
import { fleetPolicy, hostText } from "./fleet.ts";
import { median } from "./median.ts";

const MAIN = ownFile("cmd/main.ts");
const [RULES, HOSTS, FUNCTIONS] = [1000, 200, 256];
const RUNS = 3;

/** What the runs took. */
export interface PreflightRuns {
  readonly what: string;
  /** Median. */
  readonly seconds: number;
  /** Most memory at any time of any run, bytes. */
  readonly peak: number;
}

/**
 * Looks at 200 hosts of 256 functions each, each time as a process of its own. No two hosts have the
 * same serial numbers and addresses.
 *
 * @param folder for the files
 */
export async function benchPreflight(folder: string): Promise<PreflightRuns> {
  const policy = `${folder}/fleet.yaml`;
  await Deno.writeTextFile(policy, fleetPolicy(RULES, FUNCTIONS));
  const files = Array.from({ length: HOSTS }, (_, index) => `${folder}/host-${index}.json`);
  let bytes = 0;
  for (const [index, file] of files.entries()) {
    const text = hostText(FUNCTIONS, index);
    bytes += text.length;
    await Deno.writeTextFile(file, text);
  }
  const runs: Run[] = [];
  for (let run = 0; run < RUNS; run++) runs.push(await runOnce(policy, files));
  return {
    what: `${RULES} rules, ${HOSTS} hosts of ${FUNCTIONS} functions, ${
      Math.round(bytes / 2 ** 20)
    } MiB`,
    seconds: median(runs.map(({ seconds }) => seconds)),
    peak: Math.max(...runs.map(({ peak }) => peak)),
  };
}

interface Run {
  readonly seconds: number;
  readonly peak: number;
}

async function runOnce(policy: string, files: readonly string[]): Promise<Run> {
  const inventories = files.flatMap((file) => ["--inventory", file]);
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-read", MAIN, "preflight", policy, "--format", "json", ...inventories],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const peak = watchPeak(child.pid);
  const { success, stdout } = await child.output();
  const seconds = (performance.now() - started) / 1000;
  const { summary } = JSON.parse(new TextDecoder().decode(stdout));
  if (!success || summary.ready !== HOSTS) throw new Error(`Cannot bench: ${summary.ready} ready`);
  return { seconds, peak: peak() };
}

/** Looks from time to time: when the process has ended its figures are gone. */
function watchPeak(pid: number): () => number {
  let peak = 0;
  const look = () => {
    try {
      const status = Deno.readTextFileSync(`/proc/${pid}/status`);
      peak = Math.max(peak, 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  const timer = setInterval(look, 20);
  return () => {
    clearInterval(timer);
    return peak;
  };
}
