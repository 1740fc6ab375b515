/** Files for tests. @module */
import { type Files, FilesError, type FileStatus } from "../../host/files.ts";

/** A tree in memory: text files, byte files, and links (values that start with `->`). */
export class MemoryFiles implements Files {
  /** @param tree contents by path; may change */
  constructor(readonly tree: Record<string, string | Uint8Array>) {}
  read(path: string, limit = 65536): Uint8Array {
    const entry = this.#entry(path);
    return (typeof entry === "string" ? new TextEncoder().encode(entry) : entry).slice(0, limit);
  }
  readText(path: string): string {
    return new TextDecoder().decode(this.read(path)).replace(/\n$/, "");
  }
  list(path: string): string[] {
    const prefix = `${path}/`;
    const names = Object.keys(this.tree).filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length).split("/")[0] ?? "");
    if (names.length === 0) throw this.#absent(path);
    return [...new Set(names)].sort();
  }
  readLink(path: string): string {
    return String(this.#entry(path)).slice(2);
  }
  realPath(path: string): string {
    return String(this.tree[path]).startsWith("->") ? this.readLink(path) : path;
  }
  exists(path: string): boolean {
    return this.tree[path] !== undefined ||
      Object.keys(this.tree).some((key) => key.startsWith(`${path}/`));
  }
  status(path: string): FileStatus {
    this.#entry(path);
    return { uid: 0, gid: 0, permissions: 0o600 };
  }
  #entry(path: string): string | Uint8Array {
    const entry = this.tree[path];
    if (entry === undefined) throw this.#absent(path);
    return entry;
  }
  #absent(path: string): FilesError {
    return new FilesError(path, "absent", `Cannot read ${path}: it is not there`);
  }
}
