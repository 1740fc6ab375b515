/**
 * How the running kernel was configured, as far as decisions need it.
 *
 * @module
 */
import type { Finding } from "./field_reader.ts";
import { type Files, FilesError } from "./files.ts";
import { KERNEL_OPTIONS, type KernelOption } from "./kernel_options.ts";
import type { KernelSwitch, Unreadable } from "./snapshot.ts";

/** What was found. */
export interface KernelConfigRead {
  /** Absent: no place has it, or it may not be read. */
  readonly config?: Readonly<Record<string, KernelSwitch>>;
  readonly unreadable: readonly Unreadable[];
  /** What was there and made no sense. */
  readonly findings: readonly Finding[];
}

/** As the file lies there, and unpacked: a hundred times what kernels have today. */
const MOST_PACKED = 8 << 20;
const MOST_UNPACKED = 32 << 20;
const ANY_OPTION = /^(?:# )?CONFIG_\w/m;
/** There are thousands of options, and few that matter. */
const WANTED = new RegExp(
  `^(?:# )?(${KERNEL_OPTIONS.join("|")})(?!\\w)(?:=([ym])$| is not set$)?`,
  "gm",
);
const RELEASE = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/;

/**
 * Reads the running kernel's configuration where one of the usual places has it.
 *
 * @param files where to read
 * @param release of the kernel, for the name of the file
 */
export async function readKernelConfig(files: Files, release: string): Promise<KernelConfigRead> {
  const unreadable: Unreadable[] = [];
  const findings: Finding[] = [];
  for (const path of placesOf(release)) {
    try {
      const config = parseKernelConfig(await unpacked(files.read(path, MOST_PACKED)));
      if (config !== undefined) return { config, unreadable, findings };
      findings.push({ path, why: "it names no option of a kernel" });
    } catch (error) {
      if (error instanceof FilesError) note(error, unreadable, findings);
      else findings.push({ path, why: `it cannot be unpacked: ${messageOf(error)}` });
    }
  }
  return { unreadable, findings };
}

function note(
  { path, reason, message }: FilesError,
  unreadable: Unreadable[],
  findings: Finding[],
): void {
  if (reason === "forbidden") {
    unreadable.push({ field: `kernel.config in ${path}`, right: "CAP_DAC_READ_SEARCH" });
  } else if (reason === "other") findings.push({ path, why: message });
}

function placesOf(release: string): readonly string[] {
  const named = RELEASE.test(release)
    ? [`/boot/config-${release}`, `/lib/modules/${release}/config`]
    : [];
  return ["/proc/config.gz", ...named];
}

/** @throws {Error} it is no gzip, or unpacks to more than is read */
async function unpacked(bytes: Uint8Array): Promise<string> {
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return new TextDecoder().decode(packed ? await unzipped(bytes) : bytes);
}

/**
 * By the runtime's streams: node's zlib takes longer to load than all else does here, and a pipe
 * between two streams longer than the stream itself.
 */
async function unzipped(bytes: Uint8Array): Promise<Uint8Array> {
  const { readable, writable } = new DecompressionStream("gzip");
  const [whole] = await Promise.all([gathered(readable), fed(writable, new Uint8Array(bytes))]);
  return whole;
}

async function fed(
  writable: WritableStream<BufferSource>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const writer = writable.getWriter();
  await Promise.all([writer.write(bytes), writer.close()]);
}

async function gathered(readable: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of readable) {
    length += chunk.length;
    if (length > MOST_UNPACKED) throw new RangeError(`it is more than ${MOST_UNPACKED} bytes long`);
    chunks.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Finds the options that decisions need in a `.config`.
 *
 * @param text of the file
 * @returns all of them; one that the file does not name is `n`, for the kernel does not know it or
 *   what it depends on is off. Undefined if the text is no `.config`
 *
 * @example
 * ```ts
 * import { parseKernelConfig } from "./kernel_config.ts";
 *
 * const config = parseKernelConfig("CONFIG_VFIO=m\n# CONFIG_IOMMUFD is not set\n");
 * if (config?.CONFIG_VFIO !== "m" || config.CONFIG_IOMMUFD !== "n") throw new Error("wrong");
 * ```
 */
export function parseKernelConfig(
  text: string,
): Record<KernelOption, KernelSwitch> | undefined {
  if (!ANY_OPTION.test(text)) return undefined;
  const set = new Map<string, KernelSwitch>();
  for (const [, name = "", value] of text.matchAll(WANTED)) {
    set.set(name, value === "y" || value === "m" ? value : "n");
  }
  const found = KERNEL_OPTIONS.map((name) => [name, set.get(name) ?? "n"] as const);
  return Object.fromEntries(found) as Record<KernelOption, KernelSwitch>;
}
