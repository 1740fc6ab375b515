/** Talks to `importer`, the independent importer in C. @module */
import { join } from "../path.ts";
import { linesOf } from "../protocol/lines.ts";

/** An answer of the importer: `ok`, or the name of an errno in `error`. */
export type ImporterAnswer = Readonly<Record<string, unknown>> & {
  readonly ok: boolean;
  readonly error?: string;
};

/** An importer refused or failed at a command that had to work. */
export class ImporterError extends Error {
  override readonly name = "ImporterError";
}

/** The case's end of an importer's control socket. */
export class ImporterControl {
  /** Argument of the importer. */
  readonly socketPath: string;
  readonly #listener: Deno.UnixListener;
  #connection: Deno.UnixConn | undefined;
  #lines: AsyncGenerator<string> | undefined;
  #closed = false;

  /**
   * @param folder an empty folder that the importer's account can reach
   * @param number tells several importers of a case apart
   */
  constructor(folder: string, number: number) {
    this.socketPath = join(folder, `importer${number}.sock`);
    this.#listener = Deno.listen({ transport: "unix", path: this.socketPath });
    Deno.chmodSync(this.socketPath, 0o666);
  }

  /**
   * Waits for the importer to connect.
   *
   * @param limitMs how long at most
   * @returns this
   */
  async connected(limitMs = 120_000): Promise<this> {
    this.#connection ??= await limited(
      this.#listener.accept(),
      limitMs,
      "the importer to connect",
    );
    this.#lines ??= linesOf(this.#connection.readable);
    return this;
  }

  /**
   * Gives a command and waits for its answer.
   *
   * @param command as documented in `lab/guest/importer.c`
   * @param limitMs how long at most
   * @returns the answer, also a refusal
   */
  async ask(command: string, limitMs = 60_000): Promise<ImporterAnswer> {
    await this.send(command);
    const next = await limited(
      this.#reader().next(),
      limitMs,
      `the importer's answer to "${command}"`,
    );
    if (next.done) throw new ImporterError(`The importer ended instead of answering "${command}"`);
    return JSON.parse(next.value);
  }

  /**
   * Gives a command that must work.
   *
   * @param command as documented in `lab/guest/importer.c`
   * @param limitMs how long at most
   * @returns the answer
   * @throws ImporterError when the importer refuses
   */
  async must(command: string, limitMs?: number): Promise<ImporterAnswer> {
    const answer = await this.ask(command, limitMs);
    if (answer.ok) return answer;
    throw new ImporterError(`The importer failed at "${command}": ${JSON.stringify(answer)}`);
  }

  /**
   * Gives a command without waiting for an answer (`exit`, `sleep-forever`).
   *
   * @param command as documented in `lab/guest/importer.c`
   */
  async send(command: string): Promise<void> {
    const connection = (await this.connected()).#connection;
    let rest = new TextEncoder().encode(`${command}\n`);
    while (connection !== undefined && rest.length > 0) {
      rest = rest.subarray(await connection.write(rest));
    }
  }

  #reader(): AsyncGenerator<string> {
    if (this.#lines === undefined) throw new ImporterError("The importer is not connected");
    return this.#lines;
  }

  /** Closes the sockets; an importer that still runs ends when it sees that. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    try {
      this.#connection?.close();
    } catch (error) {
      // the reader closes the connection itself when the importer has gone
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

async function limited<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new ImporterError(`Waited ${limitMs} ms for ${what}, in vain`)),
    limitMs,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
