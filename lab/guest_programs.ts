/** Compiles the C programs that run in the guest. @module */
import { requireSpace } from "./disk_space.ts";
import { exec } from "./exec.ts";
import { textHash } from "./file_hash.ts";
import { usableFolder } from "./folders.ts";
import { join } from "./path.ts";
import { checkoutFolder } from "./places.ts";

/** Each program and the sources it consists of, from `lab/guest/` on. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  importer: [
    "importer.c",
    "answer.c",
    "channel.c",
    "edu.c",
    "named_fds.c",
    "owner.c",
    "words.c",
  ],
  bar: ["bar.c"],
  peer_read: ["peer_read.c"],
  raw: ["raw.c"],
  export_bench: ["export_bench.c"],
  lender: ["../../examples/clients/lender.c"],
  receiver: ["../../examples/clients/receiver.c"],
};

const FLAGS = ["-O2", "-Wall", "-Wextra", "-static"];
/** They are linked statically. */
const PROGRAMS_BYTES = 64 * 2 ** 20;
const COMPILE_LIMIT_MS = 5 * 60_000;

/**
 * Compiles against the laboratory kernel's own headers, unless that was done before.
 *
 * @param headers the kernel's user-space headers
 * @param cache the laboratory's cache folder
 * @returns paths of the programs
 * @throws LabError when there is no place for them or the compiler fails
 */
export async function compileGuestPrograms(
  headers: string,
  cache: string,
): Promise<readonly string[]> {
  const folder = join(cache, "programs", await key(headers));
  const missing = await missingPrograms(folder);
  if (missing.length > 0) await prepareFolder(folder);
  for (const [name, sources] of missing) {
    await compileC(join(folder, name), sources.map(sourcePath), headers);
  }
  return Object.keys(PROGRAMS).map((name) => join(folder, name));
}

async function prepareFolder(folder: string): Promise<void> {
  const what = "compile the guest's programs";
  await usableFolder(folder, what);
  requireSpace(folder, PROGRAMS_BYTES, what);
}

function sourcePath(name: string): string {
  return join(checkoutFolder(), "lab/guest", name);
}

/** The sources, the flags, and the headers by the two files that matter here. */
async function key(headers: string): Promise<string> {
  const folder = join(checkoutFolder(), "lab/guest");
  const headersHere = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name)
    .filter((name) => name.endsWith(".h"));
  const names = [...new Set([...headersHere, ...Object.values(PROGRAMS).flat()])].sort()
    .map(sourcePath);
  const uapi = ["linux/vfio.h", "linux/iommufd.h"].map((name) => join(headers, name));
  const texts = await Promise.all([...names, ...uapi].map((path) => Deno.readTextFile(path)));
  return textHash(...FLAGS, ...texts).slice(0, 16);
}

async function missingPrograms(
  folder: string,
): Promise<readonly (readonly [string, readonly string[]])[]> {
  const all = Object.entries(PROGRAMS);
  const there = await Promise.all(all.map(([name]) => isThere(join(folder, name))));
  return all.filter((_, index) => there[index] !== true);
}

/**
 * @param program path of the result, which appears whole or not at all
 * @param sources C files
 * @param headers the kernel's user-space headers
 */
export async function compileC(
  program: string,
  sources: readonly string[],
  headers: string,
): Promise<void> {
  const partial = `${program}.${Deno.pid}`;
  await exec(
    `compile ${sources[0] ?? program}`,
    ["gcc", ...FLAGS, "-isystem", headers, "-o", partial, ...sources],
    { limitMs: COMPILE_LIMIT_MS },
  );
  await Deno.rename(partial, program);
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}
