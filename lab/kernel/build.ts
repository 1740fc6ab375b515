/** Builds the laboratory's kernel from the source package. @module */
import { requireSpace } from "../disk_space.ts";
import { exec } from "../exec.ts";
import { fileHash, textHash } from "../file_hash.ts";
import { LabError } from "../lab_error.ts";
import { dirname, join } from "../path.ts";
import type { LabOutput } from "../output.ts";
import type { SourcePackage } from "./apt_source.ts";
import { buildFraction, isBuildStep } from "./build_progress.ts";
import { type BuiltRecord, CACHED } from "./cache.ts";
import { lostOptions, parseOptions } from "./fragment.ts";
import { exists } from "../exists.ts";

/** The unpacked source with its objects, and some air. */
export const TREE_BYTES = 3 * 2 ** 30;

const UNPACK_LIMIT_MS = 15 * 60_000;
const CONFIG_LIMIT_MS = 10 * 60_000;
const BUILD_LIMIT_MS = 75 * 60_000;

/** A build: all that decides about its result, and where it happens. */
export interface Build {
  readonly source: SourcePackage;
  /** Text of the options. */
  readonly fragment: string;
  /** Work folder; an interrupted build goes on in it. */
  readonly work: string;
  /** Appears, whole, when the build has succeeded. */
  readonly destination: string;
}

/**
 * Unpacks, configures, builds, and puts the result in its place. Each step is skipped that an
 * earlier, interrupted run has finished.
 *
 * @param build what and where
 * @param output where to say what happens
 * @throws LabError when a step fails, or when the kernel does not take an option
 */
export async function buildKernel(build: Build, output: LabOutput): Promise<void> {
  await Deno.mkdir(build.work, { recursive: true });
  const tree = join(build.work, "tree");
  await unpack(build, tree, output);
  await configure(build, tree, output);
  await make(build.work, tree, output);
  await put(build, tree);
  await Deno.remove(build.work, { recursive: true });
}

async function unpack(build: Build, tree: string, output: LabOutput): Promise<void> {
  if (await exists(tree)) return;
  requireSpace(build.work, TREE_BYTES, "build the kernel");
  output.line(`Unpacking ${build.source.name}`);
  const partial = join(build.work, "unpacking");
  await removeIfThere(partial);
  await exec("unpack the package", ["dpkg-deb", "-x", build.source.path, partial], {
    limitMs: UNPACK_LIMIT_MS,
  });
  const archive = join(partial, "usr/src", `${build.source.name}.tar.xz`);
  await exec("unpack the source", ["tar", "-xJf", archive, "-C", partial], {
    limitMs: UNPACK_LIMIT_MS,
  });
  await Deno.rename(join(partial, build.source.name), tree);
  await Deno.remove(partial, { recursive: true });
}

/** Writes the configuration only where it differs: its date decides what is built again. */
async function configure(build: Build, tree: string, output: LabOutput): Promise<void> {
  const config = join(tree, ".config");
  const stamp = join(build.work, "configured");
  if (await exists(stamp)) return;
  output.line("Configuring the kernel");
  await exec("configure the kernel", ["make", "-C", tree, "allnoconfig"], {
    limitMs: CONFIG_LIMIT_MS,
  });
  await Deno.writeTextFile(config, `\n${build.fragment}\n`, { append: true });
  await exec("configure the kernel", ["make", "-C", tree, "olddefconfig"], {
    limitMs: CONFIG_LIMIT_MS,
  });
  checkOptions(build.fragment, await Deno.readTextFile(config));
  await Deno.writeTextFile(stamp, "");
}

function checkOptions(fragment: string, config: string): void {
  const lost = lostOptions(parseOptions(fragment), parseOptions(config));
  if (lost.length === 0) return;
  throw new LabError("Cannot configure the kernel: it does not take every option of the fragment", {
    fix: "look up in its Kconfig what these depend on now, and correct lab/kernel/config.fragment",
    tail: lost.map(({ option, wanted, got }) => `${option}: wanted ${wanted}, got ${got ?? "n"}`),
  });
}

async function make(work: string, tree: string, output: LabOutput): Promise<void> {
  const jobs = navigator.hardwareConcurrency;
  output.line(`Building the kernel with ${jobs} jobs (about ten minutes on two cores)`);
  const environment = {
    KBUILD_BUILD_USER: "bargate",
    KBUILD_BUILD_HOST: "laboratory",
    KBUILD_BUILD_TIMESTAMP: "1970-01-01",
  };
  const options = { limitMs: BUILD_LIMIT_MS, environment };
  const onLine = await stepCounter(work, output);
  await exec("build the kernel", ["make", "-C", tree, `-j${jobs}`, "bzImage"], {
    ...options,
    onLine,
  });
  await exec("generate the headers", ["make", "-C", tree, `-j${jobs}`, "headers"], options);
}

/** How many steps are between two notes of how many there were. */
const NOTE_EVERY = 20;

/** Make says nothing of steps that an earlier run has finished, so their number is kept. */
async function stepCounter(
  work: string,
  output: LabOutput,
): Promise<(line: string) => void> {
  const note = join(work, "steps");
  let steps = await exists(note) ? Number(await Deno.readTextFile(note)) : 0;
  return (line) => {
    if (!isBuildStep(line)) return;
    steps += 1;
    output.progress("Building the kernel", buildFraction(steps));
    if (steps % NOTE_EVERY === 0) Deno.writeTextFileSync(note, `${steps}`);
  };
}

/** The destination appears by one rename, so nobody ever sees half of it. */
async function put(build: Build, tree: string): Promise<void> {
  const partial = `${build.destination}.partial`;
  await removeIfThere(partial);
  await Deno.mkdir(partial, { recursive: true });
  const image = join(partial, CACHED.image);
  const config = join(partial, CACHED.config);
  await Deno.copyFile(join(tree, "arch/x86/boot/bzImage"), image);
  await Deno.copyFile(join(tree, ".config"), config);
  await copyHeaders(join(tree, "usr/include"), join(partial, CACHED.headers));
  const record: BuiltRecord = {
    source: build.source.name,
    version: build.source.version,
    sourceSha256: build.source.sha256,
    fragmentSha256: textHash(build.fragment),
    imageSha256: await fileHash(image),
    configSha256: await fileHash(config),
  };
  await Deno.writeTextFile(join(partial, CACHED.record), `${JSON.stringify(record, null, 2)}\n`);
  await removeIfThere(build.destination);
  await Deno.mkdir(dirname(build.destination), { recursive: true });
  await Deno.rename(partial, build.destination);
}

/** What `make headers_install` does, without the program rsync that it asks for. */
async function copyHeaders(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(from)) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory) await copyHeaders(source, target);
    else if (entry.name.endsWith(".h")) await Deno.copyFile(source, target);
  }
}

async function removeIfThere(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}
