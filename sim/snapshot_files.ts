/**
 * sysfs of a simulated host, as far as a snapshot tells of it: what `readSnapshot` reads, and the files
 * by which others can reset, change or take away a device. Elsewhere files are the real host's, for
 * programs and their folders are.
 *
 * @module
 */
import { type Files, FilesError, type FileStatus } from "../host/files.ts";
import type { HostSnapshot, NodeAccess } from "../host/snapshot.ts";
import { follow, type Place, TreeFile, TreeFolder, TreeLink } from "./folder_tree.ts";
import { isSimulatedPath } from "./simulated_path.ts";
import { sysfsTree } from "./sysfs_tree.ts";

const DEFAULT_LIMIT = 64 * 1024;

/** Files of a simulated host. */
export class SnapshotFiles implements Files {
  readonly #root: TreeFolder;
  /** Of device nodes, by path; made when it is first asked for. */
  #access: ReadonlyMap<string, NodeAccess> | undefined;

  /**
   * @param snapshot of the simulated host
   * @param real files of the machine that the simulation runs on
   */
  constructor(private readonly snapshot: HostSnapshot, private readonly real: Files) {
    this.#root = sysfsTree(snapshot);
  }

  read(path: string, limit = DEFAULT_LIMIT): Uint8Array {
    if (!isSimulatedPath(path)) return this.real.read(path, limit);
    const { entry } = this.#place(path);
    if (!(entry instanceof TreeFile)) throw failure("read", path, "other", "it is a folder");
    return entry.bytes.slice(0, limit);
  }

  readText(path: string, limit = DEFAULT_LIMIT): string {
    return new TextDecoder().decode(this.read(path, limit)).replace(/\n$/, "");
  }

  list(path: string): string[] {
    if (!isSimulatedPath(path)) return this.real.list(path);
    const { entry } = this.#place(path);
    if (!(entry instanceof TreeFolder)) throw failure("list", path, "other", "it is no folder");
    return [...entry.names()].sort();
  }

  readLink(path: string): string {
    if (!isSimulatedPath(path)) return this.real.readLink(path);
    const cut = path.lastIndexOf("/");
    const { entry: folder } = this.#place(path.slice(0, cut), path);
    const entry = folder instanceof TreeFolder ? folder.child(path.slice(cut + 1)) : undefined;
    if (entry === undefined) throw absent(path);
    if (!(entry instanceof TreeLink)) {
      throw failure("read the link", path, "other", "it is no link");
    }
    return entry.text;
  }

  realPath(path: string): string {
    return isSimulatedPath(path) ? this.#place(path).path : this.real.realPath(path);
  }

  exists(path: string): boolean {
    if (!isSimulatedPath(path)) return this.real.exists(path);
    return typeof follow(this.#root, path) !== "string";
  }

  status(path: string): FileStatus {
    if (!isSimulatedPath(path)) return this.real.status(path);
    this.#access ??= accessOf(this.snapshot);
    const access = this.#access.get(path);
    if (access === undefined) throw failure("look at", path, "absent", "nothing is known of it");
    return { uid: access.uid, gid: access.gid, permissions: parseInt(access.mode, 8) };
  }

  #place(path: string, asked = path): Place {
    const found = follow(this.#root, path);
    if (found === "absent") throw absent(asked);
    if (found === "loop") throw failure("resolve", asked, "other", "its links loop");
    return found;
  }
}

function accessOf({ functions }: HostSnapshot): ReadonlyMap<string, NodeAccess> {
  const access = new Map<string, NodeAccess>();
  for (const { cdev, cdevAccess, groupNode, groupAccess } of functions) {
    if (cdev !== undefined && cdevAccess !== undefined) access.set(cdev, cdevAccess);
    if (groupNode !== undefined && groupAccess !== undefined) access.set(groupNode, groupAccess);
  }
  return access;
}

function absent(path: string): FilesError {
  return failure("find", path, "absent", "there is no such file");
}

function failure(
  what: string,
  path: string,
  reason: FilesError["reason"],
  why: string,
): FilesError {
  return new FilesError(path, reason, `Cannot ${what} ${path} of the simulated host: ${why}`);
}
