/** The kernel's log, as the guest reads it. @module */

const FAULT = /DMAR: \[DMA (?:Read|Write)/;

/**
 * Reads `/dev/kmsg` from now on. Reading waits in a thread of the run-time's pool, so
 * the reader lives as long as the process.
 */
export class KernelMessages {
  readonly #lines: string[] = [];
  readonly #listeners = new Set<() => void>();
  #marks = 0;

  /** Starts to read. */
  constructor() {
    this.#read();
  }

  async #read(): Promise<void> {
    using file = Deno.openSync("/dev/kmsg", { read: true });
    file.seekSync(0, Deno.SeekMode.End);
    const buffer = new Uint8Array(8192);
    while (true) {
      const length = await this.#record(file, buffer);
      const record = new TextDecoder().decode(buffer.subarray(0, length));
      this.#lines.push(record.split("\n")[0]?.replace(/^[^;]*;/, "") ?? "");
      for (const listener of this.#listeners) listener();
    }
  }

  /** EPIPE says that records were overwritten before they were read: go on with the oldest left. */
  async #record(file: Deno.FsFile, buffer: Uint8Array): Promise<number> {
    try {
      return await file.read(buffer) ?? 0;
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      return 0;
    }
  }

  /**
   * Writes a mark into the log and waits until it is read back: what the kernel had logged before
   * is then known here.
   *
   * @returns a position for {@linkcode since}
   */
  async mark(): Promise<number> {
    const text = `bargate-lab: mark ${++this.#marks}`;
    logToKernel(text);
    await this.waitFor(0, (line) => line === text, 5000, text);
    return this.#lines.length;
  }

  /**
   * @param mark a position of {@linkcode mark}
   * @returns what the kernel has logged since, without marks
   */
  async since(mark: number): Promise<readonly string[]> {
    const end = await this.mark();
    return this.#lines.slice(mark, end).filter((line) => !line.startsWith("bargate-lab: mark"));
  }

  /**
   * Counts what the IOMMU refused. The kernel logs faults from an interrupt thread, so a fault that
   * is expected is waited for with {@linkcode waitFor} instead.
   *
   * @param mark a position of {@linkcode mark}
   * @returns number of DMA faults since
   */
  async faultsSince(mark: number): Promise<number> {
    return (await this.since(mark)).filter((line) => FAULT.test(line)).length;
  }

  /**
   * @param mark a position of {@linkcode mark}
   * @param limitMs how long at most
   * @returns the line of the first DMA fault since
   */
  waitForFault(mark: number, limitMs = 5000): Promise<string> {
    return this.waitFor(mark, (line) => FAULT.test(line), limitMs, "a DMA fault");
  }

  /**
   * @param mark a position of {@linkcode mark}
   * @param wanted which line
   * @param limitMs how long at most
   * @param what what the line says, for the message
   * @returns the first such line since
   */
  async waitFor(
    mark: number,
    wanted: (line: string) => boolean,
    limitMs: number,
    what: string,
  ): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const look = () => {
      const line = this.#lines.slice(mark).find(wanted);
      if (line !== undefined) resolve(line);
    };
    const timer = setTimeout(
      () => reject(new Error(`Waited ${limitMs} ms for ${what} in the kernel's log, in vain`)),
      limitMs,
    );
    this.#listeners.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }
}

function logToKernel(text: string): void {
  using file = Deno.openSync("/dev/kmsg", { write: true });
  // without a line end the kernel would keep the record open, unseen, for a continuation
  file.writeSync(new TextEncoder().encode(`${text}\n`));
}
