/**
 * Reads what is optional: what is not there is an answer, what is refused is noted with the right
 * that it needs, and what makes no sense is a finding. Nothing here stops an inventory.
 *
 * @module
 */
import { type Files, FilesError, type Folder, FolderByPath } from "./files.ts";
import type { NodeAccess, Unreadable } from "./snapshot.ts";

/** Something that was there and could not be used. */
export interface Finding {
  readonly path: string;
  readonly why: string;
}

/** An attribute of sysfs is a page at most. */
const ATTRIBUTE_BYTES = 4096;
const NONE: readonly string[] = [];
const PRINTABLE = /^[\x20-\x7e]{1,256}$/;

/** Reads optional fields, and keeps what went wrong. */
export class FieldReader {
  readonly unreadable: Unreadable[] = [];

  /**
   * @param files where to read
   * @param findings takes what made no sense
   * @param folder what names are within; absent: they are paths
   */
  constructor(
    readonly files: Files,
    readonly findings: Finding[] = [],
    readonly folder: Folder = new FolderByPath(files, ""),
  ) {}

  /** Keeps a finding. */
  find(name: string, why: string): void {
    this.findings.push({ path: this.#pathOf(name), why });
  }

  /** A printable text of one line; absent too if it is empty. */
  text(name: string, field?: string): string | undefined {
    const text = this.head(name, ATTRIBUTE_BYTES, field);
    return text === undefined || text === "" ? undefined : this.#printable(name, text);
  }

  /** The beginning of a text of many lines, at most so many bytes of it. */
  head(name: string, bytes: number, field?: string): string | undefined {
    try {
      return this.folder.textIfThere(name, bytes);
    } catch (error) {
      return this.#note(name, field, error);
    }
  }

  /** A decimal number of at most 31 bits; -1 is sysfs's word for none. */
  number(name: string, field?: string): number | undefined {
    const text = this.text(name, field);
    if (text === undefined || text === "-1") return undefined;
    const value = /^(?:0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Infinity;
    if (value <= 0x7fff_ffff) return value;
    this.find(name, `it holds no number (received ${JSON.stringify(text)})`);
    return undefined;
  }

  /** The last name in the text of a link. */
  linkName(name: string, field?: string): string | undefined {
    try {
      const text = this.folder.linkIfThere(name);
      if (text === undefined) return undefined;
      return this.#printable(name, text.slice(text.lastIndexOf("/") + 1));
    } catch (error) {
      return this.#note(name, field, error);
    }
  }

  /** Names in a folder; none where there is no such folder. */
  names(name: string, field?: string): readonly string[] {
    try {
      return this.folder.namesIfThere(name) ?? NONE;
    } catch (error) {
      return this.#note(name, field, error) ?? NONE;
    }
  }

  /** A path without links. */
  realPath(path: string, field?: string): string | undefined {
    try {
      return this.files.realPath(path);
    } catch (error) {
      return this.#note(path, field, error);
    }
  }

  /** Owner and mode of a node. */
  access(path: string, field?: string): NodeAccess | undefined {
    try {
      const { uid, gid, permissions } = this.files.status(path);
      return { uid, gid, mode: permissions.toString(8).padStart(4, "0") };
    } catch (error) {
      return this.#note(path, field, error);
    }
  }

  #printable(name: string, text: string): string | undefined {
    if (PRINTABLE.test(text)) return text;
    const received = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
    this.find(name, `expected 1 to 256 printable ASCII characters (received ${received})`);
    return undefined;
  }

  /**
   * Keeps why something could not be read. Nothing is made for that beforehand: it is read 50,000 times.
   *
   * @param field what it is called in the snapshot; absent: by its path
   */
  #note(name: string, field: string | undefined, error: unknown): undefined {
    if (!(error instanceof FilesError)) throw error;
    if (error.reason === "forbidden") {
      this.unreadable.push({ field: field ?? this.#pathOf(name), right: "CAP_DAC_READ_SEARCH" });
    } else if (error.reason === "other") this.find(name, error.message);
  }

  #pathOf(name: string): string {
    return name.startsWith("/") ? name : `${this.folder.path}/${name}`;
  }
}
