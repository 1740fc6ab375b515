/** The guest's initramfs: a static busybox and the init script. @module */
import { LabError } from "../lab_error.ts";
import { writeCpio } from "./cpio.ts";

/**
 * @param busybox path of a statically linked busybox
 * @param init text of the init script
 * @returns the archive
 * @throws LabError when busybox cannot be read or is not static
 */
export async function buildInitramfs(busybox: string, init: string): Promise<Uint8Array> {
  const bytes = await readBusybox(busybox);
  return writeCpio([
    { kind: "folder", path: "bin", mode: 0o755 },
    { kind: "file", path: "bin/busybox", mode: 0o755, bytes },
    { kind: "file", path: "init", mode: 0o755, bytes: new TextEncoder().encode(init) },
  ]);
}

async function readBusybox(path: string): Promise<Uint8Array> {
  const bytes = await Deno.readFile(path);
  if (hasInterpreter(bytes)) {
    throw new LabError(`Cannot build the initramfs: ${path} is dynamically linked`, {
      fix: "install the package busybox-static",
    });
  }
  return bytes;
}

const PT_INTERP = 3;

/** A dynamic 64-bit ELF file names its loader in a PT_INTERP program header. */
function hasInterpreter(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  const types = Array.from({ length: count }, (_, i) => view.getUint32(start + i * size, true));
  return types.includes(PT_INTERP);
}
