/**
 * Long results: pieces of text, gathered into few and large writes.
 *
 * @module
 */
import { writeAll } from "../../ffi/write_all.ts";
import type { TextOutput } from "../context.ts";

const GATHERED = 256 * 1024;
/** Bytes that a UTF-16 code unit takes in UTF-8, at most. */
const MOST_BYTES = 3;
const ENCODER = new TextEncoder();

/**
 * Writes pieces one behind the other. They are made while they are written, and none is kept.
 *
 * @param output to write to; if its reader goes away nothing more is made
 * @param pieces of a text
 */
export function writePieces(output: TextOutput, pieces: Iterable<string>): void {
  const { descriptor } = output;
  if (descriptor === undefined) {
    for (const piece of pieces) output.write(piece);
    return;
  }
  const gathered = new Uint8Array(new ArrayBuffer(GATHERED));
  let used = 0;
  for (const piece of pieces) {
    const most = piece.length * MOST_BYTES;
    if (used + most > GATHERED) {
      if (!writeAll(descriptor, gathered.subarray(0, used))) return;
      used = 0;
    }
    if (most > GATHERED) {
      if (!writeAll(descriptor, ENCODER.encode(piece))) return;
    } else used += ENCODER.encodeInto(piece, gathered.subarray(used)).written;
  }
  writeAll(descriptor, gathered.subarray(0, used));
}
