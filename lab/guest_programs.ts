/** Compiles the C programs that run in the guest. @module */
import { exec } from "./exec.ts";
import { textHash } from "./file_hash.ts";
import { LabError } from "./lab_error.ts";
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
const COMPILE_LIMIT_MS = 5 * 60_000;

/**
 * Compiles against the laboratory kernel's own headers, unless that was done before.
 *
 * @param headers the kernel's user-space headers
 * @param cache the laboratory's cache folder
 * @returns paths of the programs
 * @throws LabError when the headers are not known or the compiler fails
 */
export async function compileGuestPrograms(
  headers: string | undefined,
  cache: string,
): Promise<readonly string[]> {
  const known = requireHeaders(headers);
  const folder = join(cache, "programs", await key(known));
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, sources] of Object.entries(PROGRAMS)) {
    await compileOnce(join(folder, name), sources.map(sourcePath), known);
  }
  return Object.keys(PROGRAMS).map((name) => join(folder, name));
}

/**
 * @param headers the kernel's user-space headers, where they are known
 * @returns them
 * @throws LabError when they are not
 */
export function requireHeaders(headers: string | undefined): string {
  if (headers !== undefined) return headers;
  throw new LabError("Cannot compile the guest's programs: no headers of the kernel are known", {
    fix: "name the folder that `make headers_install` made, with --headers DIR",
  });
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

async function compileOnce(
  program: string,
  sources: readonly string[],
  headers: string,
): Promise<void> {
  if (await isThere(program)) return;
  await compileC(program, sources, headers);
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
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
