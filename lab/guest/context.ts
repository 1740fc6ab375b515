/** Makes what a case is given, and takes it back when the case has ended. @module */
import { decodeHex, encodeHex } from "../hex.ts";
import { join } from "../path.ts";
import type { GuestContext } from "./case.ts";
import { ImporterControl } from "./importer.ts";
import type { KernelMessages } from "./kernel_messages.ts";
import { run, Running } from "./process.ts";
import { type Devices, PROGRAMS, vfioNode } from "./setup.ts";

/** What stays the same over all cases. */
export interface Guest {
  readonly devices: Devices;
  readonly checkout: string;
  readonly exchange: string;
  readonly kernelLog: KernelMessages;
  readonly long?: { readonly seed: number };
  log(text: string): void;
}

/** A context, and how to take it back. */
export interface OpenContext {
  readonly context: GuestContext;
  /** Runs what was deferred and kills what was started. */
  close(): Promise<void>;
}

const SCRATCH = "/run/bargate-lab/scratch";

/**
 * @param guest what stays the same
 * @returns a fresh context
 */
export async function openContext(guest: Guest): Promise<OpenContext> {
  const deferred: (() => void | Promise<void>)[] = [];
  const scratch = await freshScratch();
  const logStart = await guest.kernelLog.mark();
  const defer = (what: () => void | Promise<void>) => {
    deferred.push(what);
  };
  return {
    context: { ...guest, ...programs(guest.checkout, scratch, defer), scratch, logStart, defer },
    close: async () => {
      // One that fails must not keep the others from being run: the next case relies on them.
      const failures: unknown[] = [];
      for (const work of deferred.splice(0).reverse()) {
        for (const end of await Promise.allSettled([(async () => await work())()])) {
          if (end.status === "rejected") failures.push(end.reason);
        }
      }
      if (failures.length > 0) throw new AggregateError(failures, "What was started did not end");
    },
  };
}

async function freshScratch(): Promise<string> {
  await Deno.mkdir(SCRATCH, { recursive: true });
  const scratch = await Deno.makeTempDir({ dir: SCRATCH });
  await Deno.chmod(scratch, 0o777);
  return scratch;
}

type Programs = Pick<
  GuestContext,
  | "program"
  | "vfioNode"
  | "run"
  | "start"
  | "bargate"
  | "startBargate"
  | "importer"
  | "readBar"
  | "writeBar"
>;

function programs(checkout: string, scratch: string, defer: GuestContext["defer"]): Programs {
  const start: Programs["start"] = (command, options) => {
    const running = new Running(command, options);
    defer(async () => {
      running.kill();
      await running.exited(10_000);
    });
    return running;
  };
  let importers = 0;
  return {
    program,
    vfioNode,
    run,
    start,
    bargate: (args, options) => run(bargateCommand(checkout, args), options),
    startBargate: (args, options) => start(bargateCommand(checkout, args), options),
    importer: () => {
      const control = new ImporterControl(scratch, ++importers);
      defer(() => control.close());
      return control;
    },
    readBar,
    writeBar,
  };
}

function program(name: string): string {
  return join(PROGRAMS, name);
}

function bargateCommand(checkout: string, args: readonly string[]): readonly string[] {
  const main = join(checkout, "cmd/main.ts");
  return [Deno.execPath(), "run", "-A", "--cached-only", main, ...args];
}

async function readBar(
  address: string,
  bar: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  return decodeHex((await runBar([address, `${bar}`, "read", `${offset}`, `${length}`])).trim());
}

async function writeBar(
  address: string,
  bar: number,
  offset: number,
  bytes: Uint8Array,
): Promise<void> {
  await runBar([address, `${bar}`, "write", `${offset}`, encodeHex(bytes)]);
}

async function runBar(args: readonly string[]): Promise<string> {
  const ran = await run([program("bar"), ...args]);
  if (ran.status !== 0) throw new Error(`Cannot reach the BAR (${args.join(" ")}): ${ran.stderr}`);
  return ran.stdout;
}
