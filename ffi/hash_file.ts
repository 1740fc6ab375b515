/**
 * Hashing open files without holding the event loop up for long.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { checked, reissued } from "./errno.ts";
import { libc } from "./libc.ts";

/** Bytes between two turns of the event loop: a few milliseconds of hashing. */
const CHUNK = 1024 * 1024;

/**
 * SHA-256 of a file from its start, whatever its position.
 *
 * @param file open for reading
 * @returns 64 hexadecimal digits
 * @throws {KernelError}
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor, memfd } from "./descriptors.ts";
 * import { hashFile } from "./hash_file.ts";
 *
 * const empty = memfd("empty");
 * const digest = await hashFile(empty);
 * closeDescriptor(empty);
 * if (!digest.startsWith("e3b0c442")) throw new Error("of no bytes");
 * ```
 */
export async function hashFile(file: Fd): Promise<string> {
  // The runtime's own takes its time to load, and few processes are identified by hash.
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256");
  const chunk = new Uint8Array(new ArrayBuffer(CHUNK));
  const size = BigInt(chunk.length);
  for (let at = 0n;;) {
    const from = at;
    const got = reissued(() => libc().pread(file.number, chunk, size, from));
    if (checked("pread", file.what, got) === 0) return hash.digest("hex");
    hash.update(chunk.subarray(0, got));
    at += BigInt(got);
    await turn();
  }
}

/** Lets the event loop do what waits. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
