/** @module */
import { createHash } from "node:crypto";

/**
 * @param path of a file
 * @returns SHA-256 of its content, in hexadecimal digits
 */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(1 << 20);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) {
    hash.update(buffer.subarray(0, n));
  }
  return hash.digest("hex");
}

/**
 * @param texts in order
 * @returns SHA-256 of the texts, each ended by a zero byte
 */
export function textHash(...texts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text).update("\0");
  return hash.digest("hex");
}
