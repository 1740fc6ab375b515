/**
 * Long results: pieces of text, gathered into few and large writes.
 *
 * @module
 */
import { KernelError } from "../../engine/kernel_error.ts";
import { writeAll } from "../../ffi/write_all.ts";
import type { TextOutput } from "../context.ts";
import { CommandError } from "../errors.ts";
import { ExitStatus } from "../exit_status.ts";
import { fileTrouble } from "../file_trouble.ts";

const GATHERED = 256 * 1024;
/** Bytes that a UTF-16 code unit takes in UTF-8, at most. */
const MOST_BYTES = 3;
const ENCODER = new TextEncoder();

/**
 * Writes pieces one behind the other. They are made while they are written, and none is kept.
 *
 * @param output to write to; if its reader goes away nothing more is made
 * @param pieces of a text
 * @throws {CommandError} refused: it cannot be written to
 */
export function writePieces(output: TextOutput, pieces: Iterable<string>): void {
  const { descriptor } = output;
  if (descriptor === undefined) {
    for (const piece of pieces) output.write(piece);
    return;
  }
  for (const bytes of gathered(pieces)) {
    if (!written(descriptor, bytes)) return;
  }
}

/** @returns false: the reader has gone */
function written(descriptor: number, bytes: Uint8Array<ArrayBuffer>): boolean {
  try {
    return writeAll(descriptor, bytes);
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause;
    const message = `Cannot write the result: ${fileTrouble(cause, "write")}`;
    throw new CommandError(message, ExitStatus.refused);
  }
}

/** Each is good until the next is asked for. */
function* gathered(pieces: Iterable<string>): Generator<Uint8Array<ArrayBuffer>, void> {
  const room = new Uint8Array(new ArrayBuffer(GATHERED));
  let used = 0;
  for (const piece of pieces) {
    const most = piece.length * MOST_BYTES;
    if (used + most > GATHERED) {
      yield room.subarray(0, used);
      used = 0;
    }
    if (most > GATHERED) yield ENCODER.encode(piece);
    else used += ENCODER.encodeInto(piece, room.subarray(used)).written;
  }
  yield room.subarray(0, used);
}
