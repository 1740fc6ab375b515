/** A kernel that the person names. @module */
import { fileTrouble } from "../../cmd/file_trouble.ts";
import { LabError } from "../lab_error.ts";
import type { LabOutput } from "../output.ts";
import { findAnyHeaders, hasHeaders, headersOf, type Kernel } from "./cache.ts";

const FIX = "give a bzImage, as `make bzImage` leaves it in arch/x86/boot";
const HEADERS_FIX = "name the folder that `make headers_install` made, with --headers DIR";

/** A bzImage has it here: the boot protocol's header, since Linux 1.3.73. */
const MAGIC = { text: "HdrS", offset: 0x202 } as const;

/**
 * @param image path of the image
 * @param headers the folder of its headers; absent: those that were built with it, or else those of
 *   another kernel of the cache
 * @param kernels the cache's folder
 * @param output where to say whose headers they are
 * @returns the kernel
 * @throws LabError when one of them cannot be used
 */
export async function givenKernel(
  image: string,
  headers: string | undefined,
  kernels: string,
  output: LabOutput,
): Promise<Kernel> {
  const path = await givenImage(image);
  if (headers !== undefined) return { image: path, headers: await givenHeaders(headers) };
  const own = await headersOf(kernels, path);
  if (own !== undefined) return { image: path, headers: own };
  const others = await findAnyHeaders(kernels);
  if (others === undefined) {
    throw new LabError("Cannot compile the guest's programs: no headers of the kernel are known", {
      fix: HEADERS_FIX,
    });
  }
  output.line(
    `The headers of ${image} are not known: the guest's programs are compiled with those in ${others} ` +
      "(--headers DIR names its own)",
  );
  return { image: path, headers: others, foreignHeaders: true };
}

async function givenImage(path: string): Promise<string> {
  const refuse = (why: string) =>
    new LabError(`Cannot use the kernel ${path}: ${why}`, { fix: FIX, named: true });
  let start: string;
  try {
    if (!(await Deno.stat(path)).isFile) throw refuse("it is no file");
    start = await readStart(path);
  } catch (cause) {
    if (cause instanceof LabError) throw cause;
    throw refuse(fileTrouble(cause, "read"));
  }
  if (!start.startsWith(MAGIC.text, MAGIC.offset)) throw refuse("it is no bzImage");
  return await Deno.realPath(path);
}

async function readStart(path: string): Promise<string> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(MAGIC.offset + MAGIC.text.length);
  const length = await file.read(bytes) ?? 0;
  return new TextDecoder("latin1").decode(bytes.subarray(0, length));
}

async function givenHeaders(folder: string): Promise<string> {
  const refuse = (why: string) =>
    new LabError(`Cannot use the headers ${folder}: ${why}`, { fix: HEADERS_FIX, named: true });
  try {
    if (await hasHeaders(folder)) return await Deno.realPath(folder);
  } catch (cause) {
    throw refuse(fileTrouble(cause, "read"));
  }
  throw refuse("it has no linux/vfio.h and linux/iommufd.h");
}
