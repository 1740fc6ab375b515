import assert from "node:assert/strict";
import { type CpioEntry, writeCpio } from "../../lab/machine/cpio.ts";

const ENTRIES: readonly CpioEntry[] = [
  { kind: "folder", path: "bin", mode: 0o755 },
  { kind: "file", path: "bin/odd", mode: 0o644, bytes: new TextEncoder().encode("hello") },
  { kind: "file", path: "init", mode: 0o755, bytes: new Uint8Array() },
];

interface Read {
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}

/** Reads the format back, from its description, without a line of the writer. */
function readCpio(archive: Uint8Array): readonly Read[] {
  const text = new TextDecoder("latin1").decode(archive);
  const field = (start: number, index: number) =>
    Number.parseInt(text.slice(start + 6 + index * 8, start + 14 + index * 8), 16);
  const entries: Read[] = [];
  for (let at = 0;;) {
    assert.equal(text.slice(at, at + 6), "070701", `magic at ${at}`);
    const [mode, size, nameSize] = [field(at, 1), field(at, 6), field(at, 11)];
    const path = text.slice(at + 110, at + 110 + nameSize - 1);
    const content = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (path === "TRAILER!!!") return entries;
    entries.push({ path, mode, content: text.slice(content, content + size) });
    at = Math.ceil((content + size) / 4) * 4;
  }
}

Deno.test("writeCpio() writes names, modes and contents that read back", () => {
  assert.deepEqual(readCpio(writeCpio(ENTRIES)), [
    { path: "bin", mode: 0o040755, content: "" },
    { path: "bin/odd", mode: 0o100644, content: "hello" },
    { path: "init", mode: 0o100755, content: "" },
  ]);
});

Deno.test("writeCpio() gives every entry an inode of its own", () => {
  const text = new TextDecoder("latin1").decode(writeCpio(ENTRIES));
  const inodes = [...text.matchAll(/070701([0-9a-f]{8})/g)].map((match) => match[1]);
  assert.equal(new Set(inodes).size, inodes.length);
});

Deno.test("writeCpio() pads the archive to a multiple of four", () => {
  for (const length of [0, 1, 2, 3, 4, 5]) {
    const archive = writeCpio([
      { kind: "file", path: "x".repeat(length + 1), mode: 0, bytes: new Uint8Array(length) },
    ]);
    assert.equal(archive.length % 4, 0, `length ${length}`);
  }
});
