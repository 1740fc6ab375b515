/** Programs that cases run in the guest. @module */
import { linesOf } from "../protocol/lines.ts";

/** How to run a program. */
export interface RunOptions {
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** How long at most; 60 s unless given. */
  readonly limitMs?: number;
}

/** A program that has ended. */
export interface Ran {
  readonly status: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

const DEFAULT_LIMIT_MS = 60_000;

/** A program that runs. Its output is kept and can be waited for. */
export class Running {
  readonly command: readonly string[];
  readonly #child: Deno.ChildProcess;
  readonly #started = performance.now();
  readonly #output = { stdout: new Output(), stderr: new Output() };
  readonly #end: Promise<Ran>;
  readonly #exit: Promise<void>;
  #ended = false;
  #exited = false;

  /**
   * @param command program and arguments
   * @param options folder, environment, account, input
   */
  constructor(command: readonly string[], options: RunOptions = {}) {
    this.command = command;
    this.#child = new Deno.Command(command[0] ?? "", {
      args: command.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      ...(options.folder !== undefined && { cwd: options.folder }),
      ...(options.environment !== undefined && { env: { ...options.environment } }),
      ...(options.uid !== undefined && { uid: options.uid }),
      ...(options.gid !== undefined && { gid: options.gid }),
    }).spawn();
    this.#end = this.#finish(options.input ?? "");
    this.#exit = this.#child.status.then(() => {
      this.#exited = true;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** @returns all that it has written so far */
  get stdout(): string {
    return this.#output.stdout.text;
  }

  /** @returns all that it has written so far */
  get stderr(): string {
    return this.#output.stderr.text;
  }

  async #finish(input: string): Promise<Ran> {
    const [status] = await Promise.all([
      this.#child.status,
      this.#feed(input),
      this.#output.stdout.read(this.#child.stdout),
      this.#output.stderr.read(this.#child.stderr),
    ]);
    this.#ended = true;
    return {
      status: status.code,
      signal: status.signal,
      stdout: this.stdout,
      stderr: this.stderr,
      ms: performance.now() - this.#started,
    };
  }

  /** A program that ends without reading its input has said what it thinks of it. */
  async #feed(input: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    try {
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  }

  /** @param signal to send; none is sent to a program that has ended */
  kill(signal: Deno.Signal = "SIGKILL"): void {
    if (!this.#exited) this.#child.kill(signal);
  }

  /**
   * Waits for the process itself: programs that it started may live on and hold its output open.
   *
   * @param limitMs how long to wait
   */
  exited(limitMs: number = DEFAULT_LIMIT_MS): Promise<void> {
    return within(this.#exit, limitMs, () => `${this.#name()} to exit`, () => this.#outputs());
  }

  /**
   * @param limitMs how long to wait
   * @returns how it ended
   * @throws Error when it has not ended in time; it goes on running
   */
  wait(limitMs: number = DEFAULT_LIMIT_MS): Promise<Ran> {
    return within(this.#end, limitMs, () => `${this.#name()} to end`, () => this.#outputs());
  }

  /**
   * @param from which stream
   * @param wanted which line
   * @param limitMs how long to wait
   * @returns the first such line, also one written before the call
   */
  line(
    from: "stdout" | "stderr",
    wanted: (line: string) => boolean,
    limitMs: number = DEFAULT_LIMIT_MS,
  ): Promise<string> {
    return within(
      this.#output[from].find(wanted),
      limitMs,
      () => `a line on ${from} of ${this.#name()}`,
      () => this.#outputs(),
    );
  }

  #name(): string {
    return this.command.join(" ");
  }

  #outputs(): string {
    return `stdout:\n${this.stdout}\nstderr:\n${this.stderr}`;
  }
}

class Output {
  readonly #lines: string[] = [];
  readonly #listeners = new Set<() => void>();
  #closed = false;

  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }

  async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const line of linesOf(stream)) {
      this.#lines.push(line);
      this.#tell();
    }
    this.#closed = true;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  find(wanted: (line: string) => boolean): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const look = () => {
      const line = this.#lines.find(wanted);
      if (line !== undefined) resolve(line);
      else if (this.#closed) reject(new Error(`The output ended without the line:\n${this.text}`));
    };
    this.#listeners.add(look);
    look();
    return promise.finally(() => this.#listeners.delete(look));
  }
}

async function within<T>(
  promise: Promise<T>,
  limitMs: number,
  what: () => string,
  more: () => string,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`Waited ${limitMs} ms for ${what()}, in vain\n${more()}`)),
    limitMs,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs a program to its end; one that does not end in time is killed.
 *
 * @param command program and arguments
 * @param options folder, environment, account, input, limit
 * @returns how it ended and what it wrote
 */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const running = new Running(command, options);
  try {
    return await running.wait(options.limitMs);
  } finally {
    running.kill();
  }
}
