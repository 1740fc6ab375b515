/** Gets the laboratory's kernel: the given one, a cached one, or a freshly built one. @module */
import { LabError } from "../lab_error.ts";
import { BUILD_NEEDS, ensurePackages } from "../packages.ts";
import { join } from "../path.ts";
import type { LabOutput } from "../output.ts";
import { requireSpace } from "../disk_space.ts";
import { exists } from "../exists.ts";
import { usableFolder } from "../folders.ts";
import { fetchSource } from "./apt_source.ts";
import { buildKernel, TREE_BYTES } from "./build.ts";
import { givenKernel } from "./given_kernel.ts";
import { cacheKey, findCached, type Kernel } from "./cache.ts";

/** The source package, and the lists that lead to it. */
const SOURCE_BYTES = 2 ** 29;

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
    return await givenKernel(choice.image, choice.headers, kernels, output);
  }
  const cached = await findCached(kernels, fragment);
  if (cached !== undefined) return cached;
  await ensurePackages(BUILD_NEEDS, output);
  await usableFolder(choice.cache, "fetch and build the kernel");
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

async function build(
  cache: string,
  kernels: string,
  fragment: string,
  output: LabOutput,
): Promise<Kernel> {
  await requireRoom(cache);
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

/** Asked before anything is fetched. What an interrupted build goes on with is there already. */
async function requireRoom(cache: string): Promise<void> {
  const work = join(cache, "work");
  const begun = await exists(work) && (await Array.fromAsync(Deno.readDir(work))).length > 0;
  const bytes = SOURCE_BYTES + (begun ? 0 : TREE_BYTES);
  requireSpace(cache, bytes, "fetch and build the kernel");
}
