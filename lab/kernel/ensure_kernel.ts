/** Gets the laboratory's kernel: the given one, a cached one, or a freshly built one. @module */
import { LabError } from "../lab_error.ts";
import { BUILD_NEEDS, ensurePackages } from "../packages.ts";
import { join } from "../path.ts";
import type { LabOutput } from "../output.ts";
import { fetchSource } from "./apt_source.ts";
import { buildKernel } from "./build.ts";
import { cacheKey, findCached, type Kernel } from "./cache.ts";

/** Which kernel to take. */
export interface KernelChoice {
  /** A ready bzImage. */
  readonly image?: string;
  /** Folder with the user-space headers of a ready kernel. */
  readonly headers?: string;
  /** The cache's folder. */
  readonly cache: string;
}

/**
 * @param choice which kernel
 * @param output where to say what happens
 * @returns the kernel
 * @throws LabError when it cannot be found, fetched or built
 */
export async function ensureKernel(choice: KernelChoice, output: LabOutput): Promise<Kernel> {
  const fragment = await readFragment();
  const kernels = join(choice.cache, "kernels");
  if (choice.image !== undefined) {
    const cached = await findCached(kernels, fragment);
    return { image: await givenImage(choice.image), headers: choice.headers ?? cached?.headers };
  }
  const cached = await findCached(kernels, fragment);
  if (cached !== undefined) return cached;
  await ensurePackages(BUILD_NEEDS, output);
  await Deno.mkdir(choice.cache, { recursive: true });
  using lock = await Deno.open(join(choice.cache, "lock"), { create: true, write: true });
  if (!lock.tryLockSync(true)) {
    throw new LabError("Cannot build the kernel: another run of the laboratory is building it", {
      fix: "wait for it to end, then start again",
    });
  }
  return await build(choice.cache, kernels, fragment, output);
}

function readFragment(): Promise<string> {
  return Deno.readTextFile(new URL("config.fragment", import.meta.url));
}

async function givenImage(path: string): Promise<string> {
  try {
    if ((await Deno.stat(path)).isFile) return await Deno.realPath(path);
  } catch (cause) {
    throw new LabError(`Cannot use the kernel ${path}: it cannot be read`, { cause });
  }
  throw new LabError(`Cannot use the kernel ${path}: it is no file`);
}

async function build(
  cache: string,
  kernels: string,
  fragment: string,
  output: LabOutput,
): Promise<Kernel> {
  const source = await fetchSource(join(cache, "sources"), output);
  const key = cacheKey(source.version, fragment);
  await buildKernel({
    source,
    fragment,
    work: join(cache, "work", key),
    destination: join(kernels, key),
  }, output);
  const kernel = await findCached(kernels, fragment);
  if (kernel === undefined) throw new LabError("Cannot find the kernel that was just built");
  output.line(`The kernel ${source.version} is ready: ${kernel.image}`);
  return kernel;
}
