/** What a boot needs, found and ready. @module */
import { requireSpace, ROOM_FOR_TEMPORARY } from "./disk_space.ts";
import { exec } from "./exec.ts";
import { temporaryFolder } from "./folders.ts";
import { LabError } from "./lab_error.ts";
import { dirname, join } from "./path.ts";
import { checkoutFolder } from "./places.ts";
import type { GuestProgram } from "./machine/init_script.ts";
import type { OtherProcessor } from "./machine/command_line.ts";
import type { VmOptions } from "./machine/vm.ts";
import { type GuestPlan, PLAN_FILE } from "./protocol/message.ts";

/** What a boot needs. */
export interface MachineParts {
  readonly kernel: string;
  readonly qemu: string;
  readonly busybox: string;
  /** Compiled programs for the guest. */
  readonly programs: readonly string[];
  /** Where Deno keeps modules, warmed with the checkout's. */
  readonly denoDir: string;
}

/** The first time, modules are fetched. */
const CACHE_LIMIT_MS = 10 * 60_000;
const INFO_LIMIT_MS = 60_000;

/** The guest's programs, two logs, and what cases leave behind. */
const EXCHANGE_BYTES = 64 * 2 ** 20;

/** Folders that the guest mounts something of its own over. */
const HIDDEN_IN_GUEST = ["/run/", "/dev/", "/proc/", "/sys/"];

/**
 * Loads the checkout's modules and their dependencies into Deno's cache: the guest has no network.
 *
 * @returns the cache's folder
 * @throws LabError when Deno fails, or does not end in time
 */
export async function warmDenoCache(): Promise<string> {
  const checkout = checkoutFolder();
  const modules = ["cmd/main.ts", "lab/guest/runner.ts"].map((path) => join(checkout, path));
  const dynamic = await Promise.all(
    ["cmd", "lab/cases", "lab/stories"].map((folder) => modulesIn(join(checkout, folder))),
  );
  await deno(["cache", "--quiet", ...modules, ...dynamic.flat()], CACHE_LIMIT_MS);
  const info: { denoDir: string } = JSON.parse(await deno(["info", "--json"], INFO_LIMIT_MS));
  return info.denoDir;
}

async function modulesIn(folder: string): Promise<readonly string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.filter((entry) => entry.isFile && entry.name.endsWith(".ts"))
    .map((entry) => join(folder, entry.name)).sort();
}

async function deno(args: readonly string[], limitMs: number): Promise<string> {
  return await exec(`prepare the guest's modules (deno ${args[0]})`, [Deno.execPath(), ...args], {
    limitMs,
    folder: checkoutFolder(),
    environment: { NO_COLOR: "1" },
  });
}

/**
 * @param plan what the guest shall do
 * @param programs compiled programs for the guest
 * @returns a fresh exchange folder
 * @throws LabError when there is no place or no space for one
 */
export async function prepareExchange(
  plan: GuestPlan,
  programs: readonly string[],
): Promise<string> {
  const exchange = await temporaryFolder("bargate-lab-run-");
  try {
    requireSpace(exchange, EXCHANGE_BYTES, "run the guest", ROOM_FOR_TEMPORARY);
  } catch (error) {
    await Deno.remove(exchange);
    throw error;
  }
  await Deno.writeTextFile(join(exchange, PLAN_FILE), JSON.stringify(plan));
  await Deno.mkdir(join(exchange, "bin"));
  for (const program of programs) {
    await Deno.copyFile(program, join(exchange, "bin", program.split("/").at(-1) ?? program));
  }
  return exchange;
}

/**
 * @param parts what a boot needs
 * @param exchange the exchange folder
 * @param program what the guest runs
 * @param processor absent: the usual one
 * @returns the machine's options
 * @throws LabError when the guest could not see what it needs
 */
export function vmOptions(
  parts: MachineParts,
  exchange: string,
  program: Pick<GuestProgram, "command" | "terminal">,
  processor?: OtherProcessor,
): VmOptions {
  const folder = checkoutFolder();
  for (const needed of [folder, parts.denoDir, Deno.execPath()]) refuseHidden(needed);
  const environment = {
    HOME: Deno.env.get("HOME") ?? "/root",
    PATH: `${
      dirname(Deno.execPath())
    }:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    DENO_DIR: parts.denoDir,
    DENO_NO_UPDATE_CHECK: "1",
    ...(program.terminal === "console" ? { NO_COLOR: "1" } : { TERM: "xterm" }),
  };
  const { kernel, qemu, busybox } = parts;
  return {
    kernel,
    qemu,
    busybox,
    exchange,
    program: { ...program, folder, environment },
    ...(processor !== undefined && { processor }),
  };
}

function refuseHidden(path: string): void {
  if (!HIDDEN_IN_GUEST.some((hidden) => path.startsWith(hidden))) return;
  throw new LabError(`Cannot show ${path} to the guest: it mounts file systems of its own there`, {
    fix: "use a checkout and a Deno outside /run, /dev, /proc and /sys",
  });
}

/** @returns the guest's program that runs cases and stories */
export function runnerProgram(): Pick<GuestProgram, "command" | "terminal"> {
  const runner = join(checkoutFolder(), "lab/guest/runner.ts");
  return {
    command: [Deno.execPath(), "run", "-A", "--cached-only", "--quiet", runner],
    terminal: "console",
  };
}
