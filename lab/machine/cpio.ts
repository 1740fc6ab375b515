/**
 * Writes a cpio archive in the "newc" format, the one that the kernel unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * @module
 */

/** An entry of the archive; parents come before their children. */
export type CpioEntry =
  | { readonly kind: "folder"; readonly path: string; readonly mode: number }
  | {
    readonly kind: "file";
    readonly path: string;
    readonly mode: number;
    readonly bytes: Uint8Array;
  };

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const TYPE = { folder: 0o040000, file: 0o100000 } as const;

/**
 * @param entries what the archive holds
 * @returns the archive
 *
 * @example
 * ```ts
 * import { writeCpio } from "./cpio.ts";
 * import assert from "node:assert/strict";
 *
 * const archive = writeCpio([{ kind: "folder", path: "proc", mode: 0o755 }]);
 * assert.equal(new TextDecoder().decode(archive.subarray(0, 6)), "070701");
 * ```
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts = entries.flatMap((entry, index) => entryParts(entry, index + 1));
  return concatenate([...parts, header(TRAILER, 0, 0, 0), name(TRAILER)]);
}

function entryParts(entry: CpioEntry, inode: number): readonly Uint8Array[] {
  const content = entry.kind === "file" ? entry.bytes : new Uint8Array();
  return [
    header(entry.path, inode, TYPE[entry.kind] | entry.mode, content.length),
    name(entry.path),
    padded(content, 0),
  ];
}

/** Thirteen fields of eight hexadecimal digits after the magic number. */
function header(path: string, inode: number, mode: number, size: number): Uint8Array {
  const links = 1;
  const nameSize = new TextEncoder().encode(path).length + 1;
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, nameSize, 0];
  return new TextEncoder().encode(
    MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join(""),
  );
}

const HEADER_LENGTH = MAGIC.length + 13 * 8;

function name(path: string): Uint8Array {
  return padded(new TextEncoder().encode(`${path}\0`), HEADER_LENGTH);
}

/** Pads so that `before` + length is a multiple of four. */
function padded(bytes: Uint8Array, before: number): Uint8Array {
  const rest = (4 - (before + bytes.length) % 4) % 4;
  return concatenate([bytes, new Uint8Array(rest)]);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const total = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    total.set(part, at);
    at += part.length;
  }
  return total;
}
