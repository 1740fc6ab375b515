/**
 * A tree of folders that are made when they are looked into, so that a tree of a million costs what is
 * looked at.
 *
 * @module
 */

/** A longer way is a loop. */
const MOST_LINKS = 40;
/** Folders above each other; there are not so many but in a circle. */
const DEEPEST = 1024;

/** A file, a link or a folder. */
export type TreeEntry = TreeFile | TreeLink | TreeFolder;

/** A file; its bytes are made when it is read. */
export class TreeFile {
  /** @param content makes what is in it */
  constructor(private readonly content: () => string | Uint8Array) {}

  /** What is in it. */
  get bytes(): Uint8Array {
    const content = this.content();
    return typeof content === "string" ? new TextEncoder().encode(content) : content;
  }
}

/** A symbolic link. */
export class TreeLink {
  /** @param target its text, or the folder that its text is the path of */
  constructor(readonly target: string | TreeFolder) {}

  /** Its text. */
  get text(): string {
    return typeof this.target === "string" ? this.target : this.target.path;
  }
}

/** A folder. */
export abstract class TreeFolder {
  /** The folder that it is in; absent: it is the root. */
  abstract readonly above: TreeFolder | undefined;
  /** What that one has it under. */
  abstract readonly name: string;
  /** What is in it. */
  abstract names(): Iterable<string>;
  /** @returns what is there under a name; undefined: nothing */
  abstract child(name: string): TreeEntry | undefined;

  /** Its absolute path; that of the root is empty. Of a folder that is above itself it has an end too. */
  get path(): string {
    const names: string[] = [];
    let each: TreeFolder | undefined = this.above === undefined ? undefined : this;
    while (each?.above !== undefined && names.length < DEEPEST) {
      names.push(each.name);
      each = each.above;
    }
    return names.reverse().map((name) => `/${name}`).join("");
  }
}

/** A folder of entries that are all there. */
export class FixedFolder extends TreeFolder {
  readonly #entries = new Map<string, TreeEntry>();

  /**
   * @param above the folder that it is in; absent: it is the root
   * @param name what that one has it under
   */
  constructor(readonly above: TreeFolder | undefined, readonly name: string) {
    super();
  }

  override names(): Iterable<string> {
    return this.#entries.keys();
  }

  override child(name: string): TreeEntry | undefined {
    return this.#entries.get(name);
  }

  /** Puts an entry in. @returns it */
  put<T extends TreeEntry>(name: string, entry: T): T {
    this.#entries.set(name, entry);
    return entry;
  }

  /** @returns the folder of that name, which is made if it is not there */
  folder(name: string): FixedFolder {
    const known = this.#entries.get(name);
    return known instanceof FixedFolder ? known : this.put(name, new FixedFolder(this, name));
  }
}

/** What a folder has, by name. */
export interface Listed {
  /** All names. */
  names(): Iterable<string>;
  /** @returns what is there under a name; undefined: nothing */
  entry(name: string, folder: TreeFolder): TreeEntry | undefined;
}

/** A folder whose entries are made when they are asked for. */
export class ListFolder extends TreeFolder {
  /**
   * @param above the folder that it is in
   * @param name what that one has it under
   * @param listed what is in it
   */
  constructor(
    readonly above: TreeFolder,
    readonly name: string,
    private readonly listed: Listed,
  ) {
    super();
  }

  override names(): Iterable<string> {
    return this.listed.names();
  }

  override child(name: string): TreeEntry | undefined {
    return this.listed.entry(name, this);
  }
}

/** What a path leads to. */
export interface Place {
  /** Links followed. */
  readonly path: string;
  readonly entry: TreeFile | TreeFolder;
}

/**
 * Follows a path.
 *
 * @param root where it begins
 * @param path absolute
 * @returns what is there; `absent`: nothing; `loop`: its links lead round
 */
export function follow(root: TreeFolder, path: string): Place | "absent" | "loop" {
  const rest = path.split("/").reverse();
  let folder = root;
  let file: { readonly name: string; readonly entry: TreeFile } | undefined;
  for (let links = 0; rest.length > 0;) {
    const name = rest.pop() ?? "";
    if (name === "" || name === ".") continue;
    if (file !== undefined) return "absent";
    const entry = name === ".." ? folder.above ?? folder : folder.child(name);
    if (entry === undefined) return "absent";
    if (entry instanceof TreeFolder) folder = entry;
    else if (entry instanceof TreeFile) file = { name, entry };
    else if (++links > MOST_LINKS) return "loop";
    else if (entry.target instanceof TreeFolder) folder = entry.target;
    else {
      if (entry.text.startsWith("/")) folder = root;
      rest.push(...entry.text.split("/").reverse());
    }
  }
  if (file === undefined) return new FolderPlace(folder);
  return { path: `${folder.path}/${file.name}`, entry: file.entry };
}

/** Its path can be long, and is mostly not asked for. */
class FolderPlace implements Place {
  constructor(readonly entry: TreeFolder) {}

  get path(): string {
    return this.entry.path || "/";
  }
}
