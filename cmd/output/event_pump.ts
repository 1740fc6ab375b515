/**
 * Lines that must not hold anybody up: what happens to grants is written while they are guarded, to
 * a terminal or pipe that others share. They can fill it, stop it (tcflow(3)), or make it
 * non-blocking; whoever writes synchronously waits for them, or fails.
 *
 * @module
 */
import type { Clock } from "../../engine/clock.ts";
import { firstChunk } from "./chunk.ts";

/** Where to write: one of the runtime's standard streams. */
export interface AsyncStream {
  /** @returns how many of the bytes were taken */
  write(bytes: Uint8Array): Promise<number>;
}

/** What a pump is set up with. */
export interface PumpOptions {
  readonly clock: Pick<Clock, "after">;
  /** The line, with its newline, that stands where so many lines are missing. */
  readonly lossLine: (lost: number) => string;
  /** How much may wait, in UTF-16 code units. */
  readonly limit?: number;
}

const DEFAULT_LIMIT = 1024 * 1024;

/**
 * How long until a stream that took nothing is tried again. A timer, for there is no event to wait
 * for: the runtime does not poll a standard stream, and a regular file on a full disk has none.
 */
const RETRY_MS = 20;

/** Writes lines in order, in the background. */
export class EventPump {
  readonly #encoder = new TextEncoder();
  readonly #queue: string[] = [];
  /** Code units in the queue. */
  #size = 0;
  #lost = 0;
  #pumping = false;
  #open = true;
  #trouble: unknown;
  #onIdle: (() => void)[] = [];

  /**
   * @param stream nobody else may write to it while lines wait
   * @param options clock, limit, and how to say a loss
   */
  constructor(private readonly stream: AsyncStream, private readonly options: PumpOptions) {}

  /**
   * Takes lines to be written. Never throws and never waits. Over the limit the oldest that wait are
   * lost, for what happened last says most; the newest is kept however long it is.
   *
   * @param text with its newline
   */
  write(text: string): void {
    if (!this.#open) return;
    this.#queue.push(text);
    this.#size += text.length;
    const limit = this.options.limit ?? DEFAULT_LIMIT;
    while (this.#size > limit && this.#queue.length > 1) {
      this.#size -= this.#queue.shift()?.length ?? 0;
      this.#lost++;
    }
    if (!this.#pumping) this.#start();
  }

  /**
   * Waits until everything is written.
   *
   * @param limitMs how long at most
   * @returns whether everything was taken; true too when nobody reads any more
   */
  async flush(limitMs: number): Promise<boolean> {
    if (!this.#pumping) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const callOff = this.options.clock.after(limitMs, () => resolve(false));
    this.#onIdle.push(() => resolve(true));
    const written = await promise;
    callOff();
    return written;
  }

  /** Why what waits could not be written when it was last tried; absent: nobody has read it. */
  get trouble(): unknown {
    return this.#trouble;
  }

  /** `#pump` never rejects. */
  #start(): void {
    this.#pumping = true;
    void this.#pump();
  }

  async #pump(): Promise<void> {
    for (let text = this.#next(); text !== undefined; text = this.#next()) {
      await this.#writeAll(this.#encoder.encode(text));
    }
    this.#pumping = false;
    for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** A loss is said where the lines are missing: before those that were not lost. */
  #next(): string | undefined {
    if (!this.#open) return undefined;
    if (this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      return this.options.lossLine(lost);
    }
    const text = this.#queue.shift();
    this.#size -= text?.length ?? 0;
    return text;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; this.#open && rest.length > 0;) {
      const taken = await this.#writeSome(firstChunk(rest));
      rest = rest.subarray(taken);
      if (taken === 0) await this.#pause();
    }
  }

  /**
   * Whatever else goes wrong (a full pipe that was made non-blocking, a full disk) can be over the
   * next time, and until then costs no more than the lines over the limit.
   */
  async #writeSome(bytes: Uint8Array): Promise<number> {
    try {
      const taken = await this.stream.write(bytes);
      this.#trouble = undefined;
      return taken;
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) this.#close();
      else if (!(error instanceof Deno.errors.WouldBlock)) this.#trouble = error;
      return 0;
    }
  }

  #pause(): Promise<void> {
    if (!this.#open) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.options.clock.after(RETRY_MS, resolve);
    return promise;
  }

  /** The reader went away (`| head`): no error, and nothing more to do. */
  #close(): void {
    this.#open = false;
    this.#queue.length = 0;
    this.#size = 0;
  }
}
