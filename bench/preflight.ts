/**
 * `bargate preflight` of one policy against a fleet.
 *
 * @module
 */
import { fleetPolicy, hostText } from "./fleet.ts";

const MAIN = new URL("../cmd/main.ts", import.meta.url).pathname;
const [RULES, HOSTS, FUNCTIONS] = [1000, 200, 256];

/** What one run took. */
export interface PreflightRun {
  readonly what: string;
  readonly seconds: number;
  /** Most memory at any time, bytes. */
  readonly peak: number;
}

/**
 * Looks at 200 hosts of 256 functions each, as a process of its own.
 *
 * @param folder for the files
 */
export async function benchPreflight(folder: string): Promise<PreflightRun> {
  const policy = `${folder}/fleet.yaml`;
  await Deno.writeTextFile(policy, fleetPolicy(RULES, FUNCTIONS));
  const text = hostText(FUNCTIONS);
  const files = Array.from({ length: HOSTS }, (_, index) => `${folder}/host-${index}.json`);
  for (const file of files) await Deno.writeTextFile(file, text);
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-read",
      MAIN,
      "preflight",
      policy,
      "--format",
      "json",
      ...files.flatMap((file) => ["--inventory", file]),
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const peak = watchPeak(child.pid);
  const { success, stdout } = await child.output();
  const seconds = (performance.now() - started) / 1000;
  const { summary } = JSON.parse(new TextDecoder().decode(stdout));
  if (!success || summary.ready !== HOSTS) throw new Error(`Cannot bench: ${summary.ready} ready`);
  const what = `${RULES} rules, ${HOSTS} hosts of ${FUNCTIONS} functions, ${
    Math.round(text.length * HOSTS / 2 ** 20)
  } MiB`;
  return { what, seconds, peak: peak() };
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
