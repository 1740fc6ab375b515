/**
 * Open files of the simulation: descriptors, what they refer to, and how many references each file
 * has. A file is released when its last reference goes, whoever held it.
 *
 * @module
 */

/** Something that descriptors refer to. */
export interface SimFile {
  readonly kind: string;
  /** References: descriptors, mappings, messages in flight. */
  references: number;
  /** Called when the last reference has gone. */
  release(): void;
}

/** Takes one more reference. */
export function take<T extends SimFile>(file: T): T {
  file.references++;
  return file;
}

/** Gives a reference back. */
export function drop(file: SimFile): void {
  if (--file.references === 0) file.release();
}

/** Which file each descriptor is of. */
export interface Descriptors {
  /** Installs a file that has no reference of its own yet. @returns the descriptor */
  install(file: SimFile): number;
  /** @returns what a descriptor refers to, or undefined */
  get(number: number): SimFile | undefined;
  /** Closes a descriptor. @returns whether it was open */
  close(number: number): boolean;
}

/** Descriptors of all simulated processes: numbers are unique over all of them. */
export class FileTable implements Descriptors {
  readonly #files = new Map<number, SimFile>();
  #next = 3;

  /** Installs a file that has no reference of its own yet. @returns the descriptor */
  install(file: SimFile): number {
    const number = this.#next++;
    this.#files.set(number, take(file));
    return number;
  }

  /** @returns what a descriptor refers to, or undefined */
  get(number: number): SimFile | undefined {
    return this.#files.get(number);
  }

  /** @returns another descriptor of the same file */
  duplicate(number: number): number {
    const file = this.#files.get(number);
    if (file === undefined) throw new RangeError(`Cannot duplicate descriptor ${number}: not open`);
    return this.install(file);
  }

  /** Closes a descriptor. @returns whether it was open */
  close(number: number): boolean {
    const file = this.#files.get(number);
    if (file === undefined) return false;
    this.#files.delete(number);
    drop(file);
    return true;
  }

  /** Descriptors that are open, with the kind of file. */
  open(): readonly { readonly number: number; readonly kind: string }[] {
    return [...this.#files].map(([number, { kind }]) => ({ number, kind }));
  }
}
