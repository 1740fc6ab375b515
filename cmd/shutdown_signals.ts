/**
 * Signals that ask Bargate to end: the first one gracefully, a further one at once.
 *
 * @module
 */

/** Ask for the end, one after the other if need be. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/**
 * One press of Ctrl-C can come twice: from the terminal to all of its programs, and again from a
 * wrapper (`deno task`, npx) that passes its own on.
 */
const ECHO_MS = 500;

/** What signals do. */
export interface ShutdownSteps {
  /** The first signal. */
  shutdown(signal: string): Promise<void>;
  /** A further one while the end is under way. */
  again(signal: string): void;
  /** `shutdown` has failed. */
  failed(error: unknown): void;
}

/** Tells the first signal from further ones. */
export class ShutdownSignals {
  #firstAt: number | undefined;

  /**
   * @param steps what signals do
   * @param now milliseconds; only differences count
   */
  constructor(private readonly steps: ShutdownSteps, private readonly now: () => number) {}

  /**
   * Takes a signal. Never throws.
   *
   * @param signal its name
   */
  receive(signal: string): void {
    if (this.#firstAt === undefined) {
      this.#firstAt = this.now();
      this.steps.shutdown(signal).catch((error: unknown) => this.steps.failed(error));
      return;
    }
    // A terminal that closes says so several times, and nobody is there who could mean it.
    if (signal === "SIGHUP") return;
    if (this.now() - this.#firstAt >= ECHO_MS) this.steps.again(signal);
  }

  /** Listens to the process's signals. @returns a function that ends that */
  listen(): () => void {
    const listeners = SIGNALS.map((signal) => {
      const listener = () => this.receive(signal);
      Deno.addSignalListener(signal, listener);
      return () => Deno.removeSignalListener(signal, listener);
    });
    return () => {
      for (const remove of listeners) remove();
    };
  }
}
