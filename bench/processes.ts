/**
 * Whole processes: from the start to the exit.
 *
 * @module
 */
import { median } from "./median.ts";

/** A command to time. */
export interface Timed {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  /** What it must exit with; another status is no figure. */
  readonly status?: number;
}

/**
 * Times commands in turns, so that what else the machine does hits all alike.
 *
 * @param runs of each
 * @returns milliseconds by name, medians
 */
export async function timeProcesses(
  commands: readonly Timed[],
  runs: number,
): Promise<ReadonlyMap<string, number>> {
  const times = new Map(commands.map(({ name }) => [name, [] as number[]]));
  for (let run = 0; run < runs; run++) {
    for (const one of commands) times.get(one.name)?.push(await timeOne(one));
  }
  return new Map([...times].map(([name, values]) => [name, median(values)]));
}

async function timeOne({ name, command: [program, ...args], status = 0 }: Timed): Promise<number> {
  const start = performance.now();
  const { code } = await new Deno.Command(program, { args, stdout: "null", stderr: "null" })
    .output();
  const took = performance.now() - start;
  if (code !== status) throw new Error(`Cannot time ${name}: it exits with ${code}`);
  return took;
}
