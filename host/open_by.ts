/**
 * Who has the devices of a host open by VFIO: the descriptors of all processes, as procfs shows them.
 * What a process calls itself is its own choice, and what it has open can change at any moment: this
 * is for people to look at, and no decision is made by it.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import { FieldReader, type Finding } from "./field_reader.ts";
import { type Files, FilesError } from "./files.ts";
import type { HostSnapshot, Opener, SnapshotFunction, Unreadable } from "./snapshot.ts";

/** A process that has more of them open is looked at no further. */
const MOST_DESCRIPTORS = 65_536;
/** A device that was opened by its group; its fdinfo says which (Documentation/driver-api/vfio.rst). */
const BY_GROUP = "anon_inode:[vfio-device]";
const SYSPATH = /^vfio-device-syspath:\s*\S*\/([^/\s]+)$/m;

/** Who was found, and what was not seen. */
export interface OpenersFound {
  /** By address of the function. */
  readonly openers: ReadonlyMap<string, readonly Opener[]>;
  readonly unreadable: readonly Unreadable[];
  readonly findings: readonly Finding[];
}

/**
 * Looks through the descriptors of all processes.
 *
 * @param files where procfs is
 * @param functions of the host
 */
export function readOpeners(
  files: Files,
  functions: readonly SnapshotFunction[],
): OpenersFound {
  const search = new Search(files, functions);
  for (const pid of search.fields.names("/proc").filter((name) => /^[1-9][0-9]{0,9}$/.test(name))) {
    search.process(Number(pid));
  }
  const { openers, hidden, fields } = search;
  return {
    openers,
    unreadable: hidden === 0
      ? []
      : [{ field: `openBy, of ${hidden} processes`, right: "CAP_SYS_PTRACE" }],
    findings: fields.findings,
  };
}

/**
 * Adds who has each function open that VFIO could open.
 *
 * @param snapshot of a host
 * @param found in its processes
 * @returns the snapshot with `openBy`, empty where nobody has the function open
 */
export function withOpeners(snapshot: HostSnapshot, found: OpenersFound): HostSnapshot {
  const unreadable = [...snapshot.unreadable ?? [], ...found.unreadable];
  return {
    ...snapshot,
    functions: snapshot.functions.map((entry) =>
      isVfio(entry) ? { ...entry, openBy: found.openers.get(entry.address) ?? [] } : entry
    ),
    ...(unreadable.length === 0 ? {} : { unreadable }),
  };
}

/** A function that nothing of VFIO has, nobody can have open by it. */
function isVfio({ driver = "", cdev }: SnapshotFunction): boolean {
  return cdev !== undefined || /vfio/.test(driver);
}

/** One entry of a thread's table. */
interface Descriptor {
  /** Folder of the thread in procfs. */
  readonly task: string;
  readonly number: string;
}

class Search {
  readonly openers = new Map<string, Opener[]>();
  readonly fields: FieldReader;
  /** Processes whose descriptors may not be looked at. */
  hidden = 0;
  readonly #nodes: ReadonlyMap<string, string>;

  constructor(private readonly files: Files, functions: readonly SnapshotFunction[]) {
    this.fields = new FieldReader(files);
    this.#nodes = new Map(
      functions.flatMap(({ cdev, address }) => cdev === undefined ? [] : [[cdev, address]]),
    );
  }

  process(pid: number): void {
    const descriptors = this.#descriptors(pid);
    if (descriptors.length > MOST_DESCRIPTORS) {
      this.fields.find(
        `/proc/${pid}/task`,
        `only ${MOST_DESCRIPTORS} descriptors of a process are looked at (received ${descriptors.length})`,
      );
    }
    const found = new Set(
      descriptors.slice(0, MOST_DESCRIPTORS).flatMap((each) => this.#device(each) ?? []),
    );
    if (found.size === 0) return;
    const command = this.fields.text(`/proc/${pid}/comm`);
    for (const address of found) {
      const others = this.openers.get(address) ?? [];
      others.push({ pid, ...(command === undefined ? {} : { command }) });
      this.openers.set(address, others);
    }
  }

  /** Of every thread, for one can have a table of its own: Bargate's that open devices have. */
  #descriptors(pid: number): readonly Descriptor[] {
    const hidden = this.hidden;
    const all: Descriptor[] = [];
    for (const thread of this.#names(`/proc/${pid}/task`)) {
      const task = `/proc/${pid}/task/${thread}`;
      for (const number of this.#names(`${task}/fd`)) all.push({ task, number });
      if (all.length > MOST_DESCRIPTORS) break;
    }
    // However many of its threads are hidden, it is one process.
    this.hidden = Math.min(this.hidden, hidden + 1);
    return all;
  }

  /** None of a process that has ended. */
  #names(folder: string): readonly string[] {
    try {
      return this.files.list(folder);
    } catch (error) {
      if (!(error instanceof FilesError)) throw error;
      if (error.reason === "forbidden") this.hidden++;
      else if (error.reason === "other") this.fields.find(folder, error.message);
      return [];
    }
  }

  /** @returns the function that the descriptor is of; undefined: none, or it is closed by now */
  #device({ task, number }: Descriptor): string | undefined {
    const target = this.#link(`${task}/fd/${number}`);
    if (target === undefined) return undefined;
    if (target !== BY_GROUP) return this.#nodes.get(target);
    const info = this.#text(`${task}/fdinfo/${number}`);
    const address = SYSPATH.exec(info ?? "")?.[1];
    return address !== undefined && isPciAddress(address) ? address : undefined;
  }

  /** Whatever cannot be read of one descriptor, the others can be looked at. */
  #link(path: string): string | undefined {
    try {
      return this.files.readLink(path);
    } catch (error) {
      if (error instanceof FilesError) return undefined;
      throw error;
    }
  }

  #text(path: string): string | undefined {
    try {
      return this.files.readText(path, 4096);
    } catch (error) {
      if (error instanceof FilesError) return undefined;
      throw error;
    }
  }
}
